// SPDX-License-Identifier: BSL-1.0
// From region table and metadata to numbers that can be trusted. Read behind the log, which may
// change all of it.
#pragma once

#include <bit>

#include <vdisk/format/vhdx/header.hpp>

namespace vdisk::vhdx {

inline constexpr uint64_t max_size = uint64_t{1} << 46;  ///< 64 TiB

/// Region table and metadata, checked: regions lie inside the file, sums cannot wrap.
struct Layout {
    uint64_t size = 0;              ///< bytes the guest sees, a multiple of the logical sector
    uint8_t block_bits = 0;         ///< 20 to 28
    uint8_t sector_bits = 0;        ///< of a logical sector: 9 or 12
    uint8_t physical_bits = 0;      ///< of a physical sector: 9 or 12
    bool leaves_allocated = false;  ///< "fixed": blocks keep their places
    bool has_parent = false;
    uint64_t bat_at = 0;
    uint32_t bat_length = 0;
    uint64_t metadata_at = 0;
    uint32_t metadata_length = 0;
    Guid virtual_disk_id;
    Text parent_locator;  ///< the item, if has_parent

    // Of the current header.
    uint64_t header_at = 0;
    uint64_t sequence = 0;
    Guid file_write_guid;
    Guid data_write_guid;
    Log log;

    [[nodiscard]] uint64_t block_size() const { return uint64_t{1} << block_bits; }
    /// log2 of the payload blocks between two entries of sector bitmap blocks.
    [[nodiscard]] unsigned chunk_bits() const { return 23u + sector_bits - block_bits; }
    [[nodiscard]] uint64_t payload_blocks() const { return blocks(size, block_bits); }
    /// Of all entries of the table, those of bitmaps included.
    [[nodiscard]] uint64_t bat_entries() const {
        const uint64_t payload = payload_blocks();
        if (!has_parent) return payload + ((payload - 1) >> chunk_bits());
        const uint64_t chunks = blocks(payload, chunk_bits());
        return (chunks << chunk_bits()) + chunks;
    }
    /// Where the entry of payload block `number` stands.
    [[nodiscard]] uint64_t entry_at(uint64_t number) const {
        return bat_at + (number + (number >> chunk_bits())) * 8;
    }
    /// Where the entry of the bitmap for the chunk of payload block `number` stands.
    [[nodiscard]] uint64_t bitmap_entry_at(uint64_t number) const {
        const uint64_t chunk = number >> chunk_bits();
        return bat_at + (((chunk + 1) << chunk_bits()) + chunk) * 8;
    }
};

namespace layout {

/// One copy of the region table.
template <Storage S>
class Regions {
public:
    Regions(const S& storage, uint64_t table_at) : storage_(storage), at_(table_at) {}

    /// False where signature or checksum are wrong.
    Result<bool> is_valid() {
        const auto header = load<RegionTableHeader>(storage_, at_);
        if (!header) return header.error();
        if (header->signature != region_signature) return false;
        count_ = header->entry_count.value();
        const auto sum = checksum(storage_, at_, region_table_bytes);
        if (!sum) return sum.error();
        return *sum == header->checksum.value();
    }

    Status read(Layout& out) {
        if (count_ > max_regions) {
            return corrupt("vhdx: more than 2047 regions", {count_, at_ + 8});
        }
        Status done =
            each([&](const RegionTableEntry& e, uint64_t at) { return take(e, at, out); });
        if (!done) return done;
        if (out.bat_at == 0) return corrupt("vhdx: there is no BAT region", {Error::none, at_});
        if (out.metadata_at == 0) {
            return corrupt("vhdx: there is no metadata region", {Error::none, at_});
        }
        return each(
            [&](const RegionTableEntry& e, uint64_t at) { return check_apart(e, at, out); });
    }

    template <class Visit>
    Status each(Visit visit) const {
        for (uint32_t i = 0; i < count_; ++i) {
            const uint64_t at =
                at_ + sizeof(RegionTableHeader) + uint64_t{i} * sizeof(RegionTableEntry);
            const auto e = load<RegionTableEntry>(storage_, at);
            if (!e) return e.error();
            if (Status visited = visit(*e, at); !visited) return visited;
        }
        return {};
    }

private:
    Status take(const RegionTableEntry& e, uint64_t at, Layout& out) {
        const uint64_t offset = e.file_offset.value();
        const uint32_t length = e.length.value();
        if (offset < mib || !is_aligned(offset, mib_bits) || !is_aligned(length, mib_bits) ||
            length == 0 || !fits(offset, length, storage_.size())) {
            return corrupt("vhdx: region is not whole MiB inside the file, behind the first",
                           {offset, at + 16});
        }
        if (e.guid == region::bat) {
            if (out.bat_at != 0) return corrupt("vhdx: two BAT regions", {Error::none, at});
            out.bat_at = offset;
            out.bat_length = length;
        } else if (e.guid == region::metadata) {
            if (out.metadata_at != 0) {
                return corrupt("vhdx: two metadata regions", {Error::none, at});
            }
            out.metadata_at = offset;
            out.metadata_length = length;
        } else if ((e.required.value() & 1) != 0) {
            return unsupported("vhdx: a region is required that is not known", {Error::none, at});
        }
        return {};
    }

    // Regions that are known meet neither the log nor any other; what others do is theirs.
    static Status check_apart(const RegionTableEntry& e, uint64_t at, const Layout& out) {
        const uint64_t offset = e.file_offset.value();
        const uint32_t length = e.length.value();
        const bool meets =
            overlaps(offset, length, out.log.at, out.log.length) ||
            (e.guid != region::bat && overlaps(offset, length, out.bat_at, out.bat_length)) ||
            (e.guid != region::metadata &&
             overlaps(offset, length, out.metadata_at, out.metadata_length));
        if (!meets) return {};
        return corrupt("vhdx: region overlaps the log or another region", {offset, at + 16});
    }

    const S& storage_;
    uint64_t at_;
    uint32_t count_ = 0;
};

template <Storage S>
Status read_regions(const S& storage, Layout& out) {
    for (const uint64_t place : region_table_places) {
        Regions<S> regions(storage, place);
        const auto valid = regions.is_valid();
        if (!valid) return valid.error();
        if (*valid) return regions.read(out);
    }
    return corrupt("vhdx: neither region table is valid", {Error::none, region_table_places[0]});
}

/// The items of the metadata region, each taken once.
template <Storage S>
class Items {
public:
    Items(const S& storage, Layout& out) : storage_(storage), out_(out) {}

    Status read() {
        const auto header = load<MetadataTableHeader>(storage_, out_.metadata_at);
        if (!header) return header.error();
        if (header->signature != metadata_signature) {
            return corrupt("vhdx: metadata region has no signature",
                           {Error::none, out_.metadata_at});
        }
        const uint32_t count = header->entry_count.value();
        if (count > max_items) {
            return corrupt("vhdx: more than 2047 metadata items", {count, out_.metadata_at + 10});
        }
        for (uint32_t i = 0; i < count; ++i) {
            const uint64_t at = out_.metadata_at + sizeof(MetadataTableHeader) +
                                uint64_t{i} * sizeof(MetadataTableEntry);
            const auto e = load<MetadataTableEntry>(storage_, at);
            if (!e) return e.error();
            if (Status taken = take(*e, at); !taken) return taken;
        }
        constexpr unsigned needed = 0x1F;
        if ((seen_ & needed) != needed) {
            return corrupt("vhdx: a metadata item is missing", {seen_, out_.metadata_at});
        }
        return check_all();
    }

private:
    struct Known {
        const Guid* id;
        uint32_t length;
        Status (Items::*take)(uint64_t at);
    };
    static constexpr std::array<Known, 5> known = {{
        {&item::file_parameters, 8, &Items::take_parameters},
        {&item::virtual_disk_size, 8, &Items::take_size},
        {&item::virtual_disk_id, 16, &Items::take_id},
        {&item::logical_sector_size, 4, &Items::take_logical},
        {&item::physical_sector_size, 4, &Items::take_physical},
    }};

    Status take(const MetadataTableEntry& e, uint64_t at) {
        const uint32_t offset = e.offset.value(), length = e.length.value();
        const bool is_empty = offset == 0 && length == 0;
        if (!is_empty && (offset < metadata_table_bytes || length > max_item_bytes ||
                          !fits(offset, length, out_.metadata_length))) {
            return corrupt("vhdx: metadata item is too long or not behind the table in its region",
                           {offset, at + 16});
        }
        const uint64_t item_at = out_.metadata_at + offset;
        if ((e.flags.value() & item_flag::user) == 0) {
            for (size_t i = 0; i < known.size(); ++i) {
                if (e.item_id != *known[i].id) continue;
                if (Status once = see(1u << i, at); !once) return once;
                if (length != known[i].length) {
                    return corrupt("vhdx: metadata item has a wrong length", {length, at + 20});
                }
                return (this->*known[i].take)(item_at);
            }
            if (e.item_id == item::parent_locator) {
                if (Status once = see(1u << 5, at); !once) return once;
                out_.parent_locator = {item_at, length};
                return {};
            }
        }
        if ((e.flags.value() & item_flag::required) == 0) return {};
        return unsupported("vhdx: a metadata item is required that is not known",
                           {Error::none, at});
    }

    Status see(unsigned bit, uint64_t at) {
        if ((seen_ & bit) != 0)
            return corrupt("vhdx: metadata item comes twice", {Error::none, at});
        seen_ |= bit;
        return {};
    }

    Status take_parameters(uint64_t at) {
        const auto p = load<FileParameters>(storage_, at);
        if (!p) return p.error();
        const uint32_t size = p->block_size.value();
        if (!std::has_single_bit(size) || size < mib || size > 256 * mib) {
            return corrupt("vhdx: block size is not a power of two from 1 to 256 MiB", {size, at});
        }
        out_.block_bits = static_cast<uint8_t>(std::countr_zero(size));
        out_.leaves_allocated = (p->flags.value() & parameter::leave_blocks_allocated) != 0;
        out_.has_parent = (p->flags.value() & parameter::has_parent) != 0;
        return {};
    }
    Status take_size(uint64_t at) {
        const auto size = load<le64>(storage_, at);
        if (!size) return size.error();
        out_.size = size->value();
        size_at_ = at;
        if (out_.size != 0 && out_.size <= max_size) return {};
        return corrupt("vhdx: size is 0 or beyond 64 TiB", {out_.size, at});
    }
    Status take_id(uint64_t at) {
        const auto id = load<Guid>(storage_, at);
        if (!id) return id.error();
        out_.virtual_disk_id = *id;
        return {};
    }
    Status take_logical(uint64_t at) { return take_sector(at, out_.sector_bits); }
    Status take_physical(uint64_t at) { return take_sector(at, out_.physical_bits); }
    Status take_sector(uint64_t at, uint8_t& bits) {
        const auto size = load<le32>(storage_, at);
        if (!size) return size.error();
        if (size->value() != 512 && size->value() != 4096) {
            return corrupt("vhdx: sector size is neither 512 nor 4096", {size->value(), at});
        }
        bits = size->value() == 512 ? 9 : 12;
        return {};
    }

    Status check_all() {
        if (!is_aligned(out_.size, out_.sector_bits)) {
            return corrupt("vhdx: size is not a multiple of the logical sector",
                           {out_.size, size_at_});
        }
        if (out_.has_parent && out_.parent_locator.at == 0) {
            return corrupt("vhdx: differencing image without a parent locator");
        }
        if (out_.bat_entries() * 8 > out_.bat_length) {
            return corrupt("vhdx: BAT region is too small for the disk",
                           {out_.bat_length, Error::none});
        }
        return {};
    }

    const S& storage_;
    Layout& out_;
    unsigned seen_ = 0;
    uint64_t size_at_ = 0;
};

}  // namespace layout

/// What the header says, taken over; the rest is to be read behind the log.
[[nodiscard]] inline Layout layout_of(const FoundHeader& found, const Log& log) {
    Layout out;
    out.header_at = found.at;
    out.sequence = found.header.sequence_number.value();
    out.file_write_guid = found.header.file_write_guid;
    out.data_write_guid = found.header.data_write_guid;
    out.log = log;
    return out;
}

/// Reads region table and metadata into `out`. `storage` is the file behind its log.
template <Storage S>
Status load_layout(const S& storage, Layout& out) {
    if (Status done = layout::read_regions(storage, out); !done) return done;
    return layout::Items<S>(storage, out).read();
}

}  // namespace vdisk::vhdx
