// SPDX-License-Identifier: BSL-1.0
// Makes the disk of a closed image larger or smaller, at once: after a power cut it has the old
// size or the new one. Bitmaps get the new size, too. An external data file is for the caller to
// resize: before it grows, after it shrinks.
#pragma once

#include <vdisk/core/zero.hpp>
#include <vdisk/format/qcow2/bitmap_resize.hpp>

namespace vdisk::qcow2 {

namespace resizing {

template <Storage S>
Status check_possible(const S& storage, const Layout& layout, uint64_t size) {
    if (!is_aligned(size, 9)) return invalid("qcow2: size is not a multiple of 512", {size});
    if (size >> 63 != 0 || blocks(size, layout.l1_shift()) > max_l1_bytes / 8) {
        return fail(Errc::limit, "qcow2: disk is too large for its cluster size", {size});
    }
    if (layout.is_corrupt()) return corrupt("qcow2: the image is marked corrupt: repair it");
    if (layout.version == 2 && layout.snapshots > 0) {
        return unsupported("qcow2: a version 2 image with snapshots cannot be resized");
    }
    return bitmap_resizing::check_possible(storage, layout, size);
}

/// The bytes of the last cluster that are behind the end of the disk.
template <Storage S, Allocation A>
Result<bool> is_zero_behind(const Closed<S, A>& image, uint64_t host) {
    const uint64_t end = image.layout.size & (image.layout.cluster_size() - 1);
    std::array<byte, 512> sector;
    for (uint64_t at = end; at < image.layout.cluster_size(); at += sector.size()) {
        if (!fits(host + at, sector.size(), image.file_size())) return true;
        const Status read = image.tables.storage().read(host + at, sector);
        if (!read) return read.error();
        if (!is_zero(sector)) return false;
    }
    return true;
}

/// Whether the tables say nothing about what is behind the end of the disk. Something may be there:
/// the state of a virtual machine, what an earlier shrinking left.
template <Storage S, Allocation A>
Result<bool> is_empty_behind(const Closed<S, A>& image) {
    const Layout& layout = image.layout;
    bool empty = true;
    const uint64_t whole = layout.size >> layout.l1_shift();  // L1 entries wholly inside the disk
    if (whole >= layout.l1.entries) return empty;
    const uint64_t first = blocks(layout.size, layout.l1_shift());
    Status walked = each_entry(image.tables, layout.l1.at + first * 8, layout.l1.entries - first,
                               [&](uint64_t, uint64_t) {
                                   empty = false;
                                   return Status{};
                               });
    if (!walked) return walked.error();
    if (!empty || first == whole) return empty;
    const auto e = image.tables.be64(layout.l1.at + whole * 8);
    if (!e) return e.error();
    const uint64_t table = *e & entry::offset_mask;
    if (table == 0) return true;
    const uint64_t index =
        (layout.size >> layout.cluster_bits) & ((uint64_t{1} << layout.l2_bits()) - 1);
    bool partial = !is_aligned(layout.size, layout.cluster_bits);
    bool packed = false;
    uint64_t host = 0;
    walked = each_l2_entry(image.tables, layout, table, index,
                           [&](uint64_t word, uint64_t bitmap, uint64_t) -> Status {
                               const Reference ref = reference_of(layout, word);
                               const bool zero = (word & entry::zero) != 0 && !layout.extended_l2;
                               if (!partial) empty = empty && (word | bitmap) == 0;
                               else if (ref.kind == Reference::Kind::packed) packed = true;
                               else if (ref.kind == Reference::Kind::cluster && !zero)
                                   host = ref.at;
                               partial = false;
                               return {};
                           });
    if (!walked) return walked.error();
    if (packed) return false;  // not without unpacking it
    if (!empty || host == 0 || layout.has_data_file || layout.crypt_method != 0) return empty;
    return is_zero_behind(image, host);
}

/// Whether grow_in_place() may be: the last cluster of the L1 table has room for so many entries,
/// and is nobody else's, and no snapshot has the size of the disk for want of its own.
template <Storage S, Allocation A>
Result<bool> can_grow_in_place(const Closed<S, A>& image, uint32_t entries) {
    const Layout& layout = image.layout;
    const auto sized = have_sizes(image.tables.storage(), layout);
    if (!sized || !*sized) return sized;
    if (entries <= layout.l1.entries) return true;
    const uint64_t end = layout.l1.at + uint64_t{layout.l1.entries} * 8;
    const uint64_t room = blocks(end, layout.cluster_bits) << layout.cluster_bits;
    if (layout.l1.entries == 0 || layout.l1.at + uint64_t{entries} * 8 > room) return false;
    const auto stored = stored_refcount(image.tables, layout, (end - 1) >> layout.cluster_bits);
    if (!stored) return stored.error();
    return stored->is(1);
}

/// More entries for an L1 table whose last cluster has room for them, and the new size: the first
/// sector says both.
template <WritableStorage S>
Status grow_in_place(S& storage, const Layout& layout, uint64_t size, uint32_t entries) {
    const uint64_t from = layout.l1.at + uint64_t{layout.l1.entries} * 8;
    const uint64_t end = layout.l1.at + uint64_t{entries} * 8;
    if (end > storage.size()) {
        const uint64_t whole = blocks(end, layout.cluster_bits) << layout.cluster_bits;
        if (Status grown = storage.resize(whole); !grown) return grown;
    }
    if (end > from) {
        Stream<S> out(storage, from);
        if (Status filled = out.zeros(end - from); !filled) return filled;
        if (Status written = out.finish(); !written) return written;
        if (Status durable = storage.flush(); !durable) return durable;
    }
    auto sector = rewriting::FirstSector<S>::load(storage);
    if (!sector) return sector.error();
    sector->header.size = size;
    if (entries > layout.l1.entries) sector->header.l1_size = entries;
    return sector->store(storage, layout);
}

template <WritableStorage S, Allocation A, class Guest>
Status rewrite_all(S& storage, const Closed<S, A>& image, const NewState& state, A allocation,
                   Guest guest) {
    if (bitmaps_valid(image.layout)) {
        return rewrite_with_bitmaps(storage, state, std::move(allocation), std::move(guest));
    }
    return rewrite(storage, image, state, std::move(allocation), std::move(guest));
}

}  // namespace resizing

/// Makes the disk larger; what is new reads as zeros. `backing_size` is how long the backing file
/// is (0: there is none): what it has behind the old end must not show. `guest(at, out) -> Status`
/// reads the disk as it is, backing file included; needed only over a longer one, and where the old
/// end lies in a compressed cluster. Refused: bitmaps that were not saved cleanly, version 2 with
/// snapshots, version 2 over a backing file that is longer than the disk, since it has no zero
/// clusters.
template <WritableStorage S, Allocation A, class Guest = NoGuest>
Status grow(S& storage, uint64_t size, uint64_t backing_size, A allocation, Guest guest = {}) {
    const auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    const Layout& layout = image->layout;
    Status possible = resizing::check_possible(storage, layout, size);
    if (!possible) return possible;
    if (size < layout.size) return invalid("qcow2: the disk is larger already", {layout.size});
    if (size == layout.size) return {};
    const bool shows_more = backing_size > layout.size;
    if (shows_more && layout.version == 2) {
        return unsupported("qcow2: version 2 cannot hide the rest of a longer backing file");
    }
    if (shows_more && !is_aligned(layout.size, layout.cluster_bits) &&
        (layout.has_data_file || layout.crypt_method != 0)) {
        return unsupported("qcow2: the rest of the backing file begins inside a cluster");
    }
    const auto empty = resizing::is_empty_behind(*image);
    if (!empty) return empty.error();
    const auto entries = static_cast<uint32_t>(blocks(size, layout.l1_shift()));
    const auto in_place = resizing::can_grow_in_place(*image, entries);
    if (!in_place) return in_place.error();
    if (*empty && !shows_more && *in_place && !bitmaps_valid(layout)) {
        return resizing::grow_in_place(storage, layout, size, entries);
    }
    NewState state = same_state(layout);
    state.size = size;
    state.keep = layout.size;
    if (shows_more) state.zeros_end = backing_size < size ? backing_size : size;
    return resizing::rewrite_all(storage, *image, state, std::move(allocation), std::move(guest));
}

/// Makes the disk smaller; what was behind the new end is lost, and does not come back when it
/// grows. `guest(at, out) -> Status` reads the disk as it is; needed only where the new end lies in
/// a compressed cluster. Snapshots keep their size. Refused: bitmaps that were not saved cleanly,
/// version 2 with snapshots.
template <WritableStorage S, Allocation A, class Guest = NoGuest>
Status shrink(S& storage, uint64_t size, A allocation, Guest guest = {}) {
    const auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    const Layout& layout = image->layout;
    Status possible = resizing::check_possible(storage, layout, size);
    if (!possible) return possible;
    if (size > layout.size) return invalid("qcow2: the disk is smaller already", {layout.size});
    if (size == layout.size) return {};
    NewState state = same_state(layout);
    state.size = size;
    state.keep = size;
    return resizing::rewrite_all(storage, *image, state, std::move(allocation), std::move(guest));
}

}  // namespace vdisk::qcow2
