// SPDX-License-Identifier: BSL-1.0
// Fuzz target: check and repair of a VHD image that may be anything, as it is and with its
// checksums made right.
#include <vdisk/format/vhd/repair.hpp>

#include "repair.hpp"
#include "vhd.hpp"

using namespace vdisk;

using Reader = Vhd::Image<MemoryStorage, fuzz::Rationed, SystemCodecs>;

static void mend(Bytes input) {
    fuzz::Sheet& file = fuzz::paper(input);
    const auto check = [](fuzz::Sheet& f) { return vhd::check_image(f, fuzz::Rationed{}); };
    for (const Repair what : {Repair::leaks, Repair::all}) {
        const bool sound = fuzz::repaired(
            file, check, [&](fuzz::Sheet& f) { return vhd::repair(f, what, fuzz::Rationed{}); });
        if (!sound) continue;
        fuzz::require(bool(Reader::open(MemoryStorage(file.bytes()))),
                      "a sound image does not open");
    }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    mend(fuzz::bytes_of(data, size));
    mend(fuzz::sealed(fuzz::bytes_of(data, size)));
    return 0;
}
