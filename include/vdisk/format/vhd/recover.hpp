// SPDX-License-Identifier: BSL-1.0
// Brings the two footers in line, after a cut or a copy that lost one of them.
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
Result<Closed<S, A>> open_closed(S& storage, A allocation) {
    const auto layout = load_layout(storage);
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

/// Both footers there and alike: nothing to do. One is lost: it is written again; space behind the
/// last block that a cut left is given back. They differ: that at the end counts. An image that
/// cannot be opened, or has blocks that cannot be, stays as it is.
template <WritableStorage S, Allocation A>
Status recover(S& storage, A allocation) {
    const auto image = open_closed(storage, std::move(allocation));
    if (!image || image->layout.is_fixed()) return {};
    const Layout& layout = image->layout;
    const bool has_end = layout.footer_copy == FooterCopy::end;
    const auto footer = load<Footer>(storage, has_end ? layout.data_end : 0);
    if (!footer) return footer.error();
    if (!has_end) {
        const auto end = end_of_data(*image);
        if (!end) return end.error().code == Errc::io ? Status(end.error()) : Status{};
        return put_end(storage, *footer, *end);
    }
    const auto front = load<Footer>(storage, 0);
    if (!front) return front.error();
    if (std::memcmp(&*front, &*footer, sizeof(Footer)) == 0) return {};
    const Status put = storage.write(0, std::as_bytes(std::span(&*footer, 1)));
    return put ? storage.flush() : put;
}

}  // namespace vdisk::vhd
