// SPDX-License-Identifier: BSL-1.0
// What operations on an image that nobody has open do alike: open it to be changed, write its
// region tables, cut its end off.
#pragma once

#include <vdisk/format/vhdx/check.hpp>
#include <vdisk/format/vhdx/editor.hpp>

namespace vdisk::vhdx {

template <WritableStorage S, Allocation A, IdSource I>
using ClosedEditor = Editor<Borrowed<S>, A, I>;

/// Room for 64 changed sectors, so that both region tables change in one entry of the log.
inline constexpr CacheShape editing_cache{.page_bits = 12, .count_bits = 6};

/// Opens a closed image to be changed; a log that was left is replayed first.
template <WritableStorage S, Allocation A, IdSource I>
Result<ClosedEditor<S, A, I>> open_to_change(S& storage, A allocation, I ids) {
    if (Status replayed = replay(storage, allocation, ids); !replayed) return replayed.error();
    return ClosedEditor<S, A, I>::open(Borrowed<S>(storage), {.cache = editing_cache},
                                       std::move(allocation), std::move(ids));
}

/// Both copies of the region table become what the valid one is with `change(RegionTableEntry&)`
/// done to each entry, together with whatever else waits for the log.
template <class E, class Change>
Status put_region_tables(E& editor, auto allocation, Change&& change) {
    Buffer<decltype(allocation)> buffer(allocation);
    auto memory = buffer.reserve(region_table_bytes);
    if (!memory) return memory.error();
    const MutBytes table = memory->first(region_table_bytes);
    const auto regions = layout::find_regions(editor.storage());
    if (!regions) return regions.error();
    if (Status got = editor.storage().read(regions->at(), table); !got) return got;
    Status done = regions->each([&](RegionTableEntry e, uint64_t at) -> Status {
        change(e);
        std::memcpy(table.data() + (at - regions->at()), &e, sizeof e);
        return {};
    });
    if (!done) return done;
    store_le32(table.data() + 4, 0);
    store_le32(table.data() + 4, crc32c(table));
    constexpr size_t sectors = region_table_bytes >> log_sector_bits;
    done = editor.tables().reserve(2 * sectors);
    for (const uint64_t place : region_table_places) {
        for (uint64_t at = 0; done && at < region_table_bytes; at += log_sector) {
            done = editor.tables().put(place + at, table.subspan(at, log_sector));
        }
    }
    return done;
}

/// Moves the BAT to a place of `length` bytes that is free and zero. Both region tables name it in
/// one step: a cut leaves the one or the other. The editor has begun.
template <class E>
Status move_bat(E& editor, uint64_t to, uint64_t length, auto allocation) {
    const uint64_t from = editor.layout().bat_at, old_length = editor.layout().bat_length;
    // What waits for the log goes to the old place, and is copied from there.
    Status done = editor.flush();
    if (done) done = editor.copy(from, to, old_length < length ? old_length : length);
    if (done) {
        done = put_region_tables(editor, allocation, [&](RegionTableEntry& e) {
            if (e.guid != region::bat) return;
            e.file_offset = to;
            e.length = static_cast<uint32_t>(length);
        });
    }
    if (done) done = editor.flush();
    if (!done) return done;
    editor.layout_mut().bat_at = to;
    editor.layout_mut().bat_length = static_cast<uint32_t>(length);
    editor.space().give(from, old_length);
    return {};
}

/// Cuts off what nothing uses at the end of the file. The editor has begun.
template <class E>
Status cut_end(E& editor) {
    if (Status flushed = editor.flush(); !flushed) return flushed;
    const uint64_t size = editor.storage().size();
    // What is not mapped, nobody knows: after a disk grew, its new blocks.
    if (size > editor.space().covered()) return {};
    const uint64_t end = editor.space().end();
    return end < size ? editor.tables().shrink(end) : Status{};
}

}  // namespace vdisk::vhdx
