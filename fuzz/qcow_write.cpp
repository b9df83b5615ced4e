// SPDX-License-Identifier: BSL-1.0
// Fuzz target: writing to a qcow (version 1) image that may be anything. The image must open again,
// and be sound if it was.
#include <vdisk/format/qcow/format.hpp>

#include "qcow.hpp"
#include "write.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::write_and_reopen<vdisk::Qcow>(
        fuzz::bytes_of(data, size), [](const auto&) { return true; },
        [](auto& storage) {
            return fuzz::is_sound_qcow(storage) ? fuzz::Trust::all : fuzz::Trust::nothing;
        });
    return 0;
}
