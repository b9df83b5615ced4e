// SPDX-License-Identifier: BSL-1.0
// How qcow2 finds bytes: L1 entry -> L2 table -> cluster (or subcluster). No data moves here.
#pragma once

#include <bit>

#include <vdisk/format/qcow2/layout.hpp>

namespace vdisk::qcow2 {

/// What lookups need to know besides the tables: the layout, which L1 table is in use, and how
/// long the files are.
struct Where {
    const Layout& layout;
    L1 l1;
    uint64_t file_size;  ///< of the image file
    uint64_t data_size;  ///< of the file that holds guest data
};

namespace lookup {

/// A pointer to a cluster may not lead into the header or the tables that are always there.
inline bool is_metadata(const Where& w, uint64_t cluster) {
    const Layout& layout = w.layout;
    const uint64_t size = layout.cluster_size();
    return cluster < size || overlaps(cluster, size, w.l1.at, uint64_t{w.l1.entries} * 8) ||
           overlaps(cluster, size, layout.refcount_table_at, layout.refcount_table_bytes);
}

/// The L2 table an L1 entry points to, checked; 0 if there is none.
inline Result<uint64_t> l2_table(const Where& w, uint64_t l1_entry, uint64_t entry_at) {
    const uint64_t table = l1_entry & entry::offset_mask;
    if (table == 0) return table;
    const Found where{l1_entry, entry_at};
    if (!is_aligned(table, w.layout.cluster_bits)) {
        return corrupt("qcow2: L2 table offset is not a multiple of the cluster size", where);
    }
    if (table >= w.file_size) {
        return corrupt("qcow2: L2 table lies past the end of the file", where);
    }
    if (is_metadata(w, table)) {
        return corrupt("qcow2: L2 table overlaps the header, L1 or refcount table", where);
    }
    return table;
}

inline Result<Extent> compressed(const Where& w, uint64_t e, uint64_t guest, Found where) {
    const Layout& layout = w.layout;
    if (layout.has_data_file) {
        return corrupt("qcow2: compressed cluster in an image with an external data file", where);
    }
    const unsigned offset_bits = 62u - (layout.cluster_bits - 8u);
    const uint64_t at = e & (power_of_two(offset_bits) - 1);
    const uint64_t sectors = ((e & ~(entry::compressed | entry::copied)) >> offset_bits) + 1;
    if (at >> 56 != 0 || at >= w.file_size) {
        return corrupt("qcow2: compressed cluster lies past the end of the file", where);
    }
    uint64_t stored = sectors * 512 - (at & 511);
    if (stored > w.file_size - at) stored = w.file_size - at;
    const uint64_t skip = guest & (layout.cluster_size() - 1);
    return Extent{.kind = Kind::compressed,
                  .at = at,
                  .length = layout.cluster_size() - skip,
                  .packed = {.stored = static_cast<uint32_t>(stored),
                             .unit = static_cast<uint32_t>(layout.cluster_size()),
                             .skip = static_cast<uint32_t>(skip),
                             .packing = layout.packing}};
}

inline Error unaligned(Found where) {
    return corrupt("qcow2: cluster offset is not a multiple of the cluster size", where);
}

/// A run inside a cluster that is stored as it is. The last cluster of a file may be cut short:
/// what is missing reads as zeros.
inline Result<Extent> stored(const Where& w, uint64_t host, uint64_t guest, uint64_t length,
                             Found where) {
    const Layout& layout = w.layout;
    if (!is_aligned(host, layout.cluster_bits)) return unaligned(where);
    if (layout.has_data_file) {
        if (host != align_down(guest, layout.cluster_bits)) {
            return corrupt("qcow2: cluster in the data file is not at its guest offset", where);
        }
    } else if (host >= w.data_size) {
        return corrupt("qcow2: cluster lies past the end of the file", where);
    } else if (is_metadata(w, host)) {
        return corrupt("qcow2: cluster overlaps the header, L1 or refcount table", where);
    }
    const uint64_t at = host + (guest & (layout.cluster_size() - 1));
    if (at >= w.data_size) return Extent{.kind = Kind::zero, .length = length};
    if (length > w.data_size - at) length = w.data_size - at;
    return Extent{.kind = Kind::data, .at = at, .length = length};
}

/// In a data file, offset 0 is the home of the first cluster; "copied" tells it from nothing.
inline bool has_home(const Layout& layout, uint64_t e) {
    return (e & entry::offset_mask) != 0 || (layout.has_data_file && (e & entry::copied) != 0);
}

/// Extended L2 entries: the run of equal subclusters from `guest` to the end of its cluster.
/// `bitmap` has an "allocated" bit per subcluster in its low half, a "zero" bit in its high half.
inline Result<Extent> subclusters(const Where& w, uint64_t e, uint64_t bitmap, uint64_t guest,
                                  uint64_t entry_at) {
    const Found where{e, entry_at};
    if ((e & entry::compressed) != 0) {
        if (bitmap == 0) return compressed(w, e, guest, where);
        return corrupt("qcow2: compressed cluster with subclusters", {bitmap, where.at + 8});
    }
    const uint64_t host = e & entry::offset_mask;
    const auto allocated = static_cast<uint32_t>(bitmap);
    const auto zero = static_cast<uint32_t>(bitmap >> 32);
    if ((allocated & zero) != 0) {
        return corrupt("qcow2: subcluster is both allocated and zero", {bitmap, where.at + 8});
    }
    if (allocated != 0 && host == 0 && !w.layout.has_data_file) {
        return corrupt("qcow2: allocated subcluster without a cluster", {bitmap, where.at + 8});
    }
    const unsigned sub_bits = w.layout.cluster_bits - 5u;
    const uint64_t in_cluster = guest & (w.layout.cluster_size() - 1);
    const auto first = static_cast<unsigned>(in_cluster >> sub_bits);
    const auto run_of = [&](uint32_t bits) {
        const auto run = static_cast<unsigned>(std::countr_one(bits >> first));
        return (uint64_t{first + run} << sub_bits) - in_cluster;
    };
    if ((allocated >> first & 1) != 0) return stored(w, host, guest, run_of(allocated), where);
    if (!is_aligned(host, w.layout.cluster_bits)) return unaligned(where);
    const bool is_zero = (zero >> first & 1) != 0;
    return Extent{.kind = is_zero ? Kind::zero : Kind::absent,
                  .at = has_home(w.layout, e) ? host + in_cluster : 0,
                  .length = run_of(is_zero ? zero : ~(allocated | zero))};
}

/// Standard L2 entries: what one says about the rest of its cluster from `guest` on.
inline Result<Extent> cluster(const Where& w, uint64_t e, uint64_t guest, uint64_t entry_at) {
    const Layout& layout = w.layout;
    const Found where{e, entry_at};
    if ((e & entry::compressed) != 0) [[unlikely]]
        return compressed(w, e, guest, where);
    const uint64_t host = e & entry::offset_mask;
    const uint64_t in_cluster = guest & (layout.cluster_size() - 1);
    const uint64_t rest = layout.cluster_size() - in_cluster;
    if ((e & entry::zero) != 0) {
        if (layout.version < 3) return corrupt("qcow2: zero flag in a version 2 image", where);
        if (!is_aligned(host, layout.cluster_bits)) return unaligned(where);
        return Extent{.kind = Kind::zero, .at = host == 0 ? 0 : host + in_cluster, .length = rest};
    }
    if (!has_home(layout, e)) return Extent{.kind = Kind::absent, .length = rest};
    return stored(w, host, guest, rest, where);
}

}  // namespace lookup
}  // namespace vdisk::qcow2
