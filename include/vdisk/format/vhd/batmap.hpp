// SPDX-License-Identifier: BSL-1.0
// XenServer's map of the blocks whose sectors are all stored ("batmap"), behind the table: a hint
// that spares it the sector bitmaps, and that nobody else needs.
#pragma once

#include <vdisk/format/vhd/layout.hpp>

namespace vdisk::vhd {

struct BatmapHeader {
    Cookie cookie;  ///< "tdbatmap"
    be64 batmap_offset;
    be32 batmap_size;  ///< sectors
    be32 batmap_version;
    be32 checksum;  ///< the complement of the sum of the map's bytes
};
inline constexpr Cookie batmap_cookie = {'t', 'd', 'b', 'a', 't', 'm', 'a', 'p'};

/// Where the map is, by its header.
struct Batmap {
    uint64_t header_at = 0;  ///< 0: there is none
    uint64_t at = 0, length = 0;
    bool inside = false;   ///< the file has all of it
    bool cleared = false;  ///< by its checksum no bit is set

    [[nodiscard]] bool is_there() const { return header_at != 0; }
};

namespace batmap {

/// Only XenServer's tools make a map, and not the first of them.
[[nodiscard]] inline bool may_be_there(const Layout& layout) {
    return std::memcmp(layout.creator_application.data(), "tap", 3) == 0 &&
           layout.creator_version >= 0x00010001 && !layout.is_fixed();
}

[[nodiscard]] inline uint64_t header_at(const Layout& layout) {
    const uint64_t table_end = layout.table_at + layout.table_bytes();
    const uint64_t header_end = layout.header_at + sizeof(DynamicHeader);
    return table_end < header_end ? header_end : table_end;
}

}  // namespace batmap

/// The map of an image, if there is one. What its header says is not believed: it may lie anywhere.
template <Storage S>
Result<Batmap> find_batmap(const S& storage, const Layout& layout) {
    if (!batmap::may_be_there(layout)) return Batmap{};
    const uint64_t at = batmap::header_at(layout);
    if (!fits(at, sizeof(Cookie), layout.data_end)) return Batmap{};
    const auto cookie = load<Cookie>(storage, at);
    if (!cookie) return cookie.error();
    if (*cookie != batmap_cookie) return Batmap{};
    if (!fits(at, sector_size, layout.data_end)) return Batmap{.header_at = at};
    const auto header = load<BatmapHeader>(storage, at);
    if (!header) return header.error();
    Batmap out{.header_at = at, .at = header->batmap_offset.value()};
    out.length = uint64_t{header->batmap_size.value()} << sector_bits;
    out.inside = fits(out.at, out.length, layout.data_end);
    out.cleared = header->checksum.value() == ~uint32_t{0};
    return out;
}

}  // namespace vdisk::vhd
