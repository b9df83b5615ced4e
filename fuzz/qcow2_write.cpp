// SPDX-License-Identifier: BSL-1.0
// Fuzz target: writing to a qcow2 image that may be anything. The image must open again, and be
// sound if it was.
#include <vdisk/format/qcow2/check.hpp>
#include <vdisk/format/qcow2/format.hpp>

#include "write.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::write_and_reopen<vdisk::Qcow2>(
        fuzz::bytes_of(data, size), [](const auto& image) { return !image.layout().has_data_file; },
        [](auto& storage) {
            return fuzz::trust_in(vdisk::qcow2::check_image(storage, fuzz::Rationed{}));
        });
    return 0;
}
