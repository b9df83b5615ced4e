// SPDX-License-Identifier: BSL-1.0
// What an L2 table says about one cluster, and how a write changes it. Pure functions.
#pragma once

#include <vdisk/format/qcow2/clusters.hpp>
#include <vdisk/format/qcow2/lookup.hpp>

namespace vdisk::qcow2 {

/// An L2 entry; `bitmap` is the second word of an extended one and 0 otherwise.
struct Slot {
    uint64_t entry = 0;
    uint64_t bitmap = 0;
    bool operator==(const Slot&) const = default;
};

namespace slot {

inline constexpr uint64_t all_allocated = 0xFFFFFFFF;
inline constexpr uint64_t all_zero = all_allocated << 32;

[[nodiscard]] constexpr bool is_compressed(Slot s) { return (s.entry & entry::compressed) != 0; }

/// Offset of the host cluster of one that is not compressed.
[[nodiscard]] constexpr uint64_t host(Slot s) { return s.entry & entry::offset_mask; }

/// True if a host cluster belongs to it.
[[nodiscard]] inline bool has_host(const Layout& layout, Slot s) {
    return !is_compressed(s) && lookup::has_home(layout, s.entry);
}

/// True if that cluster is its own and may be overwritten.
[[nodiscard]] inline bool owns_host(const Layout& layout, Slot s) {
    return has_host(layout, s) && (s.entry & entry::copied) != 0;
}

/// True if both have the same host cluster, or none.
[[nodiscard]] constexpr bool same_host(Slot a, Slot b) {
    return !is_compressed(a) && !is_compressed(b) && host(a) == host(b);
}

/// The host clusters that lose a reference when the slot is overwritten.
[[nodiscard]] inline Run held(const Layout& layout, Slot s) {
    if (layout.has_data_file) return {};
    if (!is_compressed(s)) {
        return {host(s) >> layout.cluster_bits, host(s) != 0 ? uint64_t{1} : uint64_t{0}};
    }
    const unsigned offset_bits = 62u - (layout.cluster_bits - 8u);
    const uint64_t at = align_down(s.entry & (power_of_two(offset_bits) - 1), 9);
    const uint64_t sectors = ((s.entry & ~(entry::compressed | entry::copied)) >> offset_bits) + 1;
    const uint64_t first = at >> layout.cluster_bits;
    return {first, ((at + sectors * 512 - 1) >> layout.cluster_bits) - first + 1};
}

/// The entry of a compressed cluster of `stored` bytes at `at`.
[[nodiscard]] constexpr Slot packed(const Layout& layout, uint64_t at, uint64_t stored) {
    const unsigned offset_bits = 62u - (layout.cluster_bits - 8u);
    const uint64_t more_sectors = ((at + stored - 1) >> 9) - (at >> 9);
    return {entry::compressed | more_sectors << offset_bits | at, 0};
}

/// Bits of the subclusters that [from, to) of a cluster touches.
[[nodiscard]] constexpr uint64_t subclusters(const Layout& layout, uint64_t from, uint64_t to) {
    const unsigned bits = layout.cluster_bits - 5u;
    const uint64_t below_end = (uint64_t{1} << blocks(to, bits)) - 1;
    return below_end & ~((uint64_t{1} << (from >> bits)) - 1);
}

/// The slot after [from, to) of its cluster was stored in the cluster at `home`.
[[nodiscard]] inline Slot stored(const Layout& layout, Slot old, uint64_t home, uint64_t from,
                                 uint64_t to) {
    Slot s{home | entry::copied, 0};
    if (!layout.extended_l2) return s;
    const uint64_t touched = subclusters(layout, from, to);
    // Another host cluster holds nothing of the old one; what had none keeps its zeros.
    const bool keeps = !is_compressed(old) && (!has_host(layout, old) || host(old) == home);
    if (keeps) s.bitmap = old.bitmap & ~(touched << 32);
    s.bitmap |= touched;
    return s;
}

}  // namespace slot
}  // namespace vdisk::qcow2
