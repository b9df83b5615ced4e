// SPDX-License-Identifier: BSL-1.0
// VHD as it stands in the file: big-endian, in sectors of 512 bytes. Names and rules are those of
// Microsoft's "Virtual Hard Disk Image Format Specification", version 1.0.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>

#include <vdisk/core/endian.hpp>
#include <vdisk/core/guid.hpp>

namespace vdisk::vhd {

inline constexpr unsigned sector_bits = 9;
inline constexpr uint64_t sector_size = 512;

using Cookie = std::array<char, 8>;
inline constexpr Cookie footer_cookie = {'c', 'o', 'n', 'e', 'c', 't', 'i', 'x'};
inline constexpr Cookie header_cookie = {'c', 'x', 's', 'p', 'a', 'r', 's', 'e'};
/// XenServer writes it over the cookie of images that nobody shall use.
inline constexpr Cookie poisoned_cookie = {'v', '_', 'p', 'o', 'i', 's', 'o', 'n'};

inline constexpr uint32_t version = 0x00010000;
inline constexpr uint64_t no_offset = ~uint64_t{0};
inline constexpr uint32_t unallocated = 0xFFFFFFFF;  ///< BAT entry

enum class Type : uint32_t { fixed = 2, dynamic = 3, differencing = 4 };

struct DiskGeometry {
    be16 cylinders;
    uint8_t heads;
    uint8_t sectors_per_track;
};

/// Stands in the last 512 bytes; images that are not fixed have a copy of it at offset 0.
struct Footer {
    Cookie cookie;
    be32 features;
    be32 file_format_version;
    be64 data_offset;
    be32 time_stamp;  ///< seconds since the year 2000, UTC
    std::array<char, 4> creator_application;
    be32 creator_version;
    std::array<char, 4> creator_host_os;
    be64 original_size;
    be64 current_size;
    DiskGeometry disk_geometry;
    be32 disk_type;
    be32 checksum;
    Guid unique_id;
    uint8_t saved_state;
    std::array<byte, 427> reserved;
};
static_assert(sizeof(Footer) == 512 && alignof(Footer) == 1);

/// Where a path to the parent is stored.
struct ParentLocator {
    be32 platform_code;
    be32 platform_data_space;  ///< some writers count sectors here, some bytes: for nobody to trust
    be32 platform_data_length;
    be32 reserved;
    be64 platform_data_offset;
};
static_assert(sizeof(ParentLocator) == 24);

namespace platform {
inline constexpr uint32_t none = 0;
inline constexpr uint32_t wi2r = 0x57693272;  ///< relative path, in some 8-bit code page
inline constexpr uint32_t wi2k = 0x5769326B;  ///< absolute path, likewise
inline constexpr uint32_t w2ru = 0x57327275;  ///< relative path, UTF-16LE
inline constexpr uint32_t w2ku = 0x57326B75;  ///< absolute path, UTF-16LE
inline constexpr uint32_t macx = 0x4D616358;  ///< file URL, UTF-8
}  // namespace platform

/// The header of dynamic and differencing images, at Footer::data_offset.
struct DynamicHeader {
    Cookie cookie;
    be64 data_offset;
    be64 table_offset;
    be32 header_version;
    be32 max_table_entries;
    be32 block_size;
    be32 checksum;
    Guid parent_unique_id;
    be32 parent_time_stamp;
    be32 reserved;
    std::array<byte, 512> parent_unicode_name;  ///< UTF-16BE
    std::array<ParentLocator, 8> parent_locators;
    std::array<byte, 256> reserved2;
};
static_assert(sizeof(DynamicHeader) == 1024 && alignof(DynamicHeader) == 1);

/// The first fields of a DynamicHeader, all that an image without a parent needs: small machines
/// have no 1024 bytes to spare.
struct HeaderStart {
    Cookie cookie;
    be64 data_offset;
    be64 table_offset;
    be32 header_version;
    be32 max_table_entries;
    be32 block_size;
    be32 checksum;
    Guid parent_unique_id;
    be32 parent_time_stamp;
    be32 reserved;
};
static_assert(sizeof(HeaderStart) == offsetof(DynamicHeader, parent_unicode_name) &&
              offsetof(HeaderStart, checksum) == offsetof(DynamicHeader, checksum));

[[nodiscard]] inline uint32_t sum_of(Bytes bytes) {
    uint32_t sum = 0;
    for (const byte b : bytes) sum += static_cast<uint32_t>(b);
    return sum;
}

/// The ones' complement of the sum of all bytes but those of the field `checksum`. Footer and
/// header have the same.
template <class T>
[[nodiscard]] uint32_t checksum(const T& structure) {
    return ~(sum_of(std::as_bytes(std::span(&structure, 1))) -
             sum_of(std::as_bytes(std::span(&structure.checksum, 1))));
}

template <class T>
void seal(T& structure) {
    structure.checksum = checksum(structure);
}

/// Calls `visit(name, field)` for every field, in the order of the file.
template <class Visit>
constexpr void each_field(const Footer& f, Visit&& visit) {
    visit("cookie", f.cookie);
    visit("features", f.features);
    visit("file_format_version", f.file_format_version);
    visit("data_offset", f.data_offset);
    visit("time_stamp", f.time_stamp);
    visit("creator_application", f.creator_application);
    visit("creator_version", f.creator_version);
    visit("creator_host_os", f.creator_host_os);
    visit("original_size", f.original_size);
    visit("current_size", f.current_size);
    visit("cylinders", f.disk_geometry.cylinders);
    visit("heads", f.disk_geometry.heads);
    visit("sectors_per_track", f.disk_geometry.sectors_per_track);
    visit("disk_type", f.disk_type);
    visit("checksum", f.checksum);
    visit("unique_id", f.unique_id);
    visit("saved_state", f.saved_state);
}

template <class Visit>
constexpr void each_field(const DynamicHeader& h, Visit&& visit) {
    visit("cookie", h.cookie);
    visit("data_offset", h.data_offset);
    visit("table_offset", h.table_offset);
    visit("header_version", h.header_version);
    visit("max_table_entries", h.max_table_entries);
    visit("block_size", h.block_size);
    visit("checksum", h.checksum);
    visit("parent_unique_id", h.parent_unique_id);
    visit("parent_time_stamp", h.parent_time_stamp);
    visit("parent_unicode_name", h.parent_unicode_name);
}

template <class Visit>
constexpr void each_field(const ParentLocator& l, Visit&& visit) {
    visit("platform_code", l.platform_code);
    visit("platform_data_space", l.platform_data_space);
    visit("platform_data_length", l.platform_data_length);
    visit("platform_data_offset", l.platform_data_offset);
}

}  // namespace vdisk::vhd
