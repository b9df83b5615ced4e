// SPDX-License-Identifier: BSL-1.0
// Ids, geometry and the parent of a closed image. A cut leaves the old or the new ones.
#pragma once

#include <vdisk/format/vhd/move.hpp>
#include <vdisk/format/vhd/paths.hpp>

namespace vdisk::vhd {

/// Gives the image another id. Children that know it by the old one do not any more.
template <WritableStorage S, Allocation A>
Status set_unique_id(S& storage, const Guid& id, A allocation) {
    const auto image = open_to_change(storage, std::move(allocation));
    if (!image) return image.error();
    return change_footer(storage, image->layout, [&](Footer& f) { f.unique_id = id; });
}

/// The geometry says nothing about the size to this library, but to some old programs.
template <WritableStorage S, Allocation A>
Status set_geometry(S& storage, const Geometry& geometry, A allocation) {
    const auto image = open_to_change(storage, std::move(allocation));
    if (!image) return image.error();
    return change_footer(storage, image->layout, [&](Footer& f) {
        f.disk_geometry.cylinders = geometry.cylinders;
        f.disk_geometry.heads = geometry.heads;
        f.disk_geometry.sectors_per_track = geometry.sectors_per_track;
        settle_creator(f);
    });
}

/// Which image a differencing image stands on, by its id alone. Its contents must be the same.
template <WritableStorage S, Allocation A>
Status set_parent_id(S& storage, const Guid& id, uint32_t time_stamp, A allocation) {
    const auto image = open_to_change(storage, std::move(allocation));
    if (!image) return image.error();
    if (!image->layout.has_parent()) return invalid("vhd: the image has no parent");
    return change_header(storage, image->layout, [&](DynamicHeader& h) {
        h.parent_unique_id = id;
        h.parent_time_stamp = time_stamp;
    });
}

namespace changing {

/// A new header is built behind the footer, with new paths; the footers lead to it while the one
/// at the old place is written anew, and then back. No sector is ever needed whose write may tear.
template <WritableStorage S, Allocation A>
class ParentSwitch {
public:
    ParentSwitch(S& storage, const Closed<S, A>& image, const BlockMap<A>& map,
                 const ParentLink& link)
        : storage_(storage), image_(image), map_(map), link_(link) {}

    Status run() {
        auto header = load<DynamicHeader>(storage_, layout().header_at);
        if (!header) return header.error();
        header->parent_unique_id = link_.unique_id;
        header->parent_time_stamp = link_.time_stamp;
        if (Status named = put_unicode_name(link_, *header); !named) return named;
        choose_slots(*header);
        // Nothing is written for paths that cannot be.
        for (const ParentLocator& locator : header->parent_locators) {
            if (locator.platform_code.value() == platform::none) continue;
            std::array<byte, paths::max_encoded> path;
            const auto length = encode_path(locator.platform_code.value(), link_, path);
            if (!length && length.error().code != Errc::unsupported) return length.error();
        }
        DynamicHeader kept = *header;
        const auto paths_end = put_paths(*header, layout().data_end + sizeof(Footer));
        if (!paths_end) return paths_end.error();
        seal(*header);
        const uint64_t aside = *paths_end;
        const uint64_t footer_at = aside + sizeof(DynamicHeader);
        Status done = storage_.resize(footer_at + sizeof(Footer));
        if (done) done = put_durable(storage_, aside, as_bytes(*header));
        if (done) done = lead_to(aside, footer_at);
        if (!done) return done;
        // Nobody reads the old header any more, nor the old paths.
        const uint64_t end = settle(kept, *header);
        done = put_paths_again(kept, *header);
        if (done) done = storage_.flush();
        if (done) done = put_durable(storage_, layout().header_at, as_bytes(kept));
        if (done) done = lead_to(layout().header_at, footer_at);
        if (!done) return done;
        const auto footer = load<Footer>(storage_, 0);
        if (!footer) return footer.error();
        return put_end(storage_, *footer, end);
    }

private:
    [[nodiscard]] const Layout& layout() const { return image_.layout; }
    static Bytes as_bytes(const auto& structure) { return std::as_bytes(std::span(&structure, 1)); }

    // Kinds that are there stay; the two that Windows reads come, if there is a free entry.
    static void choose_slots(DynamicHeader& header) {
        for (const uint32_t wanted : {platform::w2ku, platform::w2ru}) {
            ParentLocator* free = nullptr;
            bool is_there = false;
            for (ParentLocator& locator : header.parent_locators) {
                const uint32_t code = locator.platform_code.value();
                is_there = is_there || code == wanted;
                if (code == platform::none && free == nullptr) free = &locator;
            }
            if (is_there || free == nullptr) continue;
            *free = {};
            free->platform_code = wanted;
        }
    }

    // The new paths, from `at` on; says where they end. A kind that cannot hold its path goes.
    Result<uint64_t> put_paths(DynamicHeader& header, uint64_t at) {
        for (ParentLocator& locator : header.parent_locators) {
            const uint32_t code = locator.platform_code.value();
            if (code == platform::none) continue;
            std::array<byte, paths::max_encoded> path;
            const auto length = encode_path(code, link_, path);
            if (!length && length.error().code != Errc::unsupported) return length.error();
            if (!length || *length == 0) {
                locator = {};
                continue;
            }
            const uint64_t space = blocks(*length, sector_bits) << sector_bits;
            locator.platform_data_space = static_cast<uint32_t>(space);
            locator.platform_data_length = static_cast<uint32_t>(*length);
            locator.platform_data_offset = at;
            if (Status grown = storage_.resize(at + space); !grown) return grown.error();
            Status put = storage_.write(at, Bytes(path).first(*length));
            if (!put) return put.error();
            at += space;
        }
        return at;
    }

    // `old` becomes what `header` is, with each path where the old one was if it fits there. Says
    // where the image ends then.
    uint64_t settle(DynamicHeader& old, const DynamicHeader& header) const {
        uint64_t end = layout().data_end;
        for (size_t i = 0; i < header.parent_locators.size(); ++i) {
            const ParentLocator& wanted = header.parent_locators[i];
            const uint64_t there = old.parent_locators[i].platform_data_offset.value();
            old.parent_locators[i] = wanted;
            if (wanted.platform_code.value() == platform::none) continue;
            // A new entry has no old place.
            uint64_t room = there == 0 ? 0 : image_.areas.room_at(there);
            if (room != 0 && past_block(layout(), map_, there, room) != there) room = 0;
            if (room >= wanted.platform_data_length.value()) {
                old.parent_locators[i].platform_data_offset = there;
                old.parent_locators[i].platform_data_space = static_cast<uint32_t>(room);
                continue;
            }
            const uint64_t own_end =
                wanted.platform_data_offset.value() + wanted.platform_data_space.value();
            if (own_end > end) end = own_end;
        }
        seal(old);
        return end;
    }

    Status put_paths_again(const DynamicHeader& to, const DynamicHeader& from) {
        Status done;
        for (size_t i = 0; done && i < to.parent_locators.size(); ++i) {
            std::array<byte, paths::max_encoded> path;
            const ParentLocator& locator = to.parent_locators[i];
            const uint64_t there = from.parent_locators[i].platform_data_offset.value();
            const uint64_t at = locator.platform_data_offset.value();
            if (locator.platform_code.value() == platform::none || at == there) continue;
            const MutBytes bytes = MutBytes(path).first(locator.platform_data_length.value());
            done = storage_.read(there, bytes);
            if (done) done = storage_.write(at, bytes);
        }
        return done;
    }

    // Both footers lead to the header there; the file ends with one from now on.
    Status lead_to(uint64_t header_at, uint64_t footer_at) {
        auto footer = load<Footer>(storage_, 0);
        if (!footer) return footer.error();
        footer->data_offset = header_at;
        seal(*footer);
        if (Status put = put_durable(storage_, 0, as_bytes(*footer)); !put) return put;
        return put_durable(storage_, footer_at, as_bytes(*footer));
    }

    S& storage_;
    const Closed<S, A>& image_;
    const BlockMap<A>& map_;
    const ParentLink& link_;
};

}  // namespace changing

/// Where the parent of a differencing image is, and which it is: all its names are written anew, in
/// the kinds of locators that are there.
template <WritableStorage S, Allocation A>
Status set_parent(S& storage, const ParentLink& link, A allocation) {
    const auto image = open_to_change(storage, allocation);
    if (!image) return image.error();
    if (!image->layout.has_parent()) return invalid("vhd: the image has no parent");
    if (link.relative_path.empty() && link.absolute_path.empty()) {
        return invalid("vhd: a differencing image needs the path of its parent");
    }
    const auto map = map_blocks(image->tables, image->layout, image->areas, allocation);
    if (!map) return map.error();
    return changing::ParentSwitch<S, A>(storage, *image, *map, link).run();
}

}  // namespace vdisk::vhd
