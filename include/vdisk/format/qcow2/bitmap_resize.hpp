// SPDX-License-Identifier: BSL-1.0
// The bitmaps of an image whose disk gets another size: bits of what stays are kept, new ones are
// clear. Their directory and tables are built aside; nothing vouches for any bitmap while the one
// or the other could be taken for one of the wrong size.
#pragma once

#include <vdisk/format/qcow2/bitmap_editor.hpp>
#include <vdisk/format/qcow2/rewrite.hpp>

namespace vdisk::qcow2 {

namespace bitmap_resizing {

/// Whether all bitmaps can have the new size.
template <Storage S>
Status check_possible(const S& storage, const Layout& layout, uint64_t size) {
    if (!bitmaps_valid(layout)) return {};
    if (size == 0) return unsupported("qcow2: a disk of no bytes has no bitmaps: remove them");
    Layout changed = layout;
    changed.size = size;
    return each_bitmap(storage, layout, [&](const Bitmap& bitmap) -> Status {
        if ((bitmap.flags & bitmap_flag::in_use) != 0) {
            return unsupported("qcow2: a bitmap was not saved cleanly: remove it to resize",
                               {Error::none, bitmap.name.at});
        }
        if (BitmapSize(changed, bitmap.granularity_bits).bytes > max_bitmap_bytes) {
            return fail(Errc::limit, "qcow2: a bitmap would be larger than 512 MiB: remove it",
                        {Error::none, bitmap.name.at});
        }
        return {};
    });
}

/// Makes the tables, for a disk of `size` bytes. What is old stays as it is.
template <WritableStorage S, Allocation A>
class NewTables {
public:
    NewTables(BitmapEditor<S, A>& editor, uint64_t size)
        : editor_(editor), new_layout_(editor.layout()), cluster_(editor.allocation()) {
        new_layout_.size = size;
    }

    /// The directory of the new bitmaps; durable, but nothing leads to it.
    Result<BitmapDirectory> make() {
        const auto size = static_cast<size_t>(new_layout_.cluster_size());
        if (auto taken = cluster_.reserve(size); !taken) return taken.error();
        auto made = editor_.copy_directory(
            [&](const Bitmap& bitmap, BitmapHeader& header) { return table(bitmap, header); });
        if (!made) return made;
        if (Status durable = editor_.finish(); !durable) return durable.error();
        return made;
    }

private:
    Status table(const Bitmap& old, BitmapHeader& header) {
        const uint64_t before = BitmapSize(editor_.layout(), old.granularity_bits).bits;
        const BitmapSize after(new_layout_, old.granularity_bits);
        const uint64_t kept = before < after.bits ? before : after.bits;
        const unsigned shift = new_layout_.cluster_bits + 3u;
        const auto at = editor_.allocate(after.clusters * 8);
        if (!at) return at.error();
        Stream<S> out(editor_.storage(), *at);
        for (uint64_t i = 0; i < after.clusters; ++i) {
            Result<uint64_t> e = uint64_t{0};
            if (i << shift < kept) e = bitmap_entry(editor_.storage(), editor_.layout(), old, i);
            if (!e) return e.error();
            const bool ends_here = i << shift < kept && (i + 1) << shift > kept;
            // Bits behind the end of the disk do not count; but they may not come into it.
            const bool is_right =
                *e == 0 || before == after.bits || (*e == entry::all_dirty && before > after.bits);
            if (ends_here && !is_right) e = cut(old, i, kept);
            if (!e) return e.error();
            if (Status put = out.put_be64(*e); !put) return put;
        }
        header.bitmap_table_offset = *at;
        header.bitmap_table_size = static_cast<uint32_t>(after.clusters);
        return out.finish();
    }

    // A copy of a cluster of bits in which those from bit `end` of the bitmap on are clear.
    Result<uint64_t> cut(const Bitmap& old, uint64_t index, uint64_t end) {
        const MutBytes bits =
            cluster_.bytes().first(static_cast<size_t>(new_layout_.cluster_size()));
        Status done = read_bitmap(editor_.storage(), editor_.layout(), old,
                                  index << new_layout_.cluster_bits, bits);
        if (!done) return done.error();
        end -= index << (new_layout_.cluster_bits + 3u);
        const auto whole = static_cast<size_t>(blocks(end, 3));
        if (end % 8 != 0) bits[whole - 1] &= static_cast<byte>((1u << end % 8) - 1);
        std::memset(bits.data() + whole, 0, bits.size() - whole);
        const auto at = editor_.allocate(bits.size());
        if (!at) return at.error();
        if (done = editor_.storage().write(*at, bits); !done) return done.error();
        return at;
    }

    BitmapEditor<S, A>& editor_;
    Layout new_layout_;
    Buffer<A> cluster_;
};

/// Writes where the directory is; it must not be vouched for.
template <WritableStorage S>
Status store_directory(S& storage, const Layout& layout, const BitmapDirectory& directory) {
    BitmapsExtension raw{};
    raw.nb_bitmaps = directory.bitmaps;
    raw.bitmap_directory_size = directory.size;
    raw.bitmap_directory_offset = directory.at;
    const Status put = storage.write(layout.bitmaps.at, std::as_bytes(std::span(&raw, 1)));
    return put ? storage.flush() : put;
}

/// Says whether bitmaps are valid.
template <WritableStorage S>
Status vouch(S& storage, Layout layout, uint64_t bit) {
    auto sector = rewriting::FirstSector<S>::load(storage);
    if (!sector) return sector.error();
    layout.autoclear = (layout.autoclear & ~autoclear::bitmaps) | bit;
    return sector->store(storage, layout);
}

}  // namespace bitmap_resizing

/// As rewrite(), of an image with bitmaps, to a state of another size. After a power cut they are
/// those of the old size or of the new one, or void.
template <WritableStorage S, Allocation A, class Guest>
Status rewrite_with_bitmaps(S& storage, const NewState& state, A allocation, Guest guest) {
    using namespace bitmap_resizing;
    BitmapDirectory old, fresh;
    Layout layout;
    {
        auto editor = BitmapEditor<S, A>::open(storage, allocation);
        if (!editor) return editor.error();
        const auto made = NewTables<S, A>(*editor, state.size).make();
        if (!made) return made.error();
        layout = editor->layout();
        old = editor->directory();
        fresh = *made;
    }
    auto header = load_header(storage);
    if (!header) return header.error();
    Status done = vouch(storage, layout, 0);
    if (done) done = store_directory(storage, layout, fresh);
    if (done) {
        // As it was read, with the new bitmaps: the switch to the new size vouches for them again.
        const auto image = open_closed(storage, *header, allocation);
        done = image ? rewrite(storage, *image, state, allocation, std::move(guest))
                     : Status(image.error());
    }
    if (done) return done;
    const auto now = load_header(storage);
    const bool is_old = now && now->l1_table_offset.value() == layout.l1.at;
    if (is_old && store_directory(storage, layout, old)) {
        static_cast<void>(vouch(storage, layout, autoclear::bitmaps));
    }
    return done;
}

}  // namespace vdisk::qcow2
