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
    ParentSwitch(S& storage, const Closed<S, A>& image, const ParentLink& link)
        : storage_(storage), image_(image), link_(link), end_(image.layout.data_end) {}

    Status run() {
        auto header = load<DynamicHeader>(storage_, layout().header_at);
        if (!header) return header.error();
        header->parent_unique_id = link_.unique_id;
        header->parent_time_stamp = link_.time_stamp;
        if (Status named = put_unicode_name(link_, *header); !named) return named;
        choose_slots(*header);
        const uint64_t paths_at = end_ + sizeof(Footer);
        const auto paths_end = put_paths(*header, paths_at);
        if (!paths_end) return paths_end.error();
        seal(*header);
        const uint64_t aside = *paths_end;
        const uint64_t footer_at = aside + sizeof(DynamicHeader);
        Status done = storage_.resize(footer_at + sizeof(Footer));
        if (done) done = put_durable(storage_, aside, as_bytes(*header));
        if (done) done = lead_to(aside, footer_at);
        if (done) done = put_durable(storage_, layout().header_at, as_bytes(*header));
        if (done) done = lead_to(layout().header_at, footer_at);
        if (!done) return done;
        const auto footer = load<Footer>(storage_, 0);
        if (!footer) return footer.error();
        return put_end(storage_, *footer, *paths_end);
    }

private:
    [[nodiscard]] const Layout& layout() const { return image_.layout; }
    static Bytes as_bytes(const auto& structure) { return std::as_bytes(std::span(&structure, 1)); }

    // Kinds that are there stay; the two that Windows reads come where there is none.
    static void choose_slots(DynamicHeader& header) {
        bool has_path = false;
        for (const ParentLocator& locator : header.parent_locators) {
            const uint32_t code = locator.platform_code.value();
            has_path = has_path || code == platform::w2ru || code == platform::w2ku;
        }
        if (has_path) return;
        uint32_t wanted = platform::w2ku;
        for (ParentLocator& locator : header.parent_locators) {
            if (locator.platform_code.value() != platform::none || wanted == 0) continue;
            locator.platform_code = wanted;
            wanted = wanted == platform::w2ku ? platform::w2ru : 0;
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
    const ParentLink& link_;
    uint64_t end_;
};

}  // namespace changing

/// Where the parent of a differencing image is, and which it is: all its names are written anew, in
/// the kinds of locators that are there.
template <WritableStorage S, Allocation A>
Status set_parent(S& storage, const ParentLink& link, A allocation) {
    const auto image = open_to_change(storage, std::move(allocation));
    if (!image) return image.error();
    if (!image->layout.has_parent()) return invalid("vhd: the image has no parent");
    if (link.relative_path.empty() && link.absolute_path.empty()) {
        return invalid("vhd: a differencing image needs the path of its parent");
    }
    return changing::ParentSwitch<S, A>(storage, *image, link).run();
}

}  // namespace vdisk::vhd
