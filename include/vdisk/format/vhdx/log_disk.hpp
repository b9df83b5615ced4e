// SPDX-License-Identifier: BSL-1.0
// The log of VHDX as it stands in the file ([MS-VHDX] 2.3): a ring of sectors of 4096 bytes.
#pragma once

#include <vdisk/format/vhdx/disk.hpp>

namespace vdisk::vhdx {

inline constexpr unsigned log_sector_bits = 12;
inline constexpr uint64_t log_sector = uint64_t{1} << log_sector_bits;

inline constexpr Signature entry_signature = {'l', 'o', 'g', 'e'};
inline constexpr Signature zero_signature = {'z', 'e', 'r', 'o'};
inline constexpr Signature data_signature = {'d', 'e', 's', 'c'};
inline constexpr Signature sector_signature = {'d', 'a', 't', 'a'};

/// 2.3.1.1
struct LogEntryHeader {
    Signature signature;
    le32 checksum;
    le32 entry_length;
    le32 tail;
    le64 sequence_number;
    le32 descriptor_count;
    le32 reserved;
    Guid log_guid;
    le64 flushed_file_offset;
    le64 last_file_offset;
};
static_assert(sizeof(LogEntryHeader) == 64 && alignof(LogEntryHeader) == 1);

/// 2.3.1.2 and 2.3.1.3: what the sector is, or how much becomes zero.
struct LogDescriptor {
    Signature signature;
    std::array<byte, 4> trailing_bytes;  ///< zero descriptor: reserved
    std::array<byte, 8> leading_bytes;   ///< zero descriptor: the length
    le64 file_offset;
    le64 sequence_number;
};
static_assert(sizeof(LogDescriptor) == 32);

/// 2.3.1.4: the middle of a sector; the descriptor has its ends.
struct LogDataSector {
    Signature signature;
    le32 sequence_high;
    std::array<byte, 4084> data;
    le32 sequence_low;
};
static_assert(sizeof(LogDataSector) == log_sector);

/// Sectors that an entry header and so many descriptors take.
[[nodiscard]] constexpr uint64_t descriptor_sectors(uint64_t count) {
    return (count * sizeof(LogDescriptor) + sizeof(LogEntryHeader) + log_sector - 1) >>
           log_sector_bits;
}

}  // namespace vdisk::vhdx
