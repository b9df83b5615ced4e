// SPDX-License-Identifier: BSL-1.0
// From a qcow header to numbers that can be trusted. Every field is checked here and only here.
#pragma once

#include <vdisk/core/math.hpp>
#include <vdisk/core/result.hpp>
#include <vdisk/format/image.hpp>
#include <vdisk/format/qcow/disk.hpp>

namespace vdisk::qcow {

inline constexpr uint32_t max_name_length = 1023;

/// The header, checked: the L1 table lies inside the file, sums cannot wrap.
struct Layout {
    uint8_t cluster_bits = 0;   ///< 9 to 16
    uint8_t l2_bits = 0;        ///< log2 of the entries of an L2 table, 6 to 13
    uint32_t crypt_method = 0;  ///< 0 none, 1 AES
    uint64_t size = 0;          ///< bytes the guest sees, a multiple of 512
    uint64_t l1_at = 0;
    uint64_t l1_entries = 0;
    Text backing_file;

    [[nodiscard]] uint64_t cluster_size() const { return power_of_two(cluster_bits); }
    [[nodiscard]] uint64_t l2_bytes() const { return uint64_t{8} << l2_bits; }
    /// log2 of the guest bytes that one L1 entry stands for; 15 to 29.
    [[nodiscard]] unsigned l1_shift() const { return unsigned{cluster_bits} + l2_bits; }
};

/// Checks a header against the size of its file.
inline Result<Layout> check(const Header& h, uint64_t file_size) {
    const auto found = [&h](const auto& field, uint64_t value) {
        return Found{value, static_cast<uint64_t>(reinterpret_cast<const byte*>(&field) -
                                                  reinterpret_cast<const byte*>(&h))};
    };
    if (h.magic.value() != magic) return corrupt("qcow: no qcow magic", {h.magic.value(), 0});
    if (h.version.value() != 1) {
        return unsupported("qcow: version is not 1", {h.version.value(), 4});
    }
    Layout out;
    if (h.cluster_bits < 9 || h.cluster_bits > 16) {
        return corrupt("qcow: cluster_bits is not between 9 and 16",
                       found(h.cluster_bits, h.cluster_bits));
    }
    if (h.l2_bits < 6 || h.l2_bits > 13) {
        return corrupt("qcow: l2_bits is not between 6 and 13", found(h.l2_bits, h.l2_bits));
    }
    out.cluster_bits = h.cluster_bits;
    out.l2_bits = h.l2_bits;
    const uint64_t size = h.size.value();
    if (size < 2 || size >> 63 != 0) {
        return corrupt("qcow: size is below 2 or not below 2^63", found(h.size, size));
    }
    out.size = align_down(size, 9);
    out.crypt_method = h.crypt_method.value();
    if (out.crypt_method > 1) {
        return unsupported("qcow: unknown encryption method",
                           found(h.crypt_method, out.crypt_method));
    }
    out.l1_at = h.l1_table_offset.value();
    out.l1_entries = blocks(size, out.l1_shift());
    if (out.l1_at < sizeof(Header)) {
        return corrupt("qcow: L1 table overlaps the header", found(h.l1_table_offset, out.l1_at));
    }
    // At most 2^48 entries: the product cannot wrap.
    if (!fits(out.l1_at, out.l1_entries * 8, file_size)) {
        return corrupt("qcow: L1 table ends past the end of the file",
                       found(h.l1_table_offset, out.l1_at));
    }
    if (h.backing_file_offset.value() != 0) {
        out.backing_file = {h.backing_file_offset.value(), h.backing_file_size.value()};
        if (out.backing_file.length > max_name_length ||
            !fits(out.backing_file.at, out.backing_file.length, file_size)) {
            return corrupt("qcow: backing file name is too long or past the end of the file",
                           found(h.backing_file_size, out.backing_file.length));
        }
    }
    return out;
}

}  // namespace vdisk::qcow
