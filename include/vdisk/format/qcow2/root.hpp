// SPDX-License-Identifier: BSL-1.0
// Where a census starts, and what it results in.
#pragma once

#include <vdisk/format/qcow2/counters.hpp>
#include <vdisk/format/qcow2/layout.hpp>
#include <vdisk/format/qcow2/table_set.hpp>

namespace vdisk::qcow2 {

/// An L1 table that is to be counted.
struct Root {
    L1 l1;
    bool active = false;     ///< the guest sees what it maps
    bool is_counted = true;  ///< its own clusters are, too
};

/// What `Problem::what` is for a snapshot that does not say how large its disk is. Whoever writes
/// the snapshot table anew mends it.
inline constexpr char lacks_disk_size[] = "qcow2: snapshot without its disk size";

/// Whether the L1 table of a snapshot can be one. That of a disk of 0 bytes is nowhere.
[[nodiscard]] inline bool is_l1(const Layout& layout, L1 l1) {
    return (l1.at != 0 || l1.entries == 0) && is_aligned(l1.at, layout.cluster_bits) &&
           l1.entries <= max_l1_bytes / 8;
}

/// What `Problem::what` is for a snapshot of whose disk the L1 table maps a part only.
inline constexpr char l1_too_small[] = "qcow2: L1 table of a snapshot is too small for its disk";

/// What is wrong with the L1 table of a snapshot of so many bytes; nullptr: nothing.
[[nodiscard]] inline const char* l1_flaw(const Layout& layout, L1 l1, uint64_t disk_size) {
    if (!is_l1(layout, l1)) {
        return "qcow2: L1 table of a snapshot is unaligned or larger than 32 MiB";
    }
    return l1.entries < blocks(disk_size, layout.l1_shift()) ? l1_too_small : nullptr;
}

/// The result. `counts` has a number for every cluster of the file, for one more (of which only
/// what is unaligned can reach a part), and for those that the caller asked for.
template <Allocation A>
struct Census {
    Counters<A> counts;
    TableSet<A> tables;
    uint64_t clusters = 0;  ///< of the file, and one more if something ends there
    uint64_t allocated = 0, fragmented = 0, compressed = 0;  ///< guest clusters, active L1
};

}  // namespace vdisk::qcow2
