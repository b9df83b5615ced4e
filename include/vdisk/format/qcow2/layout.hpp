// SPDX-License-Identifier: BSL-1.0
// From a qcow2 header to numbers that can be trusted. Every field is checked here and only here.
#pragma once

#include <vdisk/core/math.hpp>
#include <vdisk/core/result.hpp>
#include <vdisk/format/image.hpp>
#include <vdisk/format/qcow2/disk.hpp>
#include <vdisk/storage/load.hpp>

namespace vdisk::qcow2 {

/// What `Error::what` is for an image that needs features nobody here knows; `Error::value` is the
/// set of their bits. feature_name() finds what the image calls them.
inline constexpr char unknown_features[] = "qcow2: unknown incompatible features";

inline constexpr uint64_t max_l1_bytes = 32_MiB;
inline constexpr uint64_t max_refcount_table_bytes = 8_MiB;
inline constexpr uint32_t max_snapshots = 65536;
inline constexpr uint32_t max_name_length = 1023;
inline constexpr uint32_t max_format_length = 15;

/// A table of L2 table pointers: the active one or a snapshot's.
struct L1 {
    uint64_t at = 0;
    uint32_t entries = 0;
};

/// The header, checked: offsets are aligned and inside the file, sums cannot wrap.
struct Layout {
    uint32_t version = 0;
    uint8_t cluster_bits = 0;
    uint8_t refcount_order = 4;
    bool extended_l2 = false;
    bool has_data_file = false;  ///< guest data lies in an external file, at guest offsets
    Packing packing = Packing::deflate;
    uint32_t crypt_method = 0;  ///< 0 none, 1 AES, 2 LUKS
    uint64_t size = 0;          ///< bytes the guest sees, a multiple of 512
    L1 l1;
    uint64_t refcount_table_at = 0;
    uint64_t refcount_table_bytes = 0;
    uint64_t snapshots_at = 0;
    uint32_t snapshots = 0;
    uint64_t incompatible = 0, compatible = 0, autoclear = 0;
    uint64_t extensions_at = 0, extensions_end = 0;
    Text backing_file;

    // From the header extensions.
    Text backing_format;
    Text data_file;
    Text feature_names;
    Text bitmaps;
    Text encryption;

    [[nodiscard]] uint64_t cluster_size() const { return power_of_two(cluster_bits); }
    /// log2 of the entries in an L2 table.
    [[nodiscard]] unsigned l2_bits() const { return cluster_bits - (extended_l2 ? 4u : 3u); }
    /// log2 of the guest bytes that one L1 entry stands for; 15 to 39.
    [[nodiscard]] unsigned l1_shift() const { return cluster_bits + l2_bits(); }
    [[nodiscard]] bool is_dirty() const { return incompatible & incompatible::dirty; }
    [[nodiscard]] bool is_corrupt() const { return incompatible & incompatible::corrupt; }
};

/// Where a header field stands, for error messages.
template <class Field>
constexpr Found found(const Header& header, const Field& field) {
    const auto at = reinterpret_cast<const byte*>(&field) - reinterpret_cast<const byte*>(&header);
    return {field.value(), static_cast<uint64_t>(at)};
}

/// Checks that `l1` can map `size` bytes and lies inside the file.
inline Status check_l1(const Layout& layout, L1 l1, uint64_t size, uint64_t file_size) {
    const Found where{l1.at, Error::none};
    if (l1.entries > max_l1_bytes / 8) {
        return fail(Errc::limit, "qcow2: L1 table is larger than 32 MiB", {l1.entries});
    }
    if (l1.entries < blocks(size, layout.l1_shift())) {
        return corrupt("qcow2: L1 table is too small for the disk size", {l1.entries});
    }
    if (l1.entries == 0) return {};
    if (!is_aligned(l1.at, layout.cluster_bits)) {
        return corrupt("qcow2: L1 table offset is not a multiple of the cluster size", where);
    }
    if (l1.at == 0) return corrupt("qcow2: L1 table overlaps the header", where);
    if (!fits(l1.at, uint64_t{l1.entries} * 8, file_size)) {
        return corrupt("qcow2: L1 table ends past the end of the file", where);
    }
    return {};
}

namespace layout {

inline Status check_features(const Header& h, Layout& out) {
    out.incompatible = h.incompatible_features.value();
    out.compatible = h.compatible_features.value();
    out.autoclear = h.autoclear_features.value();
    if (const uint64_t unknown = out.incompatible & ~incompatible::known; unknown != 0) {
        return unsupported(unknown_features, {unknown, 72});
    }
    const uint32_t length = h.header_length.value();
    if (length < v3_header_length || length > out.cluster_size() || length % 8 != 0) {
        return corrupt("qcow2: header_length is out of range", found(h, h.header_length));
    }
    if (h.refcount_order.value() > 6) {
        return corrupt("qcow2: refcount_order is larger than 6", found(h, h.refcount_order));
    }
    const uint8_t packing = length > v3_header_length ? h.compression_type : uint8_t{0};
    if (packing > 1) return unsupported("qcow2: unknown compression type", {packing, 104});
    if ((packing != 0) != ((out.incompatible & incompatible::compression) != 0)) {
        return corrupt("qcow2: compression type contradicts its feature bit", {packing, 104});
    }
    out.refcount_order = static_cast<uint8_t>(h.refcount_order.value());
    out.packing = packing == 1 ? Packing::zstd : Packing::deflate;
    out.extended_l2 = (out.incompatible & incompatible::extended_l2) != 0;
    out.has_data_file = (out.incompatible & incompatible::data_file) != 0;
    if (out.extended_l2 && out.cluster_bits < 14) {
        return corrupt("qcow2: extended L2 entries need clusters of 16 KiB or more",
                       found(h, h.cluster_bits));
    }
    if ((out.autoclear & autoclear::data_file_raw) != 0 && !out.has_data_file) {
        return corrupt("qcow2: raw data file flag without a data file", {out.autoclear, 88});
    }
    out.extensions_at = length;
    return {};
}

inline Status check_tables(const Header& h, Layout& out, uint64_t file_size) {
    out.l1 = {h.l1_table_offset.value(), h.l1_size.value()};
    if (Status l1 = check_l1(out, out.l1, out.size, file_size); !l1) return l1;

    out.refcount_table_at = h.refcount_table_offset.value();
    const uint64_t clusters = h.refcount_table_clusters.value();
    if (clusters == 0) {
        return corrupt("qcow2: no refcount table", found(h, h.refcount_table_clusters));
    }
    if (clusters > max_refcount_table_bytes >> out.cluster_bits) {
        return fail(Errc::limit, "qcow2: refcount table is larger than 8 MiB",
                    found(h, h.refcount_table_clusters));
    }
    out.refcount_table_bytes = clusters << out.cluster_bits;
    const Found where = found(h, h.refcount_table_offset);
    if (!is_aligned(out.refcount_table_at, out.cluster_bits) || out.refcount_table_at == 0) {
        return corrupt("qcow2: refcount table offset is not a multiple of the cluster size", where);
    }
    if (out.refcount_table_at >= file_size) {
        return corrupt("qcow2: refcount table lies past the end of the file", where);
    }
    if (out.l1.entries > 0 && overlaps(out.refcount_table_at, out.refcount_table_bytes, out.l1.at,
                                       uint64_t{out.l1.entries} * 8)) {
        return corrupt("qcow2: refcount table overlaps the L1 table", where);
    }

    out.snapshots = h.nb_snapshots.value();
    out.snapshots_at = h.snapshots_offset.value();
    if (out.snapshots > max_snapshots) {
        return fail(Errc::limit, "qcow2: more than 65536 snapshots", found(h, h.nb_snapshots));
    }
    if (out.snapshots > 0 && (!is_aligned(out.snapshots_at, out.cluster_bits) ||
                              out.snapshots_at == 0 || out.snapshots_at >= file_size)) {
        return corrupt("qcow2: snapshot table offset is unaligned or past the end of the file",
                       found(h, h.snapshots_offset));
    }
    return {};
}

inline Status check_backing(const Header& h, Layout& out, uint64_t file_size) {
    const uint64_t at = h.backing_file_offset.value();
    out.extensions_end = out.cluster_size();
    if (at == 0) return {};
    const uint32_t length = h.backing_file_size.value();
    if (at < out.extensions_at || at > out.cluster_size()) {
        return corrupt("qcow2: backing file name lies outside the first cluster",
                       found(h, h.backing_file_offset));
    }
    if (length > max_name_length || !fits(at, length, out.cluster_size()) ||
        !fits(at, length, file_size)) {
        return corrupt("qcow2: backing file name is too long", found(h, h.backing_file_size));
    }
    out.extensions_end = at;
    out.backing_file = {at, length};
    return {};
}

}  // namespace layout

/// Checks a header against the size of its file. Header extensions are not looked at yet.
inline Result<Layout> check(const Header& h, uint64_t file_size) {
    if (h.magic.value() != magic) return corrupt("qcow2: no qcow2 magic", found(h, h.magic));
    Layout out;
    out.version = h.version.value();
    if (out.version != 2 && out.version != 3) {
        return unsupported("qcow2: version is neither 2 nor 3", found(h, h.version));
    }
    if (file_size < (out.version == 2 ? v2_header_length : v3_header_length)) {
        return corrupt("qcow2: the file is shorter than its header", {file_size});
    }
    const uint32_t cluster_bits = h.cluster_bits.value();
    if (cluster_bits < 9 || cluster_bits > 21) {
        return corrupt("qcow2: cluster_bits is not between 9 and 21", found(h, h.cluster_bits));
    }
    out.cluster_bits = static_cast<uint8_t>(cluster_bits);
    out.extensions_at = v2_header_length;
    if (out.version == 3) {
        if (Status features = layout::check_features(h, out); !features) return features.error();
    }
    out.crypt_method = h.crypt_method.value();
    if (out.crypt_method > 2) {
        return unsupported("qcow2: unknown encryption method", found(h, h.crypt_method));
    }
    out.size = align_down(h.size.value(), 9);
    if (out.size >> 63 != 0) return corrupt("qcow2: size is 2^63 or more", found(h, h.size));
    if (Status tables = layout::check_tables(h, out, file_size); !tables) return tables.error();
    if (Status name = layout::check_backing(h, out, file_size); !name) return name.error();
    return out;
}

}  // namespace vdisk::qcow2
