// SPDX-License-Identifier: BSL-1.0
// The metadata region: what the disk is ([MS-VHDX] 2.6).
#pragma once

#include <bit>

#include <vdisk/format/vhdx/regions.hpp>

namespace vdisk::vhdx {

namespace layout {

/// Calls `visit(const MetadataTableEntry&, at) -> Status` for each entry of the metadata table.
template <Storage S, class Visit>
Status each_item(const S& storage, uint64_t metadata_at, Visit&& visit) {
    const auto header = load<MetadataTableHeader>(storage, metadata_at);
    if (!header) return header.error();
    if (header->signature != metadata_signature) {
        return corrupt("vhdx: metadata region has no signature", {Error::none, metadata_at});
    }
    const uint32_t count = header->entry_count.value();
    if (count > max_items) {
        return corrupt("vhdx: more than 2047 metadata items", {count, metadata_at + 10});
    }
    for (uint32_t i = 0; i < count; ++i) {
        const uint64_t at =
            metadata_at + sizeof(MetadataTableHeader) + uint64_t{i} * sizeof(MetadataTableEntry);
        const auto e = load<MetadataTableEntry>(storage, at);
        if (!e) return e.error();
        if (Status visited = visit(*e, at); !visited) return visited;
    }
    return {};
}

/// The items of the metadata region, each taken once.
template <Storage S>
class Items {
public:
    Items(const S& storage, Layout& out) : storage_(storage), out_(out) {}

    Status read() {
        const Status taken =
            each_item(storage_, out_.metadata_at,
                      [this](const MetadataTableEntry& e, uint64_t at) { return take(e, at); });
        if (!taken) return taken;
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
            static constexpr std::array<Known, 5> known = {{
                {&item::file_parameters, 8, &Items::take_parameters},
                {&item::virtual_disk_size, 8, &Items::take_size},
                {&item::virtual_disk_id, 16, &Items::take_id},
                {&item::logical_sector_size, 4, &Items::take_logical},
                {&item::physical_sector_size, 4, &Items::take_physical},
            }};
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
        if (!is_power_of_two(size) || size < mib || size > 256 * mib) {
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
        out_.size_at = at;
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
                           {out_.size, out_.size_at});
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
};

}  // namespace layout

/// Reads region table and metadata into `out`. `storage` is the file behind its log.
template <Storage S>
Status load_layout(const S& storage, Layout& out) {
    if (Status done = layout::read_regions(storage, out); !done) return done;
    return layout::Items<S>(storage, out).read();
}

}  // namespace vdisk::vhdx
