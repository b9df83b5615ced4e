// SPDX-License-Identifier: BSL-1.0
// Operations on the persistent bitmaps of a closed image: add, remove, clear, enable, disable,
// merge. After a power cut at any moment the bitmaps are as before or as wanted, and at worst some
// clusters are in use by nobody.
#pragma once

#include <optional>

#include <vdisk/format/qcow2/bitmap_editor.hpp>

namespace vdisk::qcow2 {

/// Whether a bitmap records what the guest writes from now on.
enum class Recording : uint8_t { on, off };

struct NewBitmap {
    std::string_view name;
    unsigned granularity_bits = 0;  ///< log2 of the bytes a bit stands for, 9 to 31; 0: as usual
    Recording recording = Recording::on;
};

/// What a new bitmap has if nothing else is wanted: the cluster size, between 4 and 64 KiB.
[[nodiscard]] constexpr unsigned default_granularity_bits(unsigned cluster_bits) {
    return cluster_bits < 12 ? 12 : cluster_bits > 16 ? 16 : cluster_bits;
}

namespace bitmap_parts {

inline BitmapHeader header_of(const NewBitmap& wanted, uint64_t table_at, uint64_t entries) {
    BitmapHeader out{};
    out.bitmap_table_offset = table_at;
    out.bitmap_table_size = static_cast<uint32_t>(entries);
    out.flags = wanted.recording == Recording::on ? bitmap_flag::automatic : 0;
    out.type = 1;
    out.granularity_bits = static_cast<uint8_t>(wanted.granularity_bits);
    out.name_size = static_cast<uint16_t>(wanted.name.size());
    return out;
}

inline Status check_new(const Layout& layout, const NewBitmap& wanted) {
    if (wanted.name.empty()) return invalid("qcow2: bitmap name is empty");
    if (wanted.name.size() > max_name_length) {
        return invalid("qcow2: bitmap name is longer than 1023 bytes", {wanted.name.size()});
    }
    if (wanted.granularity_bits < 9 || wanted.granularity_bits > 31) {
        return invalid("qcow2: bitmap granularity is not between 512 bytes and 2 GiB",
                       {wanted.granularity_bits});
    }
    if (layout.size == 0) return invalid("qcow2: a disk of no bytes has no bitmaps");
    const BitmapSize size(layout, wanted.granularity_bits);
    if (size.bytes > max_bitmap_bytes || size.clusters > max_bitmap_table_entries) {
        return invalid("qcow2: bitmap is larger than 512 MiB: use a larger granularity",
                       {size.bytes});
    }
    return {};
}

/// A table of `entries` empty entries; where it is.
template <WritableStorage S, Allocation A>
Result<uint64_t> empty_table(BitmapEditor<S, A>& editor, uint64_t entries) {
    const auto at = editor.allocate(entries * 8);
    if (!at) return at.error();
    Stream<S> stream(editor.storage(), *at);
    Status put = stream.zeros(entries * 8);
    if (put) put = stream.finish();
    if (!put) return put.error();
    return at;
}

/// Gives the bitmap at `place` the table at `table_at`, which has as many entries, and releases
/// what only the old one has.
template <WritableStorage S, Allocation A>
Status replace_table(BitmapEditor<S, A>& editor, const BitmapPlace& place, uint64_t table_at) {
    auto header = load<BitmapHeader>(editor.storage(), place.at);
    if (!header) return header.error();
    header->bitmap_table_offset = table_at;
    Status done = editor.change({.changed_at = place.at, .header = *header});
    if (done) done = editor.release_bitmap(place.bitmap, table_at);
    if (done) done = editor.finish();
    return done;
}

}  // namespace bitmap_parts

/// Adds a bitmap without a set bit. Its name must be new.
template <WritableStorage S, Allocation A>
Status add_bitmap(S& storage, NewBitmap wanted, A allocation) {
    auto editor = BitmapEditor<S, A>::open(storage, std::move(allocation));
    if (!editor) return editor.error();
    const Layout& layout = editor->layout();
    if (wanted.granularity_bits == 0) {
        wanted.granularity_bits = default_granularity_bits(layout.cluster_bits);
    }
    if (Status good = bitmap_parts::check_new(layout, wanted); !good) return good;
    const auto twin = editor->find(wanted.name);
    if (twin) return invalid("qcow2: a bitmap of this name exists already");
    if (twin.error().code != Errc::not_found) return twin.error();
    if (editor->directory().bitmaps == max_bitmaps) {
        return fail(Errc::limit, "qcow2: more than 65535 bitmaps", {max_bitmaps});
    }
    const uint64_t entries = BitmapSize(layout, wanted.granularity_bits).clusters;
    const auto table = bitmap_parts::empty_table(*editor, entries);
    if (!table) return table.error();
    const Status added = editor->change(
        {.added = bitmap_parts::header_of(wanted, *table, entries), .added_name = wanted.name});
    if (!added && added.error().code == Errc::no_space) {
        if (Status given = editor->release(*table, entries * 8); !given) return given;
        if (Status durable = editor->finish(); !durable) return durable;
    }
    if (!added) return added;
    return editor->finish();
}

/// Removes a bitmap, also one that was not saved cleanly.
template <WritableStorage S, Allocation A>
Status remove_bitmap(S& storage, std::string_view name, A allocation) {
    auto editor = BitmapEditor<S, A>::open(storage, std::move(allocation));
    if (!editor) return editor.error();
    const auto place = editor->find(name);
    if (!place) return place.error();
    Status done = editor->change({.changed_at = place->at});
    if (done) done = editor->release_bitmap(place->bitmap, 0);
    if (done) done = editor->finish();
    return done;
}

/// Clears all bits of a bitmap.
template <WritableStorage S, Allocation A>
Status clear_bitmap(S& storage, std::string_view name, A allocation) {
    auto editor = BitmapEditor<S, A>::open(storage, std::move(allocation));
    if (!editor) return editor.error();
    const auto place = editor->find_usable(name);
    if (!place) return place.error();
    const auto table = bitmap_parts::empty_table(*editor, place->bitmap.table_entries);
    if (!table) return table.error();
    return bitmap_parts::replace_table(*editor, *place, *table);
}

/// Makes a bitmap record the guest's writes, or not.
template <WritableStorage S, Allocation A>
Status set_recording(S& storage, std::string_view name, Recording recording, A allocation) {
    auto editor = BitmapEditor<S, A>::open(storage, std::move(allocation));
    if (!editor) return editor.error();
    const auto place = editor->find_usable(name);
    if (!place) return place.error();
    auto header = load<BitmapHeader>(storage, place->at);
    if (!header) return header.error();
    const uint32_t flags = header->flags.value() & ~bitmap_flag::automatic;
    header->flags = recording == Recording::on ? flags | bitmap_flag::automatic : flags;
    Status done = editor->change({.changed_at = place->at, .header = *header});
    if (done) done = editor->finish();
    return done;
}

/// Makes every bitmap that records say "written" of the whole disk: what stays right whatever is
/// written now. For a writer that does not follow the guest bit by bit, before it begins.
template <WritableStorage S, Allocation A>
Status mark_recording_dirty(S& storage, A allocation) {
    for (;;) {
        auto editor = BitmapEditor<S, A>::open(storage, allocation);
        if (!editor) return editor.error();
        std::optional<BitmapPlace> next;
        const Status walked = editor->each([&](const BitmapPlace& place) -> Status {
            constexpr uint32_t both = bitmap_flag::automatic | bitmap_flag::in_use;
            if (next || (place.bitmap.flags & both) != bitmap_flag::automatic) return {};
            const auto all = is_all_dirty(storage, place.bitmap);
            if (!all) return all.error();
            if (!*all) next = place;
            return {};
        });
        if (!walked || !next) return walked;
        const uint64_t entries = next->bitmap.table_entries;
        if (entries > 4_MiB / 8) return fail(Errc::limit, "qcow2: bitmap is too large to be kept");
        const auto table = editor->allocate(entries * 8);
        if (!table) return table.error();
        Stream<S> stream(storage, *table);
        for (uint64_t i = 0; i < entries; ++i) {
            if (Status put = stream.put_be64(1); !put) return put;
        }
        if (Status put = stream.finish(); !put) return put;
        Status replaced = bitmap_parts::replace_table(*editor, *next, *table);
        if (!replaced) return replaced;
    }
}

namespace bitmap_parts {

inline void set_bits(MutBytes bytes, uint64_t first, uint64_t end) {
    for (; first < end && first % 8 != 0; ++first) {
        bytes[first / 8] |= static_cast<byte>(1u << first % 8);
    }
    if (end - first >= 8) {
        std::memset(bytes.data() + first / 8, 0xFF, static_cast<size_t>((end - first) / 8));
        first = align_down(end, 3);
    }
    for (; first < end; ++first) bytes[first / 8] |= static_cast<byte>(1u << first % 8);
}

/// One cluster of a merged bitmap: its bits in `into`, a cluster long, get those of `from`.
template <Storage S>
Status merge_cluster(const S& storage, const Layout& layout, const Bitmap& from,
                     const Bitmap& target, uint64_t index, MutBytes into) {
    const unsigned fine = target.granularity_bits;
    const unsigned coarse = from.granularity_bits;
    const uint64_t base = index << (layout.cluster_bits + 3);  // the first bit in the cluster
    const uint64_t bits = BitmapSize(layout, fine).bits;
    uint64_t end = base + (layout.cluster_size() << 3);
    if (end > bits) end = bits;
    const uint64_t disk_end = (end << fine) < layout.size ? end << fine : layout.size;
    return each_dirty_run(storage, layout, from, (base << fine) >> coarse, blocks(disk_end, coarse),
                          [&](uint64_t first, uint64_t count) -> Status {
                              uint64_t low = (first << coarse) >> fine;
                              uint64_t high = blocks((first + count) << coarse, fine);
                              if (low < base) low = base;
                              if (high > end) high = end;
                              set_bits(into, low - base, high - base);
                              return {};
                          });
}

/// The merged table, in new clusters where the old ones do not hold the same already.
template <WritableStorage S, Allocation A>
Status write_merged(BitmapEditor<S, A>& editor, const Bitmap& from, const Bitmap& target,
                    uint64_t table_at) {
    const Layout& layout = editor.layout();
    S& storage = editor.storage();
    const auto size = static_cast<size_t>(layout.cluster_size());
    Buffer<A> old_memory(editor.allocation()), memory(editor.allocation());
    if (auto taken = old_memory.reserve(size); !taken) return taken.error();
    if (auto taken = memory.reserve(size); !taken) return taken.error();
    const MutBytes old = old_memory.bytes().first(size), merged = memory.bytes().first(size);
    Stream<S> stream(storage, table_at);
    for (uint64_t i = 0; i < target.table_entries; ++i) {
        Status done = read_bitmap(storage, layout, target, i << layout.cluster_bits, old);
        if (!done) return done;
        std::memcpy(merged.data(), old.data(), size);
        done = merge_cluster(storage, layout, from, target, i, merged);
        if (!done) return done;
        auto e = bitmap_entry(storage, layout, target, i);
        if (!e) return e.error();
        if (std::memcmp(merged.data(), old.data(), size) != 0) {
            e = editor.allocate(size);
            if (!e) return e.error();
            if (done = storage.write(*e, merged); !done) return done;
        }
        if (done = stream.put_be64(*e); !done) return done;
    }
    return stream.finish();
}

}  // namespace bitmap_parts

/// Sets in the bitmap `target` what is set in `source`; their granularities may differ. Takes
/// memory for two clusters.
template <WritableStorage S, Allocation A>
Status merge_bitmap(S& storage, std::string_view source, std::string_view target, A allocation) {
    auto editor = BitmapEditor<S, A>::open(storage, std::move(allocation));
    if (!editor) return editor.error();
    const auto from = editor->find_usable(source);
    if (!from) return from.error();
    const auto place = editor->find_usable(target);
    if (!place) return place.error();
    if (from->at == place->at) return {};
    const uint64_t needed = BitmapSize(editor->layout(), place->bitmap.granularity_bits).clusters;
    if (place->bitmap.table_entries < needed) {
        return corrupt("qcow2: bitmap table is too short for the disk",
                       {place->bitmap.table_entries, place->at});
    }
    const auto table = editor->allocate(uint64_t{place->bitmap.table_entries} * 8);
    if (!table) return table.error();
    const Status merged = bitmap_parts::write_merged(*editor, from->bitmap, place->bitmap, *table);
    if (!merged) return merged;
    return bitmap_parts::replace_table(*editor, *place, *table);
}

}  // namespace vdisk::qcow2
