// SPDX-License-Identifier: BSL-1.0
// Cylinders, heads and sectors. Only some old programs take the size of a disk from them.
#pragma once

#include <vdisk/format/vhd/disk.hpp>

namespace vdisk::vhd {

struct Geometry {
    uint16_t cylinders = 0;
    uint8_t heads = 0;
    uint8_t sectors_per_track = 0;

    /// Sectors; fits 32 bits.
    [[nodiscard]] constexpr uint32_t sectors() const {
        return uint32_t{cylinders} * heads * sectors_per_track;
    }
    friend constexpr bool operator==(const Geometry&, const Geometry&) = default;
};

/// What stands for "too large for a geometry": who sees it takes the size in bytes.
inline constexpr Geometry largest_geometry = {65535, 16, 255};

/// The geometry for so many sectors, after the appendix of the specification. It has at most as
/// many sectors, often a few less.
[[nodiscard]] constexpr Geometry geometry_of(uint64_t sectors) {
    if (sectors > largest_geometry.sectors()) sectors = largest_geometry.sectors();
    const auto total = static_cast<uint32_t>(sectors);
    const auto with = [](uint32_t tracks, uint32_t heads, uint32_t per_track) {
        return Geometry{static_cast<uint16_t>(tracks / heads), static_cast<uint8_t>(heads),
                        static_cast<uint8_t>(per_track)};
    };
    if (total >= uint32_t{65535} * 16 * 63) return with(total / 255, 16, 255);
    uint32_t tracks = total / 17;
    uint32_t heads = (tracks + 1023) / 1024;
    if (heads < 4) heads = 4;
    if (tracks < heads * 1024 && heads <= 16) return with(tracks, heads, 17);
    tracks = total / 31;
    if (tracks < 16 * 1024) return with(tracks, 16, 31);
    return with(total / 63, 16, 63);
}

/// The smallest geometry with at least so many sectors, as Virtual PC and QEMU make disks; the
/// largest there is where none has.
[[nodiscard]] constexpr Geometry geometry_for(uint64_t sectors) {
    if (sectors >= largest_geometry.sectors()) return largest_geometry;
    Geometry out = geometry_of(sectors);
    // A cylinder has at most 16 * 255 sectors: so many steps at most.
    for (uint64_t more = 1; out.sectors() < sectors; ++more) out = geometry_of(sectors + more);
    return out;
}

static_assert(geometry_of(204800) == Geometry{1003, 12, 17});
static_assert(geometry_for(204800) == Geometry{1004, 12, 17});

}  // namespace vdisk::vhd
