// SPDX-License-Identifier: BSL-1.0
// What a new qcow2 image shall be, and where its parts will stand.
#pragma once

#include <string_view>

#include <vdisk/format/qcow2/layout.hpp>
#include <vdisk/format/qcow2/refcount.hpp>

namespace vdisk::qcow2 {

/// What of a new image has its place in the file from the start.
enum class Preallocation : uint8_t {
    off,       ///< the fixed tables
    metadata,  ///< all tables and clusters; clusters are holes where the storage has holes
    falloc,    ///< the same, and the storage keeps room for the clusters
    full,      ///< the same, and zeros are written into the clusters
};

struct CreateOptions {
    uint64_t size = 0;            ///< bytes the guest sees; rounded up to 512
    unsigned cluster_bits = 16;   ///< 9 to 21
    unsigned version = 3;         ///< 2 (compat 0.10) or 3 (compat 1.1)
    unsigned refcount_order = 4;  ///< log2 of the bits of a refcount, 0 to 6; version 2: 4
    bool lazy_refcounts = false;
    bool extended_l2 = false;  ///< needs clusters of 16 KiB or more
    Packing packing = Packing::deflate;
    std::string_view data_file = {};  ///< name of the external data file
    bool data_file_raw = false;       ///< it stays readable as a raw image; all is preallocated
    Preallocation preallocation = Preallocation::off;
    std::string_view backing_file = {};
    std::string_view backing_format = {};  ///< required with a backing file
};

/// Where the parts of a new image stand, one behind the other.
struct CreatePlan {
    uint64_t size = 0;            ///< bytes the guest sees
    uint64_t guest_clusters = 0;  ///< all of the disk
    uint64_t l1_entries = 0;
    uint64_t table_clusters = 0;  ///< of the refcount table
    uint64_t block_clusters = 0;  ///< refcount blocks
    uint64_t l1_clusters = 0;
    uint64_t l2_clusters = 0;    ///< 0 without preallocation
    uint64_t data_clusters = 0;  ///< 0 without preallocation or with a data file
    unsigned cluster_bits = 0;

    [[nodiscard]] uint64_t table_at() const { return uint64_t{1} << cluster_bits; }
    [[nodiscard]] uint64_t blocks_at() const { return behind(table_at(), table_clusters); }
    [[nodiscard]] uint64_t l1_at() const { return behind(blocks_at(), block_clusters); }
    [[nodiscard]] uint64_t l2_at() const { return behind(l1_at(), l1_clusters); }
    [[nodiscard]] uint64_t data_at() const { return behind(l2_at(), l2_clusters); }
    /// Bytes of the whole file.
    [[nodiscard]] uint64_t file_size() const { return behind(data_at(), data_clusters); }
    /// Clusters of the whole file.
    [[nodiscard]] uint64_t clusters() const { return file_size() >> cluster_bits; }

private:
    [[nodiscard]] uint64_t behind(uint64_t at, uint64_t count) const {
        return at + (count << cluster_bits);
    }
};

namespace create_rules {

inline Status version_2(const CreateOptions& o) {
    if (o.version >= 3) return {};
    if (o.refcount_order != 4) {
        return invalid("qcow2: version 2 has refcounts of 16 bits", {o.refcount_order});
    }
    if (o.lazy_refcounts) return invalid("qcow2: version 2 has no lazy refcounts");
    if (o.extended_l2) return invalid("qcow2: version 2 has no extended L2 entries");
    if (o.packing != Packing::deflate) return invalid("qcow2: version 2 is packed with deflate");
    if (!o.data_file.empty()) return invalid("qcow2: version 2 has no external data file");
    return {};
}

inline Status names(const CreateOptions& o) {
    if (o.backing_file.size() > max_name_length) {
        return invalid("qcow2: backing file name is too long", {o.backing_file.size()});
    }
    if (o.backing_format.size() > max_format_length) {
        return invalid("qcow2: name of the backing format is too long", {o.backing_format.size()});
    }
    if (o.data_file.size() > max_name_length) {
        return invalid("qcow2: name of the data file is too long", {o.data_file.size()});
    }
    for (const std::string_view name : {o.backing_file, o.backing_format, o.data_file}) {
        if (name.find('\0') != std::string_view::npos) return invalid("qcow2: name holds a NUL");
    }
    if (o.backing_file.empty() && !o.backing_format.empty()) {
        return invalid("qcow2: backing format without a backing file");
    }
    if (!o.backing_file.empty() && o.backing_format.empty()) {
        return invalid("qcow2: backing file without its format");
    }
    return {};
}

}  // namespace create_rules

/// True if all clusters have their place from the start.
[[nodiscard]] constexpr bool preallocates(const CreateOptions& o) {
    return o.preallocation != Preallocation::off || o.data_file_raw;
}

/// Checks the options against each other and against what the format can hold.
inline Status check(const CreateOptions& o) {
    if (o.cluster_bits < 9 || o.cluster_bits > 21) {
        return invalid("qcow2: cluster_bits is not between 9 and 21", {o.cluster_bits});
    }
    if (o.version != 2 && o.version != 3) {
        return invalid("qcow2: version is neither 2 nor 3", {o.version});
    }
    if (o.refcount_order > 6) {
        return invalid("qcow2: refcount_order is larger than 6", {o.refcount_order});
    }
    if (Status old = create_rules::version_2(o); !old) return old;
    if (Status named = create_rules::names(o); !named) return named;
    if (o.extended_l2 && o.cluster_bits < 14) {
        return invalid("qcow2: extended L2 entries need clusters of 16 KiB or more",
                       {o.cluster_bits});
    }
    if (o.data_file_raw && o.data_file.empty()) {
        return invalid("qcow2: data_file_raw without a data file");
    }
    if (o.data_file_raw && !o.backing_file.empty()) {
        return invalid("qcow2: a raw data file and a backing file exclude each other");
    }
    if (preallocates(o) && !o.backing_file.empty() && !o.extended_l2) {
        return invalid("qcow2: preallocation over a backing file needs extended L2 entries");
    }
    return {};
}

/// Lays out the image that the options describe. Refuses what check() refuses and disks that are
/// too large for clusters of this size: an L1 table is 32 MiB at most, a refcount table 8 MiB.
inline Result<CreatePlan> plan(const CreateOptions& o) {
    if (Status checked = check(o); !checked) return checked.error();
    const auto too_large = invalid("qcow2: size is too large for this cluster size", {o.size});
    const unsigned bits = o.cluster_bits;
    const unsigned entry_bits = o.extended_l2 ? 4 : 3;
    if (o.size > (uint64_t{1} << 63) - 512) return too_large;
    CreatePlan out;
    out.cluster_bits = bits;
    out.size = blocks(o.size, 9) << 9;
    out.guest_clusters = blocks(out.size, bits);
    out.l1_entries = blocks(out.guest_clusters, bits - entry_bits);
    if (out.l1_entries > max_l1_bytes / 8) return too_large;
    out.l1_clusters = blocks(out.l1_entries * 8, bits);
    if (preallocates(o)) {
        if (blocks(out.size, bits) << bits > uint64_t{1} << 56) return too_large;
        out.l2_clusters = out.l1_entries;
        if (o.data_file.empty()) out.data_clusters = out.guest_clusters;
    }
    // Refcounts count themselves: grow table and blocks until they hold all that is there. Both
    // only grow, and each round adds at most a fraction of what the last one added.
    out.block_clusters = out.table_clusters = 1;
    for (;;) {
        const uint64_t needed = blocks(out.clusters(), refcount_block_bits(bits, o.refcount_order));
        const uint64_t table = blocks(needed * 8, bits);
        if (needed <= out.block_clusters && table <= out.table_clusters) break;
        out.block_clusters = needed;
        out.table_clusters = table;
    }
    if (out.table_clusters > max_refcount_table_bytes >> bits) return too_large;
    if (out.file_size() > uint64_t{1} << 56) return too_large;
    return out;
}

}  // namespace vdisk::qcow2
