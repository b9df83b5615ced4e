// SPDX-License-Identifier: BSL-1.0
// L1 and L2 tables entry by entry, in small pieces.
#pragma once

#include <vdisk/format/qcow2/closed.hpp>

namespace vdisk::qcow2 {

/// What an L2 entry refers to.
struct Reference {
    enum class Kind : uint8_t { nothing, cluster, packed };
    Kind kind = Kind::nothing;
    uint64_t at = 0, length = 0;  ///< bytes of the file
};

/// Reads an L2 entry. Nothing is checked.
[[nodiscard]] inline Reference reference_of(const Layout& layout, uint64_t e) {
    using Kind = Reference::Kind;
    if ((e & entry::compressed) != 0) {
        const unsigned offset_bits = 62u - (layout.cluster_bits - 8u);
        const uint64_t at = e & ((uint64_t{1} << offset_bits) - 1);
        const uint64_t sectors = ((e & ~(entry::compressed | entry::copied)) >> offset_bits) + 1;
        return {Kind::packed, at, (sectors << 9) - (at & 511)};
    }
    const uint64_t host = e & entry::offset_mask;
    if (host == 0 && !(layout.has_data_file && (e & entry::copied) != 0)) return {};
    return {Kind::cluster, host, layout.cluster_size()};
}

/// Bits that are 0 in an L2 entry of a cluster that is not compressed; version 2 has no zero flag.
[[nodiscard]] inline uint64_t reserved_l2(const Layout& layout) {
    return entry::reserved_l2 | (layout.version < 3 ? entry::zero : 0);
}

/// Calls `visit(entry, bitmap, at) -> Status` for the entries of the L2 table at `table`, from
/// number `first` on.
template <class Tables, class Visit>
Status each_l2_entry(const Tables& tables, const Layout& layout, uint64_t table, uint64_t first,
                     Visit&& visit) {
    const size_t width = layout.extended_l2 ? 16 : 8;
    std::array<byte, 512> piece;
    const uint64_t end = table + layout.cluster_size();
    for (uint64_t at = align_down(table + first * width, 9); at < end; at += piece.size()) {
        if (Status read = copy_entries(tables, at, piece); !read) return read;
        for (size_t done = 0; done < piece.size(); done += width) {
            if (at + done < table + first * width) continue;
            const byte* const p = piece.data() + done;
            const uint64_t bitmap = layout.extended_l2 ? load_be64(p + 8) : 0;
            if (Status visited = visit(load_be64(p), bitmap, at + done); !visited) return visited;
        }
    }
    return {};
}

/// Calls `visit(entry, at) -> Status` for the entries of a table of 8 byte entries that are not 0.
template <class Tables, class Visit>
Status each_entry(const Tables& tables, uint64_t table, uint64_t entries, Visit&& visit) {
    std::array<byte, 512> piece;
    for (uint64_t i = 0; i < entries; i += piece.size() / 8) {
        const uint64_t rest = (entries - i) * 8;
        const MutBytes part(piece.data(), rest < piece.size() ? size_t(rest) : piece.size());
        if (Status read = copy_entries(tables, table + i * 8, part); !read) return read;
        for (size_t done = 0; done < part.size(); done += 8) {
            const uint64_t e = load_be64(piece.data() + done);
            if (e == 0) continue;
            if (Status visited = visit(e, table + i * 8 + done); !visited) return visited;
        }
    }
    return {};
}

}  // namespace vdisk::qcow2
