// SPDX-License-Identifier: BSL-1.0
// Which places of the file blocks take, and whether two of them meet.
#pragma once

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/format/vhd/areas.hpp>

namespace vdisk::vhd {

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
        for (const uint32_t i : {slot, slot == 0 ? slot : slot - 1, slot + 1}) {
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

/// Refuses what may not be written: images whose footer is not at a whole sector, with a wrong
/// checksum, with footers that are not both there and alike, those that a suspended machine counts
/// on, and those read by their geometry.
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
    if (!is_aligned(l.data_end, sector_bits)) {
        return corrupt("vhd: the footer is not at a whole sector (repair moves it)", {l.data_end});
    }
    std::array<byte, 64> front, end;
    for (uint64_t at = 0; at < sizeof(Footer); at += front.size()) {
        if (Status got = file.read(at, front); !got) return got;
        if (Status got = file.read(l.data_end + at, end); !got) return got;
        if (front != end) {
            return corrupt("vhd: the two footers differ (repair makes them alike)");
        }
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

/// The places of all blocks. Errc::corrupt where one is not inside the file, meets an area, or
/// meets another. Reads the whole table.
template <class Tables, Allocation A>
Result<BlockMap<A>> map_blocks(const Tables& tables, const Layout& layout, const Areas& areas,
                               A allocation) {
    auto map = BlockMap<A>::make(layout, layout.data_end, std::move(allocation));
    if (!map) return map;
    const auto add = [&](uint32_t number, uint32_t entry, uint64_t at) -> Status {
        if (Status sound = areas.check(layout, entry, at); !sound) return sound;
        if (map->add(number, entry) == map->nobody) return {};
        return corrupt("vhd: two blocks overlap", {entry, at});
    };
    if (Status walked = each_block(tables, layout, add); !walked) return walked.error();
    return map;
}

}  // namespace vdisk::vhd
