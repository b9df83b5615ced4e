// SPDX-License-Identifier: BSL-1.0
// What the file of an image that is not fixed holds besides its blocks.
#pragma once

#include <vdisk/format/vhd/batmap.hpp>

namespace vdisk::vhd {

/// What the file holds besides blocks and the footer at the end.
struct Areas {
    struct Area {
        uint64_t at = 0, length = 0;
        uint64_t room = 0;  ///< `length`, and what is kept free behind it
        bool vital = true;  ///< what the image cannot do without
        [[nodiscard]] uint64_t end() const { return at + room; }
    };
    /// Front footer, header, table, a map that XenServer keeps, and the parent locators.
    std::array<Area, 16> areas{};
    uint32_t count = 0;
    /// One that is named reaches past the end of the file: as the file grows, it would be inside,
    /// and in it what somebody wrote to the disk.
    bool outside = false;
    Batmap map;              ///< XenServer's, if there is one
    uint64_t least_end = 0;  ///< a table of no entries takes no room, but has its place in the file

    void add(uint64_t at, uint64_t length) {
        if (length > 0) areas[count++] = {at, length, length, true};
    }
    /// A locator, or the map: what yields to a block that lies there.
    void add_hint(uint64_t at, uint64_t length, uint64_t room) {
        if (length > 0) areas[count++] = {at, length, room, false};
    }

    /// Bytes of the one that begins at `at`; 0 where none does, or another meets it.
    [[nodiscard]] uint64_t room_at(uint64_t at) const {
        uint64_t room = 0;
        uint32_t met = 0;
        for (uint32_t i = 0; i < count; ++i) {
            if (areas[i].at == at) room = areas[i].room;
        }
        for (uint32_t i = 0; i < count; ++i) {
            met += overlaps(at, room, areas[i].at, areas[i].length) ? 1 : 0;
        }
        return met == 1 ? room : 0;
    }
    /// Whether one of them is met; room that is only kept free does not count.
    [[nodiscard]] bool overlap(uint64_t at, uint64_t length) const {
        for (uint32_t i = 0; i < count; ++i) {
            if (overlaps(at, length, areas[i].at, areas[i].length)) return true;
        }
        return false;
    }
    [[nodiscard]] bool overlap_vital(uint64_t at, uint64_t length) const {
        for (uint32_t i = 0; i < count; ++i) {
            if (!areas[i].vital) continue;
            if (overlaps(at, length, areas[i].at, areas[i].length)) return true;
        }
        return false;
    }
    /// Where the last of them ends, rounded up to a sector.
    [[nodiscard]] uint64_t end() const {
        uint64_t last = least_end;
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
            if (!overlaps(at, length, areas[i].at, areas[i].room)) continue;
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

/// Room of a locator, in bytes, that is believed.
inline constexpr uint64_t max_locator_room = 65536;

namespace blocks_detail {

template <Storage S>
Status add_batmap(const S& storage, const Layout& layout, Areas& out) {
    const auto map = find_batmap(storage, layout);
    if (!map) return map.error();
    out.map = *map;
    if (!map->is_there()) return {};
    out.add_hint(map->header_at, sector_size, sector_size);
    if (map->inside) out.add_hint(map->at, map->length, map->length);
    else out.outside = true;
    return {};
}

template <Storage S>
Status add_locators(const S& storage, const Layout& layout, Areas& out) {
    for (unsigned i = 0; i < locator_count; ++i) {
        const auto locator = load_locator(storage, layout, i);
        if (!locator) return locator.error();
        if (locator->platform_code.value() == platform::none) continue;
        const uint64_t at = locator->platform_data_offset.value();
        const uint64_t length = locator->platform_data_length.value();
        if (length == 0) continue;
        if (!fits(at, length, layout.data_end)) {
            out.outside = true;
            continue;
        }
        // Room to grow, where a writer says so in bytes; some say it in sectors, and nobody has to
        // keep to it.
        uint64_t room = locator->platform_data_space.value();
        if (room < length || room > max_locator_room || !fits(at, room, layout.data_end)) {
            room = length;
        }
        out.add_hint(at, length, room);
    }
    return {};
}

}  // namespace blocks_detail

/// The areas of an image that is not fixed. Locators that are not inside the file are left out.
template <Storage S>
Result<Areas> load_areas(const S& storage, const Layout& layout) {
    Result<Areas> out(std::in_place);
    out->add(0, sizeof(Footer));
    out->add(layout.header_at, sizeof(DynamicHeader));
    out->add(layout.table_at, layout.table_bytes());
    if (layout.table_entries == 0) out->least_end = layout.table_at;
    Status added = blocks_detail::add_batmap(storage, layout, *out);
    if (added && layout.has_parent()) added = blocks_detail::add_locators(storage, layout, *out);
    if (!added) out = added.error();
    return out;
}

/// Clears XenServer's map before a block is unlinked: a bit that is not set claims nothing, and one
/// that is would be wrong for what later comes to the place. Left alone: what has not the size of a
/// map, or lies over something else. The blocks of the image have their places to themselves.
template <WritableStorage S>
Status clear_batmap(S& storage, const Layout& layout, const Areas& areas) {
    const Batmap& map = areas.map;
    constexpr unsigned bits_of_sector = sector_bits + 3;
    const uint64_t needed = blocks(layout.table_entries, bits_of_sector) << sector_bits;
    if (!map.inside || map.length > needed || map.cleared) return {};
    if (areas.room_at(map.at) != map.length) return {};
    constexpr std::array<byte, sector_size> zeros{};
    for (uint64_t done = 0; done < map.length; done += sector_size) {
        if (Status put = storage.write(map.at + done, zeros); !put) return put;
    }
    const be32 checksum(~uint32_t{0});
    const uint64_t at = map.header_at + offsetof(BatmapHeader, checksum);
    const Status put = storage.write(at, std::as_bytes(std::span(&checksum, 1)));
    return put ? storage.flush() : put;
}

}  // namespace vdisk::vhd
