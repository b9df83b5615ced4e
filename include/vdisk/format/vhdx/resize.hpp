// SPDX-License-Identifier: BSL-1.0
// Makes the disk larger or smaller. The item that says its size decides, and changes through the
// log: a cut leaves the disk as it was, or as it shall be.
#pragma once

#include <vdisk/format/vhdx/closed.hpp>
#include <vdisk/format/vhdx/writer.hpp>

namespace vdisk::vhdx {

namespace resizing {

template <class W>
Status put_size(W& writer, uint64_t size) {
    if (Status put = writer.tables().put_le64(writer.layout().size_at, size); !put) return put;
    writer.layout_mut().size = size;
    return {};
}

template <WritableStorage S, Allocation A, IdSource I>
class Growth {
public:
    using W = Writer<Borrowed<S>, A, I>;
    Growth(W& writer, A allocation) : writer_(writer), allocation_(std::move(allocation)) {}

    Status run(uint64_t size) {
        Layout grown = layout();
        grown.size = size;
        Status done = zero_last_block();
        if (done && grown.bat_entries() * 8 > layout().bat_length) done = lengthen_table(grown);
        if (done) done = settle_entries(grown);
        return done ? put_size(writer_, size) : done;
    }

private:
    [[nodiscard]] const Layout& layout() const { return writer_.layout(); }

    // What is behind the end of the disk in its last block was never anyone's to see. In a block
    // that is there in part it has to hide what the parent may have there.
    Status zero_last_block() {
        const uint64_t size = layout().size;
        const uint64_t into = size & (layout().block_size() - 1);
        if (into == 0) return {};
        const auto e = load_entry(writer_.tables(), layout(), size >> layout().block_bits);
        if (!e) return e.error();
        // One that is not there shows the parent, which may be longer.
        const bool shows = e->state() == State::not_present && layout().has_parent;
        if (e->state() < State::fully_present && !shows) return {};
        const uint64_t rest = layout().block_size() - into;
        writer_.layout_mut().size = size + rest;
        const Status done = write_over(size, rest);
        writer_.layout_mut().size = size;
        return done;
    }
    Status write_over(uint64_t at, uint64_t length) {
        while (length > 0) {
            const auto home = writer_.place(at, length);
            if (!home) return home.error();
            Status put = writer_.write_zeros(home->at, home->length);
            if (put) put = writer_.commit(at, *home);
            if (!put) return put;
            at += home->length;
            length -= home->length;
        }
        return {};
    }

    // A longer table elsewhere, with the entries that there are.
    Status lengthen_table(const Layout& grown) {
        const uint64_t length = blocks(grown.bat_entries() * 8, mib_bits) << mib_bits;
        const auto to = writer_.allocate_zeros(length);
        return to ? move_bat(writer_, *to, length, allocation_) : Status(to.error());
    }

    // Entries behind the end may be left from a time when the disk was longer. A fixed disk has all
    // its blocks; those of a child hide what a longer parent has.
    Status settle_entries(const Layout& grown) {
        const bool fixed = layout().leaves_allocated && !layout().has_parent;
        for (uint64_t i = layout().payload_blocks(); i < grown.payload_blocks(); ++i) {
            const auto e = load_entry(writer_.tables(), layout(), i);
            if (!e) return e.error();
            uint64_t value =
                static_cast<uint64_t>(layout().has_parent ? State::zero : State::not_present);
            if (fixed) {
                const auto home = writer_.allocate_zeros(layout().block_size());
                if (!home) return home.error();
                value = *home | static_cast<uint64_t>(State::fully_present);
            }
            if (e->value == value) continue;
            if (Status put = writer_.tables().put_le64(e->at, value); !put) return put;
        }
        return settle_bitmaps(grown);
    }
    Status settle_bitmaps(const Layout& grown) {
        const unsigned bits = layout().chunk_bits();
        const uint64_t known = layout().has_parent ? blocks(layout().payload_blocks(), bits) : 0;
        const uint64_t all = grown.bat_entries() / ((uint64_t{1} << bits) + 1);
        for (uint64_t chunk = known; chunk < all; ++chunk) {
            const auto e = load_bitmap_entry(writer_.tables(), layout(), chunk << bits);
            if (!e) return e.error();
            if (e->value == 0) continue;
            if (Status put = writer_.tables().put_le64(e->at, 0); !put) return put;
        }
        return {};
    }

    W& writer_;
    A allocation_;
};

// Entries behind the new end; `layout` is that of the disk before.
template <class W>
Status drop_entries(W& writer, const Layout& layout, uint64_t size) {
    const uint64_t kept = blocks(size, layout.block_bits);
    const uint64_t chunks_kept = blocks(kept, layout.chunk_bits());
    return each_entry(writer.tables(), layout, [&](const BatEntry& e) -> Status {
        if (e.number < (e.is_bitmap ? chunks_kept : kept)) return {};
        return writer.put_entry(e, 0);
    });
}

template <WritableStorage S, Allocation A, IdSource I>
Status run(S& storage, uint64_t size, A allocation, I ids) {
    if (Status replayed = replay(storage, allocation, ids); !replayed) return replayed;
    auto writer = Writer<Borrowed<S>, A, I>::open(Borrowed<S>(storage), {.cache = editing_cache},
                                                  allocation, std::move(ids));
    if (!writer) return writer.error();
    const Layout before = writer->layout();
    if (size == 0 || size > max_size || !is_aligned(size, before.sector_bits)) {
        return invalid("vhdx: size is 0, no multiple of the logical sector, or beyond 64 TiB",
                       {size});
    }
    if (size == before.size) return {};
    if (Status begun = writer->begin_change(); !begun) return begun;
    Status done;
    if (size > before.size) {
        done = Growth<S, A, I>(*writer, allocation).run(size);
    } else {
        done = put_size(*writer, size);
        if (done) done = drop_entries(*writer, before, size);
    }
    if (done) done = cut_end(*writer);
    return done ? writer->close() : done;
}

}  // namespace resizing

/// Makes the disk of a closed image larger. What is new reads as zeros, also where a parent is
/// longer than the disk was. Children that know the image by its identity do not any more.
template <WritableStorage S, Allocation A, IdSource I>
Status grow(S& storage, uint64_t size, A allocation, I ids) {
    const auto image = Image<Borrowed<S>, A>::open(Borrowed<S>(storage), {}, allocation);
    if (!image) return image.error();
    if (size < image->size()) return invalid("vhdx: the disk is larger already", {size});
    return resizing::run(storage, size, std::move(allocation), std::move(ids));
}

/// Makes the disk of a closed image smaller. What is behind the new end is lost, and the end of the
/// file that nothing uses then is cut off.
template <WritableStorage S, Allocation A, IdSource I>
Status shrink(S& storage, uint64_t size, A allocation, I ids) {
    const auto image = Image<Borrowed<S>, A>::open(Borrowed<S>(storage), {}, allocation);
    if (!image) return image.error();
    if (size > image->size()) return invalid("vhdx: the disk is smaller already", {size});
    return resizing::run(storage, size, std::move(allocation), std::move(ids));
}

}  // namespace vdisk::vhdx
