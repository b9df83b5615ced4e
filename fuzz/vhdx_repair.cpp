// SPDX-License-Identifier: BSL-1.0
// Fuzz target: check and repair of a VHDX image that may be anything, then all that can be done to
// a closed image. A repaired image stays sound.
#include <vdisk/format/vhdx/compact.hpp>
#include <vdisk/format/vhdx/repair.hpp>
#include <vdisk/format/vhdx/resize.hpp>

#include "vhdx.hpp"
#include "write.hpp"

using namespace vdisk;

namespace {

void require_sound(fuzz::Sheet& file, const char* what) {
    const auto report = vhdx::check_image(file, fuzz::Rationed{});
    fuzz::require(report && report->is_clean(), what);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Sheet& file = fuzz::vhdx_file(fuzz::bytes_of(data, size), fuzz::Use::change);
    const auto report = vhdx::repair(file, Repair::all, fuzz::Rationed{}, SeededIds(1));
    if (!report || !report->after.is_clean()) return 0;
    require_sound(file, "a repaired image is not sound");
    const auto image =
        vhdx::Image<MemoryStorage, fuzz::Rationed>::open(MemoryStorage(file.bytes()));
    fuzz::require(bool(image), "a sound image does not open");
    const uint64_t disk = image->size(), sector = uint64_t{1} << image->layout().sector_bits;
    const auto move = Compaction::move_only;
    static_cast<void>(vhdx::compact(file, fuzz::Rationed{}, SeededIds(2), move));
    require_sound(file, "compacting has damaged the image");
    static_cast<void>(vhdx::grow(file, disk + 5 * sector, fuzz::Rationed{}, SeededIds(3)));
    require_sound(file, "growing has damaged the image");
    static_cast<void>(vhdx::shrink(file, sector, fuzz::Rationed{}, SeededIds(4)));
    require_sound(file, "shrinking has damaged the image");
    return 0;
}
