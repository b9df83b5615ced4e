// SPDX-License-Identifier: BSL-1.0
// Fuzz target: check and repair of a qcow2 image that may be anything. What is sound afterwards can
// be opened, and be written.
#include <vdisk/format/qcow2/format.hpp>
#include <vdisk/format/qcow2/repair.hpp>

#include "repair.hpp"

using namespace vdisk;

using Reader = Qcow2::Image<MemoryStorage, fuzz::Rationed, SystemCodecs>;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Sheet& file = fuzz::paper(fuzz::bytes_of(data, size));
    const auto check = [](fuzz::Sheet& f) { return qcow2::check_image(f, fuzz::Rationed{}); };
    for (const Repair what : {Repair::leaks, Repair::all}) {
        const bool sound = fuzz::repaired(
            file, check, [&](fuzz::Sheet& f) { return qcow2::repair(f, what, fuzz::Rationed{}); });
        if (!sound) continue;
        const OpenOptions any = fuzz::Both<Qcow2>::options(Purpose::metadata);
        fuzz::require(bool(Reader::open(MemoryStorage(file.bytes()), any)),
                      "a sound image does not open");
    }
    return 0;
}
