// SPDX-License-Identifier: BSL-1.0
// Makes the disk larger or smaller. The footer at the end decides: up to its write the image is as
// it was.
#pragma once

#include <vdisk/core/bits.hpp>
#include <vdisk/format/vhd/create.hpp>
#include <vdisk/format/vhd/move.hpp>

namespace vdisk::vhd {

namespace resizing {

inline Status check_possible(uint64_t size) {
    if (size == 0 || size > max_size || !is_aligned(size, sector_bits)) {
        return invalid("vhd: size is 0, no multiple of 512, or beyond 2040 GiB", {size});
    }
    return {};
}

// The size, and a geometry that does not contradict it to those who go by it.
inline void put_size(Footer& f, uint64_t size) {
    f.current_size = size;
    const Geometry old{f.disk_geometry.cylinders.value(), f.disk_geometry.heads,
                       f.disk_geometry.sectors_per_track};
    if (old == largest_geometry) return;
    const Geometry geometry = geometry_of(size >> sector_bits);
    f.disk_geometry.cylinders = geometry.cylinders;
    f.disk_geometry.heads = geometry.heads;
    f.disk_geometry.sectors_per_track = geometry.sectors_per_track;
    settle_creator(f);
}

/// Calls write with pieces of `length` bytes of one value.
template <WritableStorage S>
Status write_same(S& storage, uint64_t at, uint64_t length, byte value) {
    std::array<byte, 4096> piece;
    piece.fill(value);
    while (length > 0) {
        const size_t n = length < piece.size() ? static_cast<size_t>(length) : piece.size();
        if (Status put = storage.write(at, Bytes(piece).first(n)); !put) return put;
        at += n;
        length -= n;
    }
    return {};
}

template <WritableStorage S, Allocation A>
class Growth {
public:
    Growth(S& storage, const Closed<S, A>& image, A allocation)
        : storage_(storage), image_(image), allocation_(std::move(allocation)) {}

    Status run(uint64_t size) {
        const auto entries = static_cast<uint32_t>(blocks(size, layout().block_bits));
        Status done = zero_last_block();
        // Entries behind the end may be left from a time when the disk was longer.
        const uint32_t free = layout().table_entries < entries ? layout().table_entries : entries;
        if (done) done = clear_entries(layout().table_at, layout().blocks_in_use(), free);
        if (done) done = storage_.flush();
        if (done && entries > layout().table_entries) done = lengthen_table(entries);
        return done;
    }

    /// Where the footer is now.
    [[nodiscard]] uint64_t end() const { return end_; }

private:
    [[nodiscard]] const Layout& layout() const { return image_.layout; }

    Status clear_entries(uint64_t table_at, uint32_t from, uint32_t to) {
        if (from >= to) return {};
        return write_same(storage_, table_at + uint64_t{from} * 4, uint64_t{to - from} * 4,
                          byte{0xFF});
    }

    // What is behind the end of the disk in its last block was never anyone's to see.
    Status zero_last_block() {
        const uint64_t into = layout().size & (layout().block_size() - 1);
        if (into == 0) return {};
        const uint32_t number = layout().blocks_in_use() - 1;
        const auto entry = image_.tables.be32(layout().table_at + uint64_t{number} * 4);
        if (!entry) return entry.error();
        if (*entry == unallocated) return {};
        const uint64_t block = uint64_t{*entry} << sector_bits;
        const uint64_t rest = layout().block_size() - into;
        Status done = write_same(storage_, block + layout().bitmap_bytes() + into, rest, byte{0});
        // In a child they have to hide what the parent may have there.
        if (done) done = claim_sectors(block, into >> sector_bits, rest >> sector_bits);
        return done;
    }

    Status claim_sectors(uint64_t block, uint64_t first, uint64_t count) {
        Status done = storage_.flush();
        while (done && count > 0) {
            std::array<byte, sector_size> bits;
            const uint64_t at = block + (first >> 12 << sector_bits);
            const uint64_t in_sector = first & 4095;
            const uint64_t n = count < 4096 - in_sector ? count : 4096 - in_sector;
            done = storage_.read(at, bits);
            if (done) {
                set_bits<BitOrder::msb_first>(bits, in_sector, n);
                done = storage_.write(at, bits);
            }
            first += n;
            count -= n;
        }
        return done;
    }

    Status lengthen_table(uint32_t entries) {
        const auto map = map_blocks(image_.tables, image_.layout, image_.areas, allocation_);
        if (!map) return map.error();
        const uint64_t bytes = blocks(uint64_t{entries} * 4, sector_bits) << sector_bits;
        const uint64_t old_bytes = layout().table_bytes();
        const bool fits_here = is_free(*map, layout().table_at + old_bytes, bytes - old_bytes);
        if (!fits_here) return move_table(entries, bytes);
        Status done = clear_entries(layout().table_at, layout().table_entries,
                                    static_cast<uint32_t>(bytes / 4));
        if (done) done = storage_.flush();
        if (!done) return done;
        return change_header(storage_, layout(),
                             [&](DynamicHeader& h) { h.max_table_entries = entries; });
    }

    bool is_free(const BlockMap<A>& map, uint64_t at, uint64_t length) {
        if (length == 0) return true;
        if (!fits(at, length, layout().data_end)) return false;
        return find_room(layout(), image_.areas, map, at, length, at + 1) == at;
    }

    // To the end of the file, with a footer behind it. Its old place is free for tables or blocks.
    Status move_table(uint32_t entries, uint64_t bytes) {
        const uint64_t to = end_ + sizeof(Footer);
        const auto footer = load<Footer>(storage_, 0);
        if (!footer) return footer.error();
        Buffer<A> buffer(allocation_);
        if (auto memory = buffer.reserve(copy_bytes); !memory) return memory.error();
        const uint64_t used = uint64_t{layout().blocks_in_use()} * 4;
        Status done = storage_.resize(to + bytes + sizeof(Footer));
        if (done) done = write_same(storage_, to, bytes, byte{0xFF});
        if (done) done = copy_bytes_to(storage_, layout().table_at, to, used, buffer.bytes());
        if (done) done = storage_.flush();
        if (done) done = put_end(storage_, *footer, to + bytes);
        if (!done) return done;
        end_ = to + bytes;
        return change_header(storage_, layout(), [&](DynamicHeader& h) {
            h.table_offset = to;
            h.max_table_entries = entries;
        });
    }

    S& storage_;
    const Closed<S, A>& image_;
    A allocation_;
    uint64_t end_ = image_.layout.data_end;
};

// The footer of a fixed disk at another place. `end` is the size.
template <WritableStorage S>
Status move_fixed(S& storage, const Layout& layout, uint64_t size) {
    Footer footer{};
    const MutBytes bytes = std::as_writable_bytes(std::span(&footer, 1));
    const size_t length = layout.footer_copy == FooterCopy::short_end ? 511 : 512;
    if (Status got = storage.read(layout.data_end, bytes.first(length)); !got) return got;
    if (!has_cookie(footer)) return corrupt("vhd: the footer is gone", {layout.data_end});
    put_size(footer, size);
    seal(footer);
    // What the file has between the disk and its footer was never anyone's to see.
    const uint64_t known = size < layout.data_end ? size : layout.data_end;
    if (known > layout.size) {
        Status zeroed = write_same(storage, layout.size, known - layout.size, byte{0});
        if (zeroed) zeroed = storage.flush();
        if (!zeroed) return zeroed;
    }
    if (Status put = put_end(storage, footer, size); !put) return put;
    if (size <= layout.data_end) return {};
    // Where the old one was, the disk is now.
    const uint64_t rest = size - layout.data_end;
    Status done = write_same(storage, layout.data_end, rest < length ? rest : length, byte{0});
    return done ? storage.flush() : done;
}

}  // namespace resizing

/// Makes the disk of a closed image larger. What is new reads as zeros, or as the parent where that
/// is longer than the disk was. A fixed disk has one footer, and is in between neither old nor new:
/// a cut may leave the footer in the middle of the file, where `repair` finds it, or the old one to
/// be seen in the new part.
template <WritableStorage S, Allocation A>
Status grow(S& storage, uint64_t size, A allocation) {
    if (Status possible = resizing::check_possible(size); !possible) return possible;
    const auto image = open_to_change(storage, allocation);
    if (!image) return image.error();
    Layout layout = image->layout;
    if (size < layout.size) return invalid("vhd: the disk is larger already", {size});
    if (size == layout.size) return {};
    if (Status inside = refuse_outside(*image); !inside) return inside;
    if (!layout.is_fixed() && blocks(size, layout.block_bits) > max_table_entries) {
        return fail(Errc::limit, "vhd: block allocation table would be larger than 256 MiB",
                    {size});
    }
    if (layout.is_fixed()) return resizing::move_fixed(storage, layout, size);
    resizing::Growth<S, A> growth(storage, *image, allocation);
    if (Status done = growth.run(size); !done) return done;
    layout.data_end = growth.end();
    return change_footer(storage, layout, [&](Footer& f) { resizing::put_size(f, size); });
}

/// Makes the disk of a closed image smaller. What is behind the new end is lost; `compact` gives
/// its space back. Cut while that is done to a fixed disk, it may still be as long as before, with
/// a footer at the new end.
template <WritableStorage S, Allocation A>
Status shrink(S& storage, uint64_t size, A allocation) {
    if (Status possible = resizing::check_possible(size); !possible) return possible;
    const auto image = open_to_change(storage, allocation);
    if (!image) return image.error();
    const Layout& layout = image->layout;
    if (size > layout.size) return invalid("vhd: the disk is smaller already", {size});
    if (layout.is_fixed()) return resizing::move_fixed(storage, layout, size);
    Status done = change_footer(storage, layout, [&](Footer& f) { resizing::put_size(f, size); });
    if (!done) return done;
    const uint64_t kept = blocks(size, layout.block_bits);
    const uint64_t gone = layout.blocks_in_use() - kept;
    done = resizing::write_same(storage, layout.table_at + kept * 4, gone * 4, byte{0xFF});
    return done ? storage.flush() : done;
}

}  // namespace vdisk::vhd
