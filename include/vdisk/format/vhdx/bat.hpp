// SPDX-License-Identifier: BSL-1.0
// The block allocation table: what an entry may say, and a walk over all ([MS-VHDX] 2.5).
#pragma once

#include <vdisk/core/zero.hpp>
#include <vdisk/format/vhdx/layout.hpp>

namespace vdisk::vhdx {

/// An entry, and what it is for.
struct BatEntry {
    uint64_t value = 0;
    uint64_t at = 0;         ///< where it stands
    uint64_t number = 0;     ///< of the payload block; of the chunk, if it is that of a bitmap
    bool is_bitmap = false;  ///< of a sector bitmap block

    [[nodiscard]] State state() const { return static_cast<State>(value & entry::state_mask); }
    [[nodiscard]] uint64_t place() const { return value & entry::offset_mask; }
    /// Whether there is a block. One that is undefined or unmapped may keep its place.
    [[nodiscard]] bool has_place() const {
        switch (state()) {
            case State::fully_present:
            case State::partially_present: return true;
            case State::undefined:
            case State::unmapped: return place() != 0;
            default: return false;
        }
    }
};

/// Whether an entry says a place although there is no block: readers of Microsoft refuse these.
[[nodiscard]] inline bool has_stale_place(const BatEntry& e) {
    return e.place() != 0 && (e.state() == State::not_present || e.state() == State::zero);
}

[[nodiscard]] inline uint64_t length_of(const Layout& layout, const BatEntry& e) {
    return e.is_bitmap ? mib : layout.block_size();
}

/// A block of `length` bytes at `at`: it begins in the file, and lies over nothing of the format's.
/// `found` is told if not.
inline Status check_place(const Layout& layout, uint64_t at, uint64_t length, uint64_t file_size,
                          Found found) {
    // A last block may be cut short; what it begins with may not.
    if (at < mib || at >= file_size) {
        return corrupt("vhdx: block lies in the first MiB or past the end of the file", found);
    }
    if (overlaps(at, length, layout.bat_at, layout.bat_length) ||
        overlaps(at, length, layout.metadata_at, layout.metadata_length) ||
        overlaps(at, length, layout.log.at, layout.log.length)) {
        return corrupt("vhdx: block overlaps the log or a region", found);
    }
    return {};
}

/// Whether an entry is one that may be, on its own.
inline Status check(const Layout& layout, const BatEntry& e, uint64_t file_size) {
    const Found found{e.value, e.at};
    const State state = e.state();
    const bool known = state <= State::unmapped || state >= State::fully_present;
    const bool of_bitmap = state == State::not_present || state == State::fully_present;
    if (!known || (e.is_bitmap && !of_bitmap) ||
        (!layout.has_parent && state == State::partially_present)) {
        return corrupt("vhdx: BAT entry has a state that it cannot have", found);
    }
    if (e.is_bitmap && !layout.has_parent && state != State::not_present) {
        return corrupt("vhdx: sector bitmap in an image without a parent", found);
    }
    if ((e.value & entry::reserved) != 0) {
        return corrupt("vhdx: reserved bits of a BAT entry are set", found);
    }
    if (!e.has_place()) return {};
    return check_place(layout, e.place(), length_of(layout, e), file_size, found);
}

/// The entry of payload block `number`.
template <class T>
Result<BatEntry> load_entry(const T& tables, const Layout& layout, uint64_t number) {
    const uint64_t at = layout.entry_at(number);
    const auto value = tables.le64(at);
    if (!value) return value.error();
    return BatEntry{*value, at, number, false};
}

/// The entry of the bitmap for the chunk of payload block `number`.
template <class T>
Result<BatEntry> load_bitmap_entry(const T& tables, const Layout& layout, uint64_t number) {
    const uint64_t at = layout.bitmap_entry_at(number);
    const auto value = tables.le64(at);
    if (!value) return value.error();
    return BatEntry{*value, at, number >> layout.chunk_bits(), true};
}

/// Whether an entry is that of a block that is there in part, and no bitmap says in which.
template <class T>
Result<bool> lacks_bitmap(const T& tables, const Layout& layout, const BatEntry& e) {
    if (e.is_bitmap || !layout.has_parent || e.state() != State::partially_present) return false;
    const auto bitmap = load_bitmap_entry(tables, layout, e.number);
    if (!bitmap) return bitmap.error();
    return bitmap->state() != State::fully_present;
}

/// Calls `visit(const BatEntry&) -> Status` for all entries of the disk that are not 0, in the
/// order of the table. `visit` may change the table.
template <class T, class Visit>
Status each_entry(const T& tables, const Layout& layout, Visit&& visit) {
    const uint64_t count = layout.bat_entries();
    const uint64_t per_chunk = (uint64_t{1} << layout.chunk_bits()) + 1;
    for (uint64_t i = 0; i < count;) {
        std::array<byte, table_piece> piece;
        const uint64_t wanted = (count - i) * 8 < piece.size() ? (count - i) * 8 : piece.size();
        const auto bytes = tables.entries(layout.bat_at + i * 8, wanted);
        if (!bytes) return bytes.error();
        const size_t n = bytes->size() / 8;
        std::memcpy(piece.data(), bytes->data(), n * 8);
        const bool says_nothing = is_zero(Bytes(piece).first(n * 8));
        for (size_t k = 0; !says_nothing && k < n; ++k) {
            const uint64_t index = i + k, chunk = index / per_chunk;
            BatEntry e{.value = load_le64(piece.data() + k * 8), .at = layout.bat_at + index * 8};
            e.is_bitmap = index % per_chunk == per_chunk - 1;
            e.number = e.is_bitmap ? chunk : index - chunk;
            // A child has entries for whole chunks.
            if (e.value == 0 || (!e.is_bitmap && e.number >= layout.payload_blocks())) continue;
            if (Status visited = visit(e); !visited) return visited;
        }
        i += n;
    }
    return {};
}

}  // namespace vdisk::vhdx
