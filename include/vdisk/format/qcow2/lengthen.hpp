// SPDX-License-Identifier: BSL-1.0
// Snapshots whose L1 table is too small for their disk: a longer table, or a smaller disk.
#pragma once

#include <vdisk/format/qcow2/census.hpp>

namespace vdisk::qcow2 {

namespace lengthening {

/// One image; `census` is that of its present state.
template <WritableStorage S, Allocation A>
class Lengthen {
public:
    Lengthen(S& storage, const Closed<S, A>& image, const Census<A>& census)
        : storage_(storage), image_(image), layout_(image.layout), census_(census) {}

    Status run() {
        uint64_t next = layout_.snapshots_at;
        return each_snapshot(image_.tables.storage(), layout_, [&](const Snapshot& s) -> Status {
            const uint64_t at = std::exchange(next, s.end);
            const uint64_t entries = blocks(s.disk_size, layout_.l1_shift());
            if (l1_flaw(layout_, s.l1, s.disk_size) != l1_too_small) return {};
            if (!has_room(s.l1, entries)) return shorten(at, s);
            if (Status filled = fill(s.l1, entries); !filled) return filled;
            be32 size(static_cast<uint32_t>(entries));
            return put(at + offsetof(SnapshotHeader, l1_size), std::as_bytes(std::span(&size, 1)));
        });
    }

private:
    Status put(uint64_t at, Bytes bytes) {
        Status written = storage_.write(at, bytes);
        return written ? storage_.flush() : written;
    }

    // To what the table maps. A snapshot that does not say its size does so after the rewrite.
    Status shorten(uint64_t at, const Snapshot& s) {
        if (s.extra_size < 16) return {};
        be64 size(uint64_t{s.l1.entries} << layout_.l1_shift());
        return put(at + sizeof(SnapshotHeader) + offsetof(SnapshotExtra, disk_size),
                   std::as_bytes(std::span(&size, 1)));
    }

    // In the last cluster that the table has, and that nothing else uses.
    [[nodiscard]] bool has_room(L1 l1, uint64_t entries) const {
        const uint64_t bytes = uint64_t{l1.entries} * 8;
        if (l1.entries == 0 || entries > max_l1_bytes / 8 || !image_.has(l1.at, bytes)) {
            return false;
        }
        const uint64_t last = (l1.at + bytes - 1) >> layout_.cluster_bits;
        return l1.at + entries * 8 <= (last + 1) << layout_.cluster_bits &&
               census_.counts[last] == 1;
    }

    Status fill(L1 l1, uint64_t entries) {
        const uint64_t end = l1.at + entries * 8;
        if (end > storage_.size()) {
            if (Status grown = storage_.resize(end); !grown) return grown;
        }
        for (uint64_t at = l1.at + uint64_t{l1.entries} * 8; at < end; at += 8) {
            const auto e = image_.tables.be64(at);
            if (!e) return e.error();
            const auto lost = was_entry(*e);
            if (!lost) return lost.error();
            if (*lost) continue;
            if (Status put = storage_.write(at, std::array<byte, 8>{}); !put) return put;
        }
        return storage_.flush();
    }

    // What stands behind the table may be the rest of it: then what it leads to has leaked.
    [[nodiscard]] Result<bool> was_entry(uint64_t e) const {
        const uint64_t table = e & entry::offset_mask;
        if (table == 0 || (e & entry::reserved_l1) != 0 ||
            !is_aligned(table, layout_.cluster_bits) ||
            !image_.has(table, layout_.cluster_size())) {
            return false;
        }
        const uint64_t cluster = table >> layout_.cluster_bits;
        const auto stored = stored_refcount(image_.tables, layout_, cluster);
        if (!stored) return stored.error();
        return stored->readable && stored->value > census_.counts[cluster];
    }

    S& storage_;
    const Closed<S, A>& image_;
    const Layout& layout_;
    const Census<A>& census_;
};

}  // namespace lengthening

/// Lengthens the L1 tables of snapshots, in place, where there is room for it. Entries that still
/// stand there come back if the refcounts know what they lead to; others read as zeros. Where there
/// is none the snapshot ends where its table does. The refcounts of what comes back do not follow
/// yet.
template <WritableStorage S, Allocation A>
Status lengthen_l1_tables(S& storage, const Closed<S, A>& image, A allocation) {
    if (image.layout.snapshots == 0 || image.layout.has_data_file) return {};
    auto census = make_census(image, image.layout.refcount_order, 0, std::move(allocation));
    if (!census) return census.error();
    NoVisitor nobody;
    if (Status taken = take_census(image, *census, nobody); !taken) return taken;
    return lengthening::Lengthen<S, A>(storage, image, *census).run();
}

}  // namespace vdisk::qcow2
