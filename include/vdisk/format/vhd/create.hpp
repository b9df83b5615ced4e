// SPDX-License-Identifier: BSL-1.0
// Makes a new VHD image.
#pragma once

#include <vdisk/format/vhd/paths.hpp>

namespace vdisk::vhd {

struct CreateOptions {
    uint64_t size = 0;  ///< bytes the guest sees; rounded up to 512. See size_by_geometry.
    Type type = Type::dynamic;
    uint8_t block_bits = 21;  ///< 9 to 28; other programs make 19 and 21
    Guid unique_id = {};      ///< needed: 16 random bytes; Guid::from_random makes one
    uint32_t time_stamp = 0;  ///< seconds since the year 2000, UTC
    Geometry geometry = {};   ///< by default that of the size, perhaps a little less
    /// By default one by which every program counts bytes: "vdsk", or "win " where the geometry
    /// says less than the size.
    std::array<char, 4> creator_application = {};
    uint32_t creator_version = 0x00010000;
    std::array<char, 4> creator_host_os = {'W', 'i', '2', 'k'};
    ParentLink parent = {};  ///< for Type::differencing
};

/// The smallest size of at least `size` bytes that is the same in bytes and by geometry, as QEMU
/// makes disks; beyond 127 GiB the size itself.
[[nodiscard]] constexpr uint64_t size_by_geometry(uint64_t size) {
    const uint64_t sectors = blocks(size, sector_bits);
    const Geometry geometry = geometry_for(sectors);
    return (geometry == largest_geometry ? sectors : uint64_t{geometry.sectors()}) << sector_bits;
}

/// Seconds since the year 2000 of a time in seconds since 1970; what does not fit is cut.
[[nodiscard]] constexpr uint32_t time_stamp_of(uint64_t unix_time) {
    return static_cast<uint32_t>(unix_time - 946684800);
}

namespace create_parts {

inline constexpr uint64_t header_at = sizeof(Footer);
inline constexpr uint64_t locators_at = header_at + sizeof(DynamicHeader);
/// Each locator gets so much room, or twice as much, so that a longer path fits later.
inline constexpr uint32_t locator_space = 4096;

inline Status check(const CreateOptions& o) {
    if (o.size == 0 || o.size > max_size) {
        return invalid("vhd: size is 0 or beyond 2040 GiB", {o.size});
    }
    if (o.block_bits < sector_bits || o.block_bits > max_block_bits) {
        return invalid("vhd: block size is not between 512 bytes and 256 MiB", {o.block_bits});
    }
    if (o.type != Type::fixed && blocks(o.size, o.block_bits) > max_table_entries) {
        return fail(Errc::limit, "vhd: block allocation table would be larger than 256 MiB",
                    {o.size});
    }
    if (o.unique_id.is_nil()) return invalid("vhd: a new image needs a unique id");
    if (o.type != Type::differencing) return {};
    if (o.parent.unique_id.is_nil()) return invalid("vhd: the parent has no unique id");
    if (o.parent.relative_path.empty() && o.parent.absolute_path.empty()) {
        return invalid("vhd: a differencing image needs the path of its parent");
    }
    return {};
}

inline Footer footer(const CreateOptions& o) {
    Footer f{};
    const uint64_t size = blocks(o.size, sector_bits) << sector_bits;
    Geometry geometry = o.geometry;
    if (geometry.sectors() == 0) geometry = geometry_of(size >> sector_bits);
    const bool agrees =
        geometry == largest_geometry || uint64_t{geometry.sectors()} << sector_bits == size;
    f.cookie = footer_cookie;
    f.features = 2;  // reserved, always set
    f.file_format_version = version;
    f.data_offset = o.type == Type::fixed ? no_offset : header_at;
    f.time_stamp = o.time_stamp;
    f.creator_application = o.creator_application;
    if (o.creator_application == std::array<char, 4>{}) {
        f.creator_application =
            agrees ? std::array{'v', 'd', 's', 'k'} : std::array{'w', 'i', 'n', ' '};
    }
    f.creator_version = o.creator_version;
    f.creator_host_os = o.creator_host_os;
    f.original_size = size;
    f.current_size = size;
    f.disk_geometry.cylinders = geometry.cylinders;
    f.disk_geometry.heads = geometry.heads;
    f.disk_geometry.sectors_per_track = geometry.sectors_per_track;
    f.disk_type = static_cast<uint32_t>(o.type);
    f.unique_id = o.unique_id;
    seal(f);
    return f;
}

// Writes the locators behind each other from locators_at on; says where they end.
template <WritableStorage S>
Result<uint64_t> locators(S& storage, const ParentLink& parent, DynamicHeader& header) {
    uint64_t at = locators_at;
    size_t index = 0;
    for (const uint32_t code : {platform::w2ku, platform::w2ru}) {
        std::array<byte, paths::max_encoded> path;
        const auto length = encode_path(code, parent, path);
        if (!length) return length.error();
        if (*length == 0) continue;
        const uint32_t space = *length <= locator_space ? locator_space : 3 * locator_space;
        ParentLocator& locator = header.parent_locators[index++];
        locator.platform_code = code;
        locator.platform_data_space = space;
        locator.platform_data_length = static_cast<uint32_t>(*length);
        locator.platform_data_offset = at;
        if (Status sized = storage.resize(at + space); !sized) return sized.error();
        if (Status put = storage.write(at, Bytes(path).first(*length)); !put) return put.error();
        at += space;
    }
    return at;
}

// The block allocation table, without entries.
template <WritableStorage S>
Status empty_table(S& storage, uint64_t at, uint64_t end) {
    std::array<byte, 4096> none;
    none.fill(byte{0xFF});
    while (at < end) {
        const Bytes piece =
            Bytes(none).first(end - at < none.size() ? static_cast<size_t>(end - at) : none.size());
        if (Status put = storage.write(at, piece); !put) return put;
        at += piece.size();
    }
    return {};
}

template <WritableStorage S>
Status write_struct(S& storage, uint64_t at, const auto& structure) {
    return storage.write(at, std::as_bytes(std::span(&structure, 1)));
}

// All but the footers; says where the one at the end comes.
template <WritableStorage S>
Result<uint64_t> tables(S& storage, const CreateOptions& o) {
    DynamicHeader header{};
    uint64_t table_at = header_at + sizeof(DynamicHeader);
    if (o.type == Type::differencing) {
        const auto end = locators(storage, o.parent, header);
        if (!end) return end;
        table_at = *end;
        header.parent_unique_id = o.parent.unique_id;
        header.parent_time_stamp = o.parent.time_stamp;
        if (Status named = put_unicode_name(o.parent, header); !named) return named.error();
    }
    const uint64_t entries = blocks(o.size, o.block_bits);
    header.cookie = header_cookie;
    header.data_offset = no_offset;
    header.table_offset = table_at;
    header.header_version = version;
    header.max_table_entries = static_cast<uint32_t>(entries);
    header.block_size = uint32_t{1} << o.block_bits;
    seal(header);
    const uint64_t end = table_at + (blocks(entries * 4, sector_bits) << sector_bits);
    if (Status sized = storage.resize(end + sizeof(Footer)); !sized) return sized.error();
    if (Status put = write_struct(storage, header_at, header); !put) return put.error();
    if (Status put = empty_table(storage, table_at, end); !put) return put.error();
    return end;
}

}  // namespace create_parts

/// Turns `storage` into an empty image; what it held is lost. The footers are written last, so that
/// a cut leaves either nothing recognisable or a whole image. A fixed disk is one hole where the
/// storage has such.
template <WritableStorage S>
Status create(S& storage, const CreateOptions& options) {
    if (Status possible = create_parts::check(options); !possible) return possible;
    const Footer footer = create_parts::footer(options);
    if (Status emptied = storage.resize(0); !emptied) return emptied;
    uint64_t end = footer.current_size.value();
    if (options.type == Type::fixed) {
        if (Status sized = storage.resize(end + sizeof(Footer)); !sized) return sized;
    } else {
        const auto tables = create_parts::tables(storage, options);
        if (!tables) return tables.error();
        end = *tables;
    }
    if (Status durable = storage.flush(); !durable) return durable;
    if (options.type != Type::fixed) {
        if (Status put = create_parts::write_struct(storage, 0, footer); !put) return put;
    }
    if (Status put = create_parts::write_struct(storage, end, footer); !put) return put;
    return storage.flush();
}

}  // namespace vdisk::vhd
