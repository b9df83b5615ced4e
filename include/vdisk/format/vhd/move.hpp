// SPDX-License-Identifier: BSL-1.0
// Moving blocks, and finding places for them.
#pragma once

#include <vdisk/format/vhd/closed.hpp>

namespace vdisk::vhd {

/// Bytes that are copied at once.
inline constexpr size_t copy_bytes = 65536;

/// Copies bytes inside the file; the ranges do not overlap.
template <WritableStorage S>
Status copy_bytes_to(S& storage, uint64_t from, uint64_t to, uint64_t length, MutBytes buffer) {
    while (length > 0) {
        const MutBytes piece =
            buffer.first(length < buffer.size() ? static_cast<size_t>(length) : buffer.size());
        if (Status got = storage.read(from, piece); !got) return got;
        if (Status put = storage.write(to, piece); !put) return put;
        from += piece.size();
        to += piece.size();
        length -= piece.size();
    }
    return {};
}

/// Where the first block ends that meets [at, at + length); `at` where none does.
template <Allocation A>
[[nodiscard]] uint64_t past_block(const Layout& layout, const BlockMap<A>& map, uint64_t at,
                                  uint64_t length) {
    for (uint64_t from = at; from < at + length; from += layout.stride()) {
        const auto other = map.meets(static_cast<uint32_t>(from >> sector_bits));
        if (other.number == map.nobody) continue;
        const uint64_t block = uint64_t{other.at} << sector_bits;
        if (overlaps(at, length, block, layout.stride())) return block + layout.stride();
    }
    return at;
}

/// The lowest place from `from` on, and below `limit`, that `length` bytes fit into: neither tables
/// nor blocks are there. `limit` itself where there is none.
template <Allocation A>
[[nodiscard]] uint64_t find_room(const Layout& layout, const Areas& areas, const BlockMap<A>& map,
                                 uint64_t from, uint64_t length, uint64_t limit) {
    for (uint64_t at = from; at < limit;) {
        uint64_t past = areas.past(at, length);
        if (past == at) past = past_block(layout, map, at, length);
        if (past == at) return at;
        at = past;
    }
    return limit;
}

/// As find_room for a block; better one whose contents are aligned, if there is one at that place.
template <Allocation A>
[[nodiscard]] uint64_t find_hole(const Layout& layout, const Areas& areas, const BlockMap<A>& map,
                                 uint64_t from, uint64_t limit) {
    const uint64_t hole = find_room(layout, areas, map, from, layout.stride(), limit);
    const uint64_t aligned = aligned_block(layout, hole);
    if (aligned == hole || aligned >= limit) return hole;
    const bool is_free = find_room(layout, areas, map, aligned, layout.stride(), limit) == aligned;
    return is_free ? aligned : hole;
}

}  // namespace vdisk::vhd
