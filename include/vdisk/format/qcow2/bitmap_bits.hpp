// SPDX-License-Identifier: BSL-1.0
// The bits of a persistent bitmap of qcow2: bit n stands for [n << granularity, (n+1) <<
// granularity) of the disk. Read in small pieces, in no memory but the caller's.
#pragma once

#include <array>
#include <bit>

#include <vdisk/format/qcow2/bitmap.hpp>

namespace vdisk::qcow2 {

/// How many bits and bytes describe a disk, how many clusters hold them.
struct BitmapSize {
    BitmapSize(const Layout& layout, unsigned granularity_bits)
        : bits(blocks(layout.size, granularity_bits)),
          bytes(blocks(bits, 3)),
          clusters(blocks(bytes, layout.cluster_bits)) {}
    uint64_t bits, bytes, clusters;
};

namespace entry {
inline constexpr uint64_t all_dirty = 1;  ///< of a bitmap table: no cluster, all bits are set
}

/// Entry `index` of the bitmap table, checked: 0, all_dirty, or the offset of a cluster.
template <Storage S>
Result<uint64_t> bitmap_entry(const S& storage, const Layout& layout, const Bitmap& bitmap,
                              uint64_t index) {
    const uint64_t at = bitmap.table_at + index * 8;
    if (index >= bitmap.table_entries) {
        return corrupt("qcow2: bitmap table is too short for the disk", {bitmap.table_entries, at});
    }
    const auto raw = load<be64>(storage, at);
    if (!raw) return raw.error();
    const uint64_t e = raw->value();
    if (e == 0 || e == entry::all_dirty) return e;
    if ((e & ~entry::offset_mask) != 0 || !is_aligned(e, layout.cluster_bits)) {
        return corrupt("qcow2: bitmap table entry with reserved bits", {e, at});
    }
    if (e < layout.cluster_size() || e >= storage.size()) {
        return corrupt("qcow2: bitmap cluster lies past the end of the file", {e, at});
    }
    return e;
}

namespace bitmap_parts {

/// One piece that lies inside one cluster.
template <Storage S>
Status read_piece(const S& storage, const Layout& layout, const Bitmap& bitmap, uint64_t at,
                  MutBytes out) {
    const auto e = bitmap_entry(storage, layout, bitmap, at >> layout.cluster_bits);
    if (!e) return e.error();
    if (*e <= entry::all_dirty) {
        std::memset(out.data(), *e == 0 ? 0 : 0xFF, out.size());
        return {};
    }
    // The file may end inside its last cluster.
    const uint64_t from = *e + (at & (layout.cluster_size() - 1));
    const uint64_t rest = from < storage.size() ? storage.size() - from : 0;
    const size_t there = rest < out.size() ? static_cast<size_t>(rest) : out.size();
    std::memset(out.data() + there, 0, out.size() - there);
    return storage.read(from, out.first(there));
}

}  // namespace bitmap_parts

/// Reads bytes of the bitmap from byte `at` on: bit n is bit n % 8 of byte n / 8. Bits and bytes
/// behind the end of the disk are 0.
template <Storage S>
Status read_bitmap(const S& storage, const Layout& layout, const Bitmap& bitmap, uint64_t at,
                   MutBytes out) {
    const BitmapSize size(layout, bitmap.granularity_bits);
    while (!out.empty() && at < size.bytes) {
        uint64_t length = layout.cluster_size() - (at & (layout.cluster_size() - 1));
        if (length > size.bytes - at) length = size.bytes - at;
        if (length > out.size()) length = out.size();
        const MutBytes piece = out.first(static_cast<size_t>(length));
        Status read = bitmap_parts::read_piece(storage, layout, bitmap, at, piece);
        if (!read) return read;
        at += length;
        if (at == size.bytes && size.bits % 8 != 0) {
            piece[piece.size() - 1] &= static_cast<byte>((1u << size.bits % 8) - 1);
        }
        out = out.subspan(piece.size());
    }
    if (!out.empty()) std::memset(out.data(), 0, out.size());
    return {};
}

/// Calls `visit(first, count) -> Status` for every run of set bits in [first, end). Runs do not
/// touch each other, but where they are longer than 32768 bits.
template <Storage S, class Visit>
Status each_dirty_run(const S& storage, const Layout& layout, const Bitmap& bitmap, uint64_t first,
                      uint64_t end, Visit&& visit) {
    std::array<byte, 4096> piece;
    uint64_t start = 0, count = 0;  // a run that may go on
    for (uint64_t at = first >> 3; at < blocks(end, 3); at += piece.size()) {
        const uint64_t rest = blocks(end, 3) - at;
        const size_t length = rest < piece.size() ? static_cast<size_t>(rest) : piece.size();
        Status read = read_bitmap(storage, layout, bitmap, at, MutBytes(piece).first(length));
        if (!read) return read;
        for (size_t i = 0; i < length; ++i) {
            auto bits = static_cast<unsigned>(piece[i]);
            const uint64_t base = (at + i) << 3;
            while (bits != 0) {
                const auto low = static_cast<unsigned>(std::countr_zero(bits));
                const auto run = static_cast<unsigned>(std::countr_one(bits >> low));
                bits &= ~(((1u << run) - 1) << low);
                uint64_t from = base + low, to = base + low + run;
                if (from < first) from = first;
                if (to > end) to = end;
                if (from >= to) continue;
                if (count > 0 && start + count == from && count < 32768) {
                    count += to - from;
                    continue;
                }
                if (count > 0) {
                    if (Status visited = visit(start, count); !visited) return visited;
                }
                start = from;
                count = to - from;
            }
        }
    }
    return count > 0 ? visit(start, count) : Status{};
}

/// How many bits are set.
template <Storage S>
Result<uint64_t> count_dirty(const S& storage, const Layout& layout, const Bitmap& bitmap) {
    const BitmapSize size(layout, bitmap.granularity_bits);
    uint64_t total = 0;
    const Status walked = each_dirty_run(storage, layout, bitmap, 0, size.bits,
                                         [&](uint64_t, uint64_t count) -> Status {
                                             total += count;
                                             return {};
                                         });
    if (!walked) return walked.error();
    return total;
}

}  // namespace vdisk::qcow2
