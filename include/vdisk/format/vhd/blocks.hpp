// SPDX-License-Identifier: BSL-1.0
// Which places of the file blocks take, and whether two of them meet.
#pragma once

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/format/vhd/layout.hpp>

namespace vdisk::vhd {

/// What the file holds besides blocks and the footer at the end.
struct Areas {
    struct Area {
        uint64_t at = 0, length = 0;
        [[nodiscard]] uint64_t end() const { return at + length; }
    };
    /// Front footer, header, table, a map that XenServer keeps, and the parent locators.
    std::array<Area, 16> areas{};
    uint32_t count = 0;
    /// One that is named reaches past the end of the file: as the file grows, it would be inside,
    /// and in it what somebody wrote to the disk.
    bool outside = false;

    void add(uint64_t at, uint64_t length) {
        if (length > 0) areas[count++] = {at, length};
    }

    /// Bytes of the one that begins at `at`; 0 where none does, or another meets it.
    [[nodiscard]] uint64_t room_at(uint64_t at) const {
        uint64_t room = 0;
        uint32_t met = 0;
        for (uint32_t i = 0; i < count; ++i) {
            if (areas[i].at == at) room = areas[i].length;
        }
        for (uint32_t i = 0; i < count; ++i) {
            met += overlaps(at, room, areas[i].at, areas[i].length) ? 1 : 0;
        }
        return met == 1 ? room : 0;
    }
    [[nodiscard]] bool overlap(uint64_t at, uint64_t length) const {
        for (uint32_t i = 0; i < count; ++i) {
            if (overlaps(at, length, areas[i].at, areas[i].length)) return true;
        }
        return false;
    }
    /// Where the last of them ends, rounded up to a sector.
    [[nodiscard]] uint64_t end() const {
        uint64_t last = 0;
        for (uint32_t i = 0; i < count; ++i) {
            if (areas[i].end() > last) last = areas[i].end();
        }
        return blocks(last, sector_bits) << sector_bits;
    }
    /// Where the first of them after `at` begins, at most `limit`.
    [[nodiscard]] uint64_t next(uint64_t at, uint64_t limit) const {
        uint64_t first = limit;
        for (uint32_t i = 0; i < count; ++i) {
            if (areas[i].at >= at && areas[i].at < first) first = areas[i].at;
        }
        return first;
    }
    /// Where what meets [at, at + length) ends, in sectors; `at` itself where nothing does.
    [[nodiscard]] uint64_t past(uint64_t at, uint64_t length) const {
        uint64_t end = at;
        for (uint32_t i = 0; i < count; ++i) {
            if (!overlaps(at, length, areas[i].at, areas[i].length)) continue;
            if (areas[i].end() > end) end = areas[i].end();
        }
        return blocks(end, sector_bits) << sector_bits;
    }
    /// Whether a table entry, found at `entry_at`, points to a block that has its place to itself.
    [[nodiscard]] Status check(const Layout& layout, uint32_t entry, uint64_t entry_at) const {
        const uint64_t at = uint64_t{entry} << sector_bits;
        if (!fits(at, layout.stride(), layout.data_end)) {
            return corrupt("vhd: block ends past the end of the file", {entry, entry_at});
        }
        if (overlap(at, layout.stride())) {
            return corrupt("vhd: block overlaps the header, a table or a parent locator",
                           {entry, entry_at});
        }
        return {};
    }
};

/// Xen's map of blocks that are full, behind the table. Nobody else needs it.
struct BatmapHeader {
    Cookie cookie;  ///< "tdbatmap"
    be64 batmap_offset;
    be32 batmap_size;  ///< sectors
    be32 batmap_version;
    be32 checksum;
};
inline constexpr Cookie batmap_cookie = {'t', 'd', 'b', 'a', 't', 'm', 'a', 'p'};

/// Room of a locator, in bytes, that is believed.
inline constexpr uint64_t max_locator_room = 65536;

namespace blocks_detail {

template <Storage S>
Status add_batmap(const S& storage, const Layout& layout, Areas& out) {
    if (std::memcmp(layout.creator_application.data(), "tap", 3) != 0) return {};
    uint64_t at = layout.table_at + layout.table_bytes();
    const uint64_t header_end = layout.header_at + sizeof(DynamicHeader);
    if (at < header_end) at = header_end;
    if (!fits(at, sector_size, layout.data_end)) return {};
    const auto header = load<BatmapHeader>(storage, at);
    if (!header) return header.error();
    if (header->cookie != batmap_cookie) return {};
    out.add(at, sector_size);
    const uint64_t map_at = header->batmap_offset.value();
    const uint64_t length = uint64_t{header->batmap_size.value()} << sector_bits;
    if (fits(map_at, length, layout.data_end)) out.add(map_at, length);
    else out.outside = true;
    return {};
}

}  // namespace blocks_detail

/// The areas of an image that is not fixed. Locators that are not inside the file are left out.
template <Storage S>
Result<Areas> load_areas(const S& storage, const Layout& layout) {
    Areas out;
    out.add(0, sizeof(Footer));
    out.add(layout.header_at, sizeof(DynamicHeader));
    out.add(layout.table_at, layout.table_bytes());
    if (Status added = blocks_detail::add_batmap(storage, layout, out); !added) {
        return added.error();
    }
    if (!layout.has_parent()) return out;
    const auto header = load<DynamicHeader>(storage, layout.header_at);
    if (!header) return header.error();
    for (const ParentLocator& locator : header->parent_locators) {
        if (locator.platform_code.value() == platform::none) continue;
        const uint64_t at = locator.platform_data_offset.value();
        const uint64_t length = locator.platform_data_length.value();
        // Room to grow, where a writer says so in bytes; some say it in sectors.
        uint64_t room = locator.platform_data_space.value();
        if (room < length || room > max_locator_room) room = length;
        if (fits(at, room, layout.data_end)) {
            out.add(at, room);
            continue;
        }
        out.outside = out.outside || room > 0;
        if (fits(at, length, layout.data_end)) out.add(at, length);
    }
    return out;
}

/// The places of blocks in the file. All have one length, the stride, so two that do not meet never
/// begin in one slot of that length: a table with an entry per slot knows them all, and is at most
/// as long as the file has room for blocks.
template <Allocation A>
class BlockMap {
public:
    /// Of memory that follows the size of a file, which may be sparse: 512 MiB.
    static constexpr uint32_t max_slots = max_table_entries;

    /// For blocks in the first `end` bytes of the file.
    static Result<BlockMap> make(const Layout& layout, uint64_t end, A allocation) {
        BlockMap map(static_cast<uint32_t>(layout.stride() >> sector_bits), std::move(allocation));
        // Sector numbers have 32 bits: what is beyond, no block can be.
        const uint64_t sectors = end >> sector_bits;
        const uint32_t last = sectors < unallocated ? static_cast<uint32_t>(sectors) : unallocated;
        map.slots_ = last / map.stride_ + 1;
        if (map.slots_ > max_slots) {
            return fail(Errc::limit, "vhd: the file is too large for blocks as small as these",
                        {map.slots_});
        }
        auto memory = map.memory_.reserve(size_t{map.slots_} * sizeof(Slot));
        if (!memory) return memory.error();
        std::memset(memory->data(), 0xFF, size_t{map.slots_} * sizeof(Slot));
        return map;
    }

    /// The block that begins in a slot; `nobody` if none does.
    struct Slot {
        uint32_t at;      ///< sector
        uint32_t number;  ///< of the block, as the guest counts
    };
    static constexpr uint32_t nobody = 0xFFFFFFFF;

    /// The block that meets one that begins at sector `at`; `nobody` if none does.
    [[nodiscard]] Slot meets(uint32_t at) const {
        const uint32_t slot = at / stride_;
        for (const uint32_t i : {slot, slot - 1, slot + 1}) {
            if (i >= slots_) continue;
            const Slot other = get(i);
            if (other.number == nobody) continue;
            if ((other.at < at ? at - other.at : other.at - at) < stride_) return other;
        }
        return {unallocated, nobody};
    }

    /// Block `number` begins at sector `at`, inside the file. Answers with the number of a block
    /// that it meets; `nobody` if it meets none, and only then it is taken in.
    uint32_t add(uint32_t number, uint32_t at) {
        const uint32_t other = meets(at).number;
        if (other == nobody && at / stride_ < slots_) put(at / stride_, {at, number});
        return other;
    }
    void remove(uint32_t at) {
        if (at / stride_ < slots_) put(at / stride_, {unallocated, nobody});
    }

    [[nodiscard]] uint32_t slots() const { return slots_; }
    [[nodiscard]] Slot slot(uint32_t index) const { return get(index); }

private:
    BlockMap(uint32_t stride, A allocation) : stride_(stride), memory_(std::move(allocation)) {}

    [[nodiscard]] Slot get(uint32_t index) const {
        Slot slot;
        std::memcpy(&slot, memory_.bytes().data() + size_t{index} * sizeof(Slot), sizeof(Slot));
        return slot;
    }
    void put(uint32_t index, Slot slot) {
        std::memcpy(memory_.bytes().data() + size_t{index} * sizeof(Slot), &slot, sizeof(Slot));
    }

    uint32_t stride_;  ///< sectors
    uint32_t slots_ = 0;
    Buffer<A> memory_;
};

/// Where a block begins, not before `from`, whose contents begin at a multiple of 4096, or of the
/// block size where that is less.
[[nodiscard]] inline uint64_t aligned_block(const Layout& layout, uint64_t from) {
    const unsigned bits = layout.block_bits < 12u ? layout.block_bits : 12u;
    const uint64_t contents = blocks(from + layout.bitmap_bytes(), bits) << bits;
    return contents - layout.bitmap_bytes();
}

/// Refuses what may not be written: images with a wrong checksum, with footers that are not both
/// there and alike, those that a suspended machine counts on, and those read by their geometry.
template <Storage S>
Status check_writable(const S& file, const Layout& l) {
    if (!l.checksums_right) {
        return fail(Errc::read_only, "vhd: an image with a wrong checksum is only read");
    }
    if (l.saved_state) {
        return fail(Errc::read_only, "vhd: the disk belongs to a suspended machine");
    }
    if (l.size != l.current_size) {
        return fail(Errc::read_only, "vhd: a size by geometry is only read");
    }
    if (l.footer_copy == FooterCopy::front) {
        return corrupt("vhd: the footer at the end is lost (repair writes it again)");
    }
    if (l.is_fixed()) return {};
    const auto front = load<Footer>(file, 0);
    if (!front) return front.error();
    const auto end = load<Footer>(file, l.data_end);
    if (!end) return end.error();
    if (std::memcmp(&*front, &*end, sizeof(Footer)) != 0) {
        return corrupt("vhd: the two footers differ (repair makes them alike)");
    }
    return {};
}

/// Calls `visit(number, entry, entry_at) -> Status` for every block of the disk that is allocated,
/// in the guest's order.
template <class Tables, class Visit>
Status each_block(const Tables& tables, const Layout& layout, Visit&& visit) {
    const uint32_t count = layout.blocks_in_use();
    for (uint32_t number = 0; number < count;) {
        const uint64_t at = layout.table_at + uint64_t{number} * 4;
        const auto entry = tables.be32(at);
        if (!entry) return entry.error();
        ++number;
        if (*entry == unallocated) continue;
        if (Status visited = visit(number - 1, *entry, at); !visited) return visited;
    }
    return {};
}

}  // namespace vdisk::vhd
