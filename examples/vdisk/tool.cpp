// SPDX-License-Identifier: BSL-1.0
#include "tool.hpp"

#include <filesystem>

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

}  // namespace

Failure failure(const std::string& file, const Error& error, int exit_code) {
    std::string line = file + ": " + text::describe(error);
    if (error.what == qcow2::unknown_features) {
        if (const auto opened = open_file(file)) {
            line += ": " + unknown_feature_names(opened->storage, error.value);
        }
    }
    return {line, exit_code};
}

void Input::add_to(CLI::App& app, bool with_file) {
    if (with_file) app.add_option("FILE", file, "the image")->required();
    app.add_option("-f", format, "format of the image (default: found by looking)")
        ->type_name("FMT");
    app.add_option("--backing-format", backing_format,
                   "format of backing files of images that do not say it themselves")
        ->type_name("FMT");
    app.add_option_function<std::string>(
           "--parents", [this](const std::string& where) { any_parent = where == "any"; },
           "where backing and data files may lie: folder (that of the image; default) or any")
        ->check(CLI::IsMember({"folder", "any"}))
        ->type_name("WHERE");
}

Disk open_disk(const Input& input, int exit_code) {
    auto top = open_file(input.file);
    if (!top) throw failure(input.file, top.error(), exit_code);
    FolderGate gate(std::filesystem::path(input.file).parent_path().string(), input.any_parent);
    auto disk = open_chain<AnyImage>(*std::move(top), gate,
                                     {.format = input.format,
                                      .backing_format = input.backing_format,
                                      .snapshot = input.snapshot,
                                      .raw_fallback = true});
    if (!disk)
        throw failure(gate.last().empty() ? input.file : gate.last(), disk.error(), exit_code);
    return *std::move(disk);
}

AnyImage open_image(const Input& input, Origin* origin) {
    auto top = open_file(input.file);
    if (!top) throw failure(input.file, top.error());
    const auto format =
        format_of<AllFormats>(top->storage, {.format = input.format, .raw_fallback = true});
    if (!format) throw failure(input.file, format.error());
    if (origin != nullptr) *origin = top->origin;
    auto image = AnyImage::open(*format, std::move(top->storage), {.purpose = Purpose::metadata});
    if (!image) throw failure(input.file, image.error());
    return *std::move(image);
}

uint64_t size_of(const std::string& text, const char* what) {
    const auto size = text::parse_size(text);
    if (!size) throw Failure{std::string(what) + ": '" + text + "' is not a size"};
    return *size;
}

std::string text_in(const AnyImage& image, Text text) {
    std::string out(text.length, '\0');
    const auto name = read_text(image.file(), text, out);
    if (!name) throw failure("image", name.error());
    return std::string(*name);
}

}  // namespace tool
