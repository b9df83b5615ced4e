// SPDX-License-Identifier: BSL-1.0
#include "closed.hpp"

#include <vdisk/allocation/heap.hpp>
#include <vdisk/disk/writable.hpp>
#include <vdisk/format/qcow2/closed.hpp>

namespace tool {

using namespace vdisk;

void add_closed(CLI::App& app, Input& input) {
    app.add_option("FILE", input.file, "the image")->required();
    app.add_option("-f", input.format, "format of the image (default: found by looking)")
        ->transform(format_name(input.exit_code))
        ->type_name("FMT");
}

bool is_qcow2(const Top& top) { return top.format == Qcow2::name; }

Top open_closed_for_writing(const Input& input) {
    Top top = open_top_for_writing(input);
    expect(top, chain::recover(top.format, top.file.storage));
    return top;
}

qcow2::Layout layout_of(const Top& top) {
    const auto image = qcow2::open_closed(top.file.storage, Heap{});
    if (!image) throw failure(top.file.origin.path, image.error());
    return image->layout;
}

std::string text_in(const Top& top, Text text) {
    std::string out(text.length, '\0');
    const auto read = read_text(top.file.storage, text, out);
    if (!read) throw failure(top.file.origin.path, read.error());
    return out;
}

void expect(const Top& top, const vdisk::Status& status) {
    if (!status) throw failure(top.file.origin.path, status.error());
}

uint64_t size_of_image(const Top& top) {
    const auto image = AnyImage::open(top.format, top.file.storage, {.purpose = Purpose::metadata});
    if (!image) throw failure(top.file.origin.path, image.error());
    return image->size();
}

}  // namespace tool
