// SPDX-License-Identifier: BSL-1.0
// Fuzz target: writing to a qcow (version 1) image that may be anything. The image must open again.
// There are no refcounts to tell whether clusters are shared, so what is promised ends there.
#include <vdisk/format/qcow/format.hpp>

#include "write.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::write_and_reopen<vdisk::Qcow>(
        fuzz::bytes_of(data, size), [](const auto&) { return true; }, [](auto&) { return false; });
    return 0;
}
