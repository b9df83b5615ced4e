// SPDX-License-Identifier: BSL-1.0
// Merging a bitmap of one image into one of another.
#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/qcow2/bitmaps.hpp>

#include "closed.hpp"

namespace tool {

using namespace vdisk;

namespace {

using Editor = qcow2::BitmapEditor<Storage, Heap>;

/// The bitmap that is read.
struct MergedBitmap {
    const Storage& storage;
    qcow2::Layout layout;
    qcow2::Bitmap bitmap;

    MergedBitmap(const Top& top, const std::string& name)
        : storage(top.file.storage), layout(layout_of(top)) {
        expect(top,
               qcow2::each_bitmap(storage, layout, [&](const qcow2::Bitmap& b) -> vdisk::Status {
                   if (text_in(top, b.name) == name) bitmap = b;
                   return {};
               }));
    }
};

/// One cluster of the target: its bits in `into` get those of the source.
vdisk::Status merge_cluster(const MergedBitmap& from, const qcow2::Layout& layout,
                            const qcow2::Bitmap& target, uint64_t index, MutBytes into) {
    const unsigned fine = target.granularity_bits;
    const unsigned coarse = from.bitmap.granularity_bits;
    const uint64_t base = index << (layout.cluster_bits + 3);
    const uint64_t end = std::min(base + (into.size() << 3), qcow2::BitmapSize(layout, fine).bits);
    const uint64_t disk_end = std::min(end << fine, layout.size);
    return qcow2::each_dirty_run(
        from.storage, from.layout, from.bitmap, (base << fine) >> coarse, blocks(disk_end, coarse),
        [&](uint64_t first, uint64_t count) -> vdisk::Status {
            const uint64_t low = std::max((first << coarse) >> fine, base);
            const uint64_t high = std::min(blocks((first + count) << coarse, fine), end);
            qcow2::bitmap_parts::set_bits(into, low - base, high - base);
            return {};
        });
}

/// The merged table at `table_at`, in new clusters where the old ones do not hold the same already.
vdisk::Status write_merged(Editor& editor, const MergedBitmap& from, const qcow2::Bitmap& target,
                           uint64_t table_at) {
    const qcow2::Layout& layout = editor.layout();
    std::vector<byte> old(static_cast<size_t>(layout.cluster_size()));
    std::vector<byte> merged;
    qcow2::Stream<Storage> table(editor.storage(), table_at);
    for (uint64_t i = 0; i < target.table_entries; ++i) {
        vdisk::Status done = qcow2::read_bitmap(editor.storage(), layout, target,
                                                i << layout.cluster_bits, MutBytes(old));
        if (!done) return done;
        merged = old;
        if (done = merge_cluster(from, layout, target, i, MutBytes(merged)); !done) return done;
        auto entry = qcow2::bitmap_entry(editor.storage(), layout, target, i);
        if (!entry) return entry.error();
        if (merged != old) {
            entry = editor.allocate(merged.size());
            if (!entry) return entry.error();
            if (done = editor.storage().write(*entry, Bytes(merged)); !done) return done;
        }
        if (done = table.put_be64(*entry); !done) return done;
    }
    return table.finish();
}

}  // namespace

void merge_bitmap_of(Storage& file, const std::string& path, const Top& other,
                     const std::string& source, const std::string& target) {
    const MergedBitmap from(other, source);
    auto editor = Editor::open(file, Heap{});
    if (!editor) throw failure(path, editor.error());
    const auto place = editor->find_usable(target);
    if (!place) throw failure(path, place.error());
    const uint64_t entries = place->bitmap.table_entries;
    const uint64_t needed =
        qcow2::BitmapSize(editor->layout(), place->bitmap.granularity_bits).clusters;
    if (entries < needed) {
        throw failure(path, corrupt("qcow2: bitmap table is too short for the disk", {entries}));
    }
    const auto table = editor->allocate(entries * 8);
    if (!table) throw failure(path, table.error());
    vdisk::Status merged = write_merged(*editor, from, place->bitmap, *table);
    if (merged) merged = qcow2::bitmap_parts::replace_table(*editor, *place, *table);
    if (!merged) throw failure(path, merged.error());
}

}  // namespace tool
