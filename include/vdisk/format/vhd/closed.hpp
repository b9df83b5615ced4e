// SPDX-License-Identifier: BSL-1.0
// An image that nobody has open: what check, repair and the operations on the whole work on.
#pragma once

#include <vdisk/format/vhd/blocks.hpp>
#include <vdisk/metadata/metadata.hpp>
#include <vdisk/storage/borrowed.hpp>

namespace vdisk::vhd {

/// Tables are read from front to back, in long pieces.
inline constexpr CacheShape closed_cache{.page_bits = 16, .count_bits = 3};

/// The layout of an image that nobody has open, and access to its table. What is read may be
/// remembered: whoever writes to the storage opens the image again.
template <Storage S, Allocation A>
struct Closed {
    Layout layout;
    Areas areas;  ///< none in a fixed image
    Metadata<Borrowed<S>, A> tables;
};

template <Storage S, Allocation A>
Result<Closed<S, A>> open_closed(S& storage, A allocation,
                                 Checksums checksums = Checksums::required) {
    const auto layout = load_layout(storage, checksums);
    if (!layout) return layout.error();
    Result<Areas> areas = Areas{};
    if (!layout->is_fixed()) areas = load_areas(storage, *layout);
    if (!areas) return areas.error();
    auto tables =
        Metadata<Borrowed<S>, A>::make(Borrowed<S>(storage), closed_cache, std::move(allocation));
    if (!tables) return tables.error();
    return Closed<S, A>{*layout, *areas, *std::move(tables)};
}

/// Where the last block or table ends: the place of the footer in a file without gaps. Blocks that
/// cannot be are an error.
template <Storage S, Allocation A>
Result<uint64_t> end_of_data(const Closed<S, A>& image) {
    uint64_t end = image.areas.end();
    const auto visit = [&](uint32_t, uint32_t entry, uint64_t at) -> Status {
        if (Status sound = image.areas.check(image.layout, entry, at); !sound) return sound;
        const uint64_t block_end = (uint64_t{entry} << sector_bits) + image.layout.stride();
        if (block_end > end) end = block_end;
        return {};
    };
    if (Status walked = each_block(image.tables, image.layout, visit); !walked) {
        return walked.error();
    }
    return end;
}

/// Writes the end of an image: the footer at `end`, which then is where the file ends but for it.
/// A cut leaves one of the ends, the old or the new, with a footer.
template <WritableStorage S>
Status put_end(S& storage, const Footer& footer, uint64_t end) {
    const uint64_t size = end + sizeof(Footer);
    if (storage.size() < size) {
        if (Status grown = storage.resize(size); !grown) return grown;
    }
    const Status put = storage.write(end, std::as_bytes(std::span(&footer, 1)));
    if (!put) return put;
    if (Status durable = storage.flush(); !durable) return durable;
    if (storage.size() == size) return {};
    if (Status cut = storage.resize(size); !cut) return cut;
    return storage.flush();
}

/// As open_closed, to change the image: Errc::read_only or corrupt where that may not be, or where
/// a block is not where it can be. Reads the whole table.
template <WritableStorage S, Allocation A>
Result<Closed<S, A>> open_to_change(S& storage, A allocation) {
    auto image = open_closed(storage, allocation);
    if (!image) return image;
    if (Status may = check_writable(storage, image->layout); !may) return may.error();
    if (image->layout.is_fixed()) return image;
    const auto map = map_blocks(image->tables, image->layout, image->areas, std::move(allocation));
    if (!map) return map.error();
    return image;
}

/// Refuses images in which the file, as it grows, would come to lie under what is named already.
template <class C>
Status refuse_outside(const C& image) {
    if (!image.areas.outside) return {};
    return corrupt("vhd: a parent locator or a map ends past the end of the file");
}

/// A creator by which everyone counts bytes, where the geometry says something else.
inline void settle_creator(Footer& f) {
    const Geometry geometry{f.disk_geometry.cylinders.value(), f.disk_geometry.heads,
                            f.disk_geometry.sectors_per_track};
    const bool agrees = geometry == largest_geometry ||
                        uint64_t{geometry.sectors()} << sector_bits == f.current_size.value();
    if (agrees || layout::creator_counts_bytes(f.creator_application)) return;
    f.creator_application = {'w', 'i', 'n', ' '};
}

/// Writes a structure over the one that is there, and makes that durable.
template <WritableStorage S>
Status put_durable(S& storage, uint64_t at, Bytes bytes) {
    const Status put = storage.write(at, bytes);
    return put ? storage.flush() : put;
}

/// The footer of a writable image, changed by `change(Footer&)`. That at the end decides: before it
/// is written the image is as it was. Both are each one sector.
template <WritableStorage S, class Change>
Status change_footer(S& storage, const Layout& layout, Change change) {
    Footer footer{};
    const MutBytes bytes = std::as_writable_bytes(std::span(&footer, 1));
    const size_t length = layout.footer_copy == FooterCopy::short_end ? 511 : 512;
    if (Status got = storage.read(layout.data_end, bytes.first(length)); !got) return got;
    if (!has_cookie(footer)) return corrupt("vhd: the footer is gone", {layout.data_end});
    change(footer);
    seal(footer);
    if (!layout.is_fixed()) {
        if (Status put = put_durable(storage, 0, bytes); !put) return put;
    }
    return put_durable(storage, layout.data_end, bytes.first(length));
}

/// The header, changed by `change(DynamicHeader&)` in its first 512 bytes alone: in one sector.
template <WritableStorage S, class Change>
Status change_header(S& storage, const Layout& layout, Change change) {
    auto header = load<DynamicHeader>(storage, layout.header_at);
    if (!header) return header.error();
    change(*header);
    seal(*header);
    const Bytes bytes = std::as_bytes(std::span(&*header, 1));
    return put_durable(storage, layout.header_at, bytes.first(sector_size));
}

}  // namespace vdisk::vhd
