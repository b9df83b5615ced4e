// SPDX-License-Identifier: BSL-1.0
#include "opening.hpp"

#include <filesystem>

#include "foreign.hpp"
#include "locks.hpp"

namespace tool {

using namespace vdisk;

std::string local_path(const std::string& name, int exit_code) {
    std::string path = name.starts_with("file:") ? name.substr(5) : name;
    if (path.empty()) throw Failure{"'" + name + "': the name of a file is missing", exit_code};
    if (path.size() == name.size() && has_protocol(name)) {
        throw Failure{
            name + ": protocols are not supported (a file of this name is './" + name + "')",
            exit_code};
    }
    return path;
}

namespace {

std::string format_for(const Storage& storage, const Input& input, const std::string& path) {
    if (!input.format.empty()) return input.format;
    const auto found = format_of<AllFormats>(storage, {.raw_fallback = true});
    if (!found) throw failure(path, found.error(), input.exit_code);
    if (*found == Raw::name) refuse_foreign(storage, path, "-f", input.exit_code);
    return std::string(*found);
}

Top open_without_look(const Input& input, Access access = Access::read) {
    const std::string path = local_path(input.file, input.exit_code);
    auto file = open_file(path, access);
    if (!file) throw failure(path, file.error(), input.exit_code);
    std::string format = format_for(file->storage, input, path);
    const std::string folder = std::filesystem::path(path).parent_path().string();
    return {*std::move(file), std::move(format),
            FolderGate(folder, {.anywhere = input.any_parent, .shared = input.shared})};
}

void look_at_locks(const Top& top, const Input& input) {
    if (input.shared) return;
    const Status unused = check_not_in_use(top.file.storage, Use::read);
    if (!unused) throw failure(top.file.origin.path, unused.error(), input.exit_code);
}

/// `library's words` about the file the gate was asked for last, in which the user reads who asked.
Failure blame(const Top& top, const Error& error, int exit_code) {
    const std::string& path = top.gate.last();
    if (path.empty()) return failure(top.file.origin.path, error, exit_code);
    Failure out = failure(path, error, exit_code);
    out.message.replace(0, path.size(), top.gate.reference());
    return out;
}

/// The library takes a backing file that nothing is said about for raw if it knows no better.
template <class Child, class Parent>
void check_guess(const std::string& path, const Child& child, const Parent& parent,
                 const Input& input) {
    std::array<char, chain::max_name> buffer{};
    const auto stated = child.parent_format(buffer);
    if (!input.backing_format.empty() || (stated && !stated->empty())) return;
    if (parent.image.format() != Raw::name) return;
    const std::string name = path + ": backing file '" + parent.origin.path + "'";
    refuse_foreign(parent.image.file(), name, "--backing-format", input.exit_code);
}

void check_guesses(const Disk& disk, const Input& input) {
    const auto layers = disk.layers();
    for (size_t i = 1; i < layers.size(); ++i) {
        check_guess(layers[i - 1].origin.path, layers[i - 1].image, layers[i], input);
    }
}

}  // namespace

Top open_top(const Input& input) {
    Top top = open_without_look(input);
    look_at_locks(top, input);
    return top;
}

Top open_top_for_writing(const Input& input) {
    const char* const wrong = input.shared                            ? "-U"
                              : input.checksums == Checksums::ignored ? "--ignore-checksums"
                              : input.size_rule != SizeRule::bytes    ? "--size-rule"
                                                                      : nullptr;
    if (wrong != nullptr) {
        throw Failure{input.file + ": " + wrong + " is for images that are only read",
                      input.exit_code};
    }
    return open_without_look(input, Access::write);
}

WritableDisk open_writable_layers(Top& top, const Input& input) {
    top.gate.begin();
    auto disk = open_writable<Writer, AnyImage>(
        top.file, top.gate, {.format = top.format, .backing_format = input.backing_format});
    if (!disk) throw blame(top, disk.error(), input.exit_code);
    const std::string& path = disk->origin().path;
    if (disk->parents()) check_guess(path, disk->top(), disk->parents()->layers()[0], input);
    if (disk->parents()) check_guesses(*disk->parents(), input);
    return *std::move(disk);
}

WritableDisk open_writable_disk(const Input& input) {
    Top top = open_top_for_writing(input);
    return open_writable_layers(top, input);
}

Disk open_layers(Top& top, const Input& input, const OpenOptions& options) {
    top.gate.begin();
    auto disk = open_chain<AnyImage>(top.file, top.gate,
                                     {.format = top.format,
                                      .backing_format = input.backing_format,
                                      .snapshot = input.snapshot,
                                      .open = input.rules(options)});
    if (!disk) throw blame(top, disk.error(), input.exit_code);
    check_guesses(*disk, input);
    return *std::move(disk);
}

std::vector<Disk> open_backing(const std::string& path, const std::string& name,
                               const std::string& format, const Input& input, unsigned count,
                               const OpenOptions& options) {
    const std::string folder = std::filesystem::path(path).parent_path().string();
    FolderGate gate(folder, {.anywhere = input.any_parent, .shared = input.shared});
    auto file = gate.open({.name = name}, Origin{path, {}});
    if (!file) {
        Failure out = failure(name, file.error(), input.exit_code);
        out.message.replace(0, name.size(), gate.reference());
        throw out;
    }
    Input rules = input;
    rules.snapshot.clear();
    Top top{*std::move(file), format, std::move(gate)};
    std::vector<Disk> disks;
    for (unsigned i = 0; i < count; ++i) disks.push_back(open_layers(top, rules, options));
    return disks;
}

Disk open_disk(const Input& input) {
    Top top = open_top(input);
    return open_layers(top, input, {});
}

AnyImage open_image(const Input& input, Origin* origin) {
    Top top = open_without_look(input);
    // The size of a raw image is all there is to know; a qcow2 header may be in the middle of
    // changes.
    if (top.format != Raw::name) look_at_locks(top, input);
    if (origin != nullptr) *origin = top.file.origin;
    auto image = AnyImage::open(top.format, std::move(top.file.storage),
                                input.rules({.purpose = Purpose::metadata}));
    if (!image) throw failure(top.file.origin.path, image.error(), input.exit_code);
    return *std::move(image);
}

}  // namespace tool
