// SPDX-License-Identifier: BSL-1.0
// From region table and metadata to numbers that can be trusted. Read behind the log, which may
// change all of it.
#pragma once

#include <vdisk/format/vhdx/header.hpp>

namespace vdisk::vhdx {

inline constexpr uint64_t max_size = uint64_t{1} << 46;  ///< 64 TiB

/// Region table and metadata, checked: regions lie inside the file, sums cannot wrap.
struct Layout {
    uint64_t size_at = 0;           ///< of the item that says the size
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

    [[nodiscard]] uint64_t block_size() const { return power_of_two(block_bits); }
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

}  // namespace vdisk::vhdx
