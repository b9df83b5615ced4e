// SPDX-License-Identifier: BSL-1.0
// Fuzz target: check and repair of a VHD image that may be anything, as it is and with its
// checksums made right. Once more, for the leaks that a repair has to leave.
#include "closed_vhd.hpp"
#include "repair.hpp"

using namespace vdisk;

static void mend(Bytes input) {
    fuzz::Sheet& file = fuzz::paper(input);
    for (const Repair what : {Repair::leaks, Repair::all, Repair::all}) {
        const bool clean = fuzz::repaired<fuzz::ClosedVhd>(file, what);
        fuzz::require(!clean || fuzz::ClosedVhd::open(file.bytes()), "a clean image does not open");
    }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    mend(fuzz::bytes_of(data, size));
    mend(fuzz::sealed(fuzz::bytes_of(data, size)));
    return 0;
}
