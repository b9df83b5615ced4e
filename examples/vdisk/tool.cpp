// SPDX-License-Identifier: BSL-1.0
#include "tool.hpp"

#include <algorithm>
#include <cctype>

namespace tool {

using namespace vdisk;

namespace {

std::string unknown_feature_names(const Storage& storage, uint64_t bits) {
    std::string names;
    for (uint8_t bit = 0; bit < 64; ++bit) {
        if ((bits >> bit & 1) == 0) continue;
        qcow2::FeatureName row{};
        const auto known = qcow2::feature_name(storage, 0, bit, row);
        if (!names.empty()) names += ", ";
        if (known && *known) {
            const std::string_view padded(row.name.data(), row.name.size());
            names += padded.substr(0, padded.find('\0'));
        } else {
            names += "bit " + std::to_string(bit);
        }
    }
    return names;
}

bool is_same_text(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
        return std::tolower(x) == std::tolower(y);
    });
}

/// As the library describes it, less what says nothing to a user: the names of its own layers, and
/// the system's words where ours say the same.
std::string words_of(Error error) {
    std::string_view what = error.what;
    for (const std::string_view layer : {"file: ", "open: ", "gate: ", "probe: "}) {
        if (what.starts_with(layer)) what.remove_prefix(layer.size());
    }
    if (error.os == ENOENT || is_same_text(what, std::strerror(error.os))) error.os = 0;
    return text::describe(error).substr(static_cast<size_t>(what.data() - error.what));
}

}  // namespace

Failure failure(const std::string& file, const Error& error, int exit_code) {
    std::string line = file + ": " + words_of(error);
    if (error.what == qcow2::unknown_features) {
        if (const auto opened = open_file(file)) {
            line += ": " + unknown_feature_names(opened->storage, error.value);
        }
    }
    return {line, exit_code};
}

namespace {

template <class... Formats>
std::string_view settled(std::string_view name, FormatList<Formats...> /*list*/) {
    std::string_view known;
    static_cast<void>(((is_named<Formats>(name) && (known = Formats::name, true)) || ...));
    return known;
}

}  // namespace

void settle_format_name(std::string& name, int exit_code) {
    const std::string_view known = settled(name, AllFormats{});
    if (known.empty()) throw Failure{"unknown format '" + name + "'", exit_code};
    name = known;
}

CLI::Validator format_name(int exit_code) {
    return {[exit_code](std::string& name) -> std::string {
                settle_format_name(name, exit_code);
                return {};
            },
            ""};
}

CLI::Validator not_empty(const char* message) {
    return {[message](const std::string& value) -> std::string {
                if (value.empty()) throw Failure{message};
                return {};
            },
            ""};
}

void Input::add_to(CLI::App& app, bool with_file) {
    if (with_file) app.add_option("FILE", file, "the image")->required();
    app.add_option("-f", format, "format of the image (default: found by looking)")
        ->transform(format_name(exit_code))
        ->type_name("FMT");
    app.add_option("--backing-format", backing_format,
                   "format of backing files of images that do not say it themselves")
        ->transform(format_name(exit_code))
        ->type_name("FMT");
    app.add_option_function<std::string>(
           "--parents", [this](const std::string& where) { any_parent = where == "any"; },
           "where backing and data files may lie: folder (that of the image; default) or any")
        ->check(CLI::IsMember({"folder", "any"}))
        ->type_name("WHERE");
    app.add_flag("-U,--force-share", shared,
                 "read the image although another process writes to it");
    app.add_flag_callback(
        "--ignore-checksums", [this] { checksums = vdisk::Checksums::ignored; },
        "read headers whose checksum is wrong, too (vpc)");
    app.add_option_function<std::string>(
           "--size-rule",
           [this](const std::string& rule) {
               size_rule = rule == "geometry"  ? vdisk::SizeRule::geometry
                           : rule == "creator" ? vdisk::SizeRule::creator
                                               : vdisk::SizeRule::bytes;
           },
           "which size counts where an image states two (vpc): bytes (default), geometry, or\n"
           "creator: whichever the program went by that made it, as QEMU does")
        ->check(CLI::IsMember({"bytes", "geometry", "creator"}))
        ->type_name("RULE");
}

void add_output(CLI::App& app, std::string& output) {
    app.add_option("--output", output, "human (default) or json")
        ->check(CLI::IsMember({"human", "json"}))
        ->type_name("FORMAT");
}

uint64_t size_of(const std::string& text, const char* what) {
    const auto size = text::parse_size(text);
    if (!size) {
        // With a smaller number, would it be one?
        const size_t start = text.starts_with("0x") || text.starts_with("0X") ? 2 : 0;
        const char* digits = start == 0 ? "0123456789" : "0123456789abcdefABCDEF";
        const size_t end = std::min(text.find_first_not_of(digits, start), text.size());
        const bool too_large =
            end > start && text::parse_size(text.substr(0, start) + "1" + text.substr(end));
        const char* verdict = too_large ? "' is too large (sizes are below 8E)" : "' is not a size";
        throw Failure{std::string(what) + ": '" + text + verdict};
    }
    return *size;
}

std::string text_in(const AnyImage& image, Text text) {
    std::string out(text.length, '\0');
    const auto name = read_text(image.file(), text, out);
    if (!name) throw failure("image", name.error());
    return std::string(*name);
}

}  // namespace tool
