// SPDX-License-Identifier: BSL-1.0
// Fuzz target: check and repair of a qcow2 image that may be anything. What is clean afterwards can
// be opened, and is not marked as one to be repaired.
#include "closed_qcow2.hpp"
#include "repair.hpp"

using namespace vdisk;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Sheet& file = fuzz::paper(fuzz::bytes_of(data, size));
    for (const Repair what : {Repair::leaks, Repair::all}) {
        if (!fuzz::repaired<fuzz::ClosedQcow2>(file, what)) continue;
        const auto image = fuzz::ClosedQcow2::open(file.bytes());
        fuzz::require(bool(image), "a clean image does not open");
        const qcow2::Layout& layout = image->layout();
        fuzz::require(!layout.is_dirty() && !layout.is_corrupt(), "a clean image is marked");
    }
    return 0;
}
