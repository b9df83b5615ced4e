// SPDX-License-Identifier: BSL-1.0
// Fuzz target: a qcow (version 1) image.
#include <vdisk/format/qcow/format.hpp>

#include "support.hpp"

using namespace vdisk;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    for (const Purpose purpose : {Purpose::data, Purpose::metadata}) {
        fuzz::Both<Qcow> image(fuzz::bytes_of(data, size), purpose);
        if (!image) continue;
        fuzz::Walk(*image.memory, *image.file);
        std::array<char, 1024> name{};
        image.both([&](const auto& i) { return read_text(i.file(), i.backing_file(), name); });
    }
    return 0;
}
