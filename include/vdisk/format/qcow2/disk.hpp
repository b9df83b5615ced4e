// SPDX-License-Identifier: BSL-1.0
// qcow2 as it stands in the file: structs and constants, nothing checked. Big-endian.
// Source: QEMU docs/interop/qcow2.txt; field names are those of the specification.
#pragma once

#include <array>

#include <vdisk/core/endian.hpp>

namespace vdisk::qcow2 {

inline constexpr uint32_t magic = 0x514649FB;  // "QFI\xfb"

/// The header; version 2 ends after snapshots_offset, version 3 after header_length or later.
struct Header {
    be32 magic;
    be32 version;
    be64 backing_file_offset;
    be32 backing_file_size;
    be32 cluster_bits;
    be64 size;
    be32 crypt_method;
    be32 l1_size;
    be64 l1_table_offset;
    be64 refcount_table_offset;
    be32 refcount_table_clusters;
    be32 nb_snapshots;
    be64 snapshots_offset;
    be64 incompatible_features;
    be64 compatible_features;
    be64 autoclear_features;
    be32 refcount_order;
    be32 header_length;
    uint8_t compression_type;
    std::array<uint8_t, 7> padding;
};
static_assert(sizeof(Header) == 112 && alignof(Header) == 1);

inline constexpr uint32_t v2_header_length = 72;
inline constexpr uint32_t v3_header_length = 104;

/// Calls `visit(name, field)` for every field that a header of this version and length has, in
/// the order of the file.
template <class Visit>
constexpr void each_field(const Header& h, Visit&& visit) {
    visit("magic", h.magic);
    visit("version", h.version);
    visit("backing_file_offset", h.backing_file_offset);
    visit("backing_file_size", h.backing_file_size);
    visit("cluster_bits", h.cluster_bits);
    visit("size", h.size);
    visit("crypt_method", h.crypt_method);
    visit("l1_size", h.l1_size);
    visit("l1_table_offset", h.l1_table_offset);
    visit("refcount_table_offset", h.refcount_table_offset);
    visit("refcount_table_clusters", h.refcount_table_clusters);
    visit("nb_snapshots", h.nb_snapshots);
    visit("snapshots_offset", h.snapshots_offset);
    if (h.version.value() < 3) return;
    visit("incompatible_features", h.incompatible_features);
    visit("compatible_features", h.compatible_features);
    visit("autoclear_features", h.autoclear_features);
    visit("refcount_order", h.refcount_order);
    visit("header_length", h.header_length);
    if (h.header_length.value() > v3_header_length) visit("compression_type", h.compression_type);
}

namespace incompatible {
inline constexpr uint64_t dirty = 1, corrupt = 2, data_file = 4, compression = 8, extended_l2 = 16;
inline constexpr uint64_t known = dirty | corrupt | data_file | compression | extended_l2;
}  // namespace incompatible
namespace compatible {
inline constexpr uint64_t lazy_refcounts = 1;
}
namespace autoclear {
inline constexpr uint64_t bitmaps = 1, data_file_raw = 2;
}

/// Header extensions: type, length, data padded to 8 bytes.
struct ExtensionHeader {
    be32 type;
    be32 length;
};
static_assert(sizeof(ExtensionHeader) == 8);

namespace extension {
inline constexpr uint32_t end = 0;
inline constexpr uint32_t backing_format = 0xE2792ACA;
inline constexpr uint32_t feature_names = 0x6803F857;
inline constexpr uint32_t bitmaps = 0x23852875;
inline constexpr uint32_t encryption = 0x0537BE77;
inline constexpr uint32_t data_file = 0x44415441;
/// Ours, and passed over by everybody: room that holds nothing ("VDSP").
inline constexpr uint32_t spacer = 0x56445350;
}  // namespace extension

/// One row of the feature name table.
struct FeatureName {
    uint8_t kind;  ///< 0 incompatible, 1 compatible, 2 autoclear
    uint8_t bit;
    std::array<char, 46> name;
};
static_assert(sizeof(FeatureName) == 48);

/// Contents of the bitmaps extension.
struct BitmapsExtension {
    be32 nb_bitmaps;
    be32 reserved;
    be64 bitmap_directory_size;
    be64 bitmap_directory_offset;
};
static_assert(sizeof(BitmapsExtension) == 24);

/// One entry of the snapshot table; extra data, id and name follow it.
struct SnapshotHeader {
    be64 l1_table_offset;
    be32 l1_size;
    be16 id_str_size;
    be16 name_size;
    be32 date_sec;
    be32 date_nsec;
    be64 vm_clock_nsec;
    be32 vm_state_size;
    be32 extra_data_size;
};
static_assert(sizeof(SnapshotHeader) == 40);

/// What the extra data may begin with; older writers leave out the tail.
struct SnapshotExtra {
    be64 vm_state_size_large;
    be64 disk_size;
    be64 icount;
};
static_assert(sizeof(SnapshotExtra) == 24);

namespace entry {
inline constexpr uint64_t offset_mask = 0x00FFFFFFFFFFFE00;  ///< of L1 and standard L2 entries
inline constexpr uint64_t copied = uint64_t{1} << 63;
inline constexpr uint64_t compressed = uint64_t{1} << 62;
inline constexpr uint64_t zero = 1;
}  // namespace entry

}  // namespace vdisk::qcow2
