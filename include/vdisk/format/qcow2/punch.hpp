// SPDX-License-Identifier: BSL-1.0
// Gives the file system back what a closed image does not use.
#pragma once

#include <vdisk/format/qcow2/closed.hpp>

namespace vdisk::qcow2 {

/// Makes holes of the clusters with refcount 0. Only for images whose refcounts are right, such as
/// those that shrink() or delete_snapshot() has just written; one that is dirty or marked corrupt
/// is left alone, and so is all where the storage cannot make holes.
template <PunchStorage S, Allocation A>
Status punch_free(S& storage, A allocation) {
    const auto image = open_closed(storage, std::move(allocation));
    if (!image) return image.error();
    const Layout& layout = image->layout;
    if (layout.is_dirty() || layout.is_corrupt()) return {};
    const unsigned bits = layout.cluster_bits;
    const uint64_t size = storage.size();
    const uint64_t per_block = uint64_t{1} << refcount_block_bits(bits, layout.refcount_order);
    const uint64_t known = layout.refcount_table_bytes / 8 * per_block;
    const uint64_t end = image->file_clusters() < known ? image->file_clusters() : known;
    for (uint64_t at = 1; at < end;) {
        uint64_t free = at;
        for (; free < end; ++free) {
            const auto stored = stored_refcount(image->tables, layout, free);
            if (!stored) return stored.error();
            if (!stored->is(0)) break;
        }
        if (free > at) {
            const uint64_t from = at << bits;
            const uint64_t to = free << bits < size ? free << bits : size;
            const Status punched = storage.punch(from, to - from);
            if (!punched && punched.error().code == Errc::unsupported) return {};
            if (!punched) return punched;
        }
        at = free + 1;
    }
    return {};
}

}  // namespace vdisk::qcow2
