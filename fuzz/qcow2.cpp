// SPDX-License-Identifier: BSL-1.0
// Fuzz target: a qcow2 image with its snapshots, bitmaps and feature names.
#include <string>

#include <vdisk/format/qcow2/bitmap.hpp>
#include <vdisk/format/qcow2/format.hpp>

#include "support.hpp"

using namespace vdisk;

static void explore(fuzz::Both<Qcow2>& image, Bytes input) {
    if (image.memory->layout().has_data_file) {  // the image is its own data file
        static_cast<void>(image.memory->attach_data_file(MemoryStorage(input)));
        static_cast<void>(image.file->attach_data_file({MemoryStorage(input)}));
    }
    fuzz::Walk(*image.memory, *image.file);
    std::vector<std::string> ids;
    const auto visit = [](const auto&) { return Status{}; };
    const auto keep = [&](const auto& s) { return fuzz::keep(ids, MemoryStorage(input), s.id); };
    image.both([&](auto& i) { return qcow2::each_bitmap(i.file(), i.layout(), visit); });
    image.both([&](auto& i) { return qcow2::each_snapshot(i.file(), i.layout(), keep); });
    for (const std::string& id : ids) {
        const bool selected = image.both([&](auto& i) { return i.select_snapshot(id); });
        if (selected) fuzz::Walk(*image.memory, *image.file);
    }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes input = fuzz::bytes_of(data, size);
    for (const Purpose purpose : {Purpose::data, Purpose::metadata}) {
        fuzz::Both<Qcow2> image(input, purpose);
        if (image) explore(image, input);
    }
    qcow2::FeatureName name{};  // works on refused images, too
    fuzz::agree(qcow2::feature_name(MemoryStorage(input), 0, 63, name),
                qcow2::feature_name(fuzz::FileLike{MemoryStorage(input)}, 0, 63, name));
    return 0;
}
