// SPDX-License-Identifier: BSL-1.0
// VHDX as it stands in the file: little-endian. Names and rules are those of [MS-VHDX], whose
// sections are given.
#pragma once

#include <array>

#include <vdisk/core/endian.hpp>
#include <vdisk/core/guid.hpp>

namespace vdisk::vhdx {

inline constexpr unsigned mib_bits = 20;
inline constexpr uint64_t mib = uint64_t{1} << mib_bits;

/// Four letters in the order of the file.
using Signature = std::array<char, 4>;
inline constexpr Signature header_signature = {'h', 'e', 'a', 'd'};
inline constexpr Signature region_signature = {'r', 'e', 'g', 'i'};

/// 2.2.1, at offset 0; never written again.
struct FileIdentifier {
    std::array<char, 8> signature;  ///< "vhdxfile"
    std::array<byte, 512> creator;  ///< UTF-16LE
};
static_assert(sizeof(FileIdentifier) == 520 && alignof(FileIdentifier) == 1);
inline constexpr std::array<char, 8> file_signature = {'v', 'h', 'd', 'x', 'f', 'i', 'l', 'e'};

/// 2.2.2: two of them, of which the higher number counts. Its 4096 bytes are under the checksum.
struct Header {
    Signature signature;
    le32 checksum;
    le64 sequence_number;
    Guid file_write_guid;
    Guid data_write_guid;
    Guid log_guid;
    le16 log_version;
    le16 version;
    le32 log_length;
    le64 log_offset;
};
static_assert(sizeof(Header) == 80 && alignof(Header) == 1);
inline constexpr uint64_t header_bytes = 4096;
inline constexpr std::array<uint64_t, 2> header_places = {64 << 10, 128 << 10};

/// Calls `visit(name, field)` for each field, in the order of the file.
template <class Visit>
constexpr void each_field(const Header& h, Visit&& visit) {
    visit("signature", h.signature);
    visit("checksum", h.checksum);
    visit("sequence_number", h.sequence_number);
    visit("file_write_guid", h.file_write_guid);
    visit("data_write_guid", h.data_write_guid);
    visit("log_guid", h.log_guid);
    visit("log_version", h.log_version);
    visit("version", h.version);
    visit("log_length", h.log_length);
    visit("log_offset", h.log_offset);
}

/// 2.2.3.1: two copies, both under the log.
struct RegionTableHeader {
    Signature signature;
    le32 checksum;
    le32 entry_count;
    le32 reserved;
};
static_assert(sizeof(RegionTableHeader) == 16);
inline constexpr uint64_t region_table_bytes = 64 << 10;
inline constexpr std::array<uint64_t, 2> region_table_places = {192 << 10, 256 << 10};
inline constexpr uint32_t max_regions = 2047;

struct RegionTableEntry {
    Guid guid;
    le64 file_offset;
    le32 length;
    le32 required;
};
static_assert(sizeof(RegionTableEntry) == 32);

/// 2.6.1.1
struct MetadataTableHeader {
    std::array<char, 8> signature;  ///< "metadata"
    le16 reserved;
    le16 entry_count;
    std::array<byte, 20> reserved2;
};
static_assert(sizeof(MetadataTableHeader) == 32);
inline constexpr std::array<char, 8> metadata_signature = {'m', 'e', 't', 'a', 'd', 'a', 't', 'a'};
inline constexpr uint64_t metadata_table_bytes = 64 << 10;
inline constexpr uint32_t max_items = 2047;
inline constexpr uint32_t max_item_bytes = 1 << 20;

/// 2.6.1.2
struct MetadataTableEntry {
    Guid item_id;
    le32 offset;  ///< from the begin of the region
    le32 length;
    le32 flags;
    le32 reserved;
};
static_assert(sizeof(MetadataTableEntry) == 32);

namespace item_flag {
inline constexpr uint32_t user = 1, virtual_disk = 2, required = 4;
}

/// 2.6.2.1
struct FileParameters {
    le32 block_size;
    le32 flags;
};
static_assert(sizeof(FileParameters) == 8);

namespace parameter {
inline constexpr uint32_t leave_blocks_allocated = 1, has_parent = 2;
}

/// 2.6.2.6
struct ParentLocatorHeader {
    Guid locator_type;
    le16 reserved;
    le16 key_value_count;
};
static_assert(sizeof(ParentLocatorHeader) == 20);

struct ParentLocatorEntry {
    le32 key_offset;  ///< from the begin of the item, as the next
    le32 value_offset;
    le16 key_length;
    le16 value_length;
};
static_assert(sizeof(ParentLocatorEntry) == 12);

/// A GUID as text has it, to the bytes that stand in the file.
consteval Guid guid_of(const char (&text)[37]) {
    constexpr std::array<uint8_t, 16> order = {3, 2, 1,  0,  5,  4,  7,  6,
                                               8, 9, 10, 11, 12, 13, 14, 15};
    Guid out;
    size_t i = 0;
    for (const char* c = text; *c != 0; ++c) {
        if (*c == '-') continue;
        const auto digit = static_cast<unsigned>(*c <= '9' ? *c - '0' : *c - 'A' + 10);
        byte& b = out.bytes[order[i / 2]];
        b = static_cast<byte>(static_cast<unsigned>(b) << 4 | digit);
        ++i;
    }
    return out;
}

namespace region {
inline constexpr Guid bat = guid_of("2DC27766-F623-4200-9D64-115E9BFD4A08");
inline constexpr Guid metadata = guid_of("8B7CA206-4790-4B9A-B8FE-575F050F886E");
}  // namespace region

namespace item {
inline constexpr Guid file_parameters = guid_of("CAA16737-FA36-4D43-B3B6-33F0AA44E76B");
inline constexpr Guid virtual_disk_size = guid_of("2FA54224-CD1B-4876-B211-5DBED83BF4B8");
inline constexpr Guid virtual_disk_id = guid_of("BECA12AB-B2E6-4523-93EF-C309E000C746");
inline constexpr Guid logical_sector_size = guid_of("8141BF1D-A96F-4709-BA47-F233A8FAAB5F");
inline constexpr Guid physical_sector_size = guid_of("CDA348C7-445D-4471-9CC9-E9885251C556");
inline constexpr Guid parent_locator = guid_of("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C");
}  // namespace item

inline constexpr Guid vhdx_parent_locator = guid_of("B04AEFB7-D19E-4A81-B789-25B8E9445913");

/// 2.5.1: the state in bits 0 to 2, the place in MiB from bit 20 on.
namespace entry {
inline constexpr uint64_t state_mask = 7;
inline constexpr uint64_t reserved = 0xFFFF8;
inline constexpr uint64_t offset_mask = ~uint64_t{0xFFFFF};
}  // namespace entry

/// 2.5.1.1; that of a sector bitmap block is not_present or fully_present.
enum class State : uint8_t {
    not_present = 0,
    undefined = 1,
    zero = 2,
    unmapped = 3,
    fully_present = 6,
    partially_present = 7,
};

}  // namespace vdisk::vhdx
