// SPDX-License-Identifier: BSL-1.0
// Makes the file as short as it can be: blocks that say nothing go, the last ones move into the
// holes, and the end is cut off. A cut at any moment leaves an image with the same contents.
#pragma once

#include <vdisk/core/zero.hpp>
#include <vdisk/format/compaction.hpp>
#include <vdisk/format/vhd/image.hpp>
#include <vdisk/format/vhd/move.hpp>
#include <vdisk/metadata/staged.hpp>

namespace vdisk::vhd {

using vdisk::Compacted;
using vdisk::Compaction;

namespace compacting {

template <Storage S, Allocation A>
using Tables = StagedMetadata<Borrowed<S>, A>;

/// One compaction: what its steps share.
template <WritableStorage S, Allocation A, class Below, class Progress>
class Compactor {
public:
    Compactor(S& storage, Closed<S, A>& image, BlockMap<A>& map, Tables<S, A>& tables,
              MutBytes buffer, Below& below, Progress& progress)
        : storage_(storage),
          image_(image),
          map_(map),
          tables_(tables),
          buffer_(buffer),
          below_(below),
          progress_(progress) {}

    Result<Compacted> run(Compaction what) {
        if (what == Compaction::drop) {
            if (Status done = drop(); !done) return done.error();
            // What was given up is free from here on.
            if (Status durable = tables_.flush(); !durable) return durable.error();
        }
        if (Status done = pack(); !done) return done.error();
        if (Status durable = tables_.flush(); !durable) return durable.error();
        return out_;
    }

private:
    [[nodiscard]] const Layout& layout() const { return image_.layout; }

    Status drop() {
        uint32_t done = 0;
        return each_block(image_.tables, layout(),
                          [&](uint32_t number, uint32_t entry, uint64_t entry_at) -> Status {
                              if (Status on = progress_(done++); !on) return on;
                              const auto empty = says_nothing(number, entry);
                              if (!empty) return empty.error();
                              if (!*empty) return {};
                              if (Status put = forget_full(); !put) return put;
                              map_.remove(entry);
                              ++out_.dropped;
                              return tables_.put_be32(entry_at, unallocated, Stage::root);
                          });
    }

    // Before the first block goes.
    Status forget_full() {
        return out_.dropped == 0 ? clear_batmap(storage_, layout(), image_.areas) : Status{};
    }

    // Whether the guest would see the same without the block.
    Result<bool> says_nothing(uint32_t number, uint32_t entry) {
        const uint64_t block = uint64_t{entry} << sector_bits;
        const uint64_t contents = block + layout().bitmap_bytes();
        const uint64_t guest = uint64_t{number} << layout().block_bits;
        const uint64_t rest = layout().size - guest;
        const uint64_t length = rest < layout().block_size() ? rest : layout().block_size();
        std::array<byte, sector_size> bits;
        for (uint64_t at = 0; at < length;) {
            // A sector of the bitmap stands for 2 MiB.
            const uint64_t bit = at >> sector_bits;
            const Status got = storage_.read(block + (bit >> 12 << sector_bits), MutBytes(bits));
            if (!got) return got.error();
            const uint64_t in_bitmap = bit & 4095;
            const BitRun run = bit_run<BitOrder::msb_first>(bits, in_bitmap, 4096 - in_bitmap);
            uint64_t bytes = run.length << sector_bits;
            if (bytes > length - at) bytes = length - at;
            if (run.value) {
                const auto same = is_as_below(storage_, contents + at, guest + at, bytes,
                                              layout().has_parent(), below_, buffer_);
                if (!same || !*same) return same;
            }
            at += bytes;
        }
        return true;
    }

    Status pack() {
        uint64_t from = 0;
        for (uint32_t i = map_.slots(); i > 0; --i) {
            const auto last = map_.slot(i - 1);
            if (last.number == map_.nobody) continue;
            const uint64_t at = uint64_t{last.at} << sector_bits;
            from = find_hole(layout(), image_.areas, map_, from, at);
            if (from >= at) break;
            if (Status moved = move(last.number, last.at, from); !moved) return moved;
        }
        return {};
    }

    Status move(uint32_t number, uint32_t from, uint64_t to) {
        if (Status on = progress_(out_.moved); !on) return on;
        const uint64_t at = uint64_t{from} << sector_bits;
        if (Status put = copy_bytes_to(storage_, at, to, layout().stride(), buffer_); !put) {
            return put;
        }
        tables_.wrote_data();
        const auto sector = static_cast<uint32_t>(to >> sector_bits);
        map_.remove(from);
        map_.add(number, sector);
        ++out_.moved;
        return tables_.put_be32(layout().table_at + uint64_t{number} * 4, sector, Stage::root);
    }

    S& storage_;
    Closed<S, A>& image_;
    BlockMap<A>& map_;
    Tables<S, A>& tables_;
    MutBytes buffer_;
    Below& below_;
    Progress& progress_;
    Compacted out_;
};

template <WritableStorage S, Allocation A, class Below, class Progress>
Result<Compacted> pass(S& storage, A allocation, Compaction what, MutBytes buffer, Below& below,
                       Progress& progress) {
    auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    auto map = map_blocks(image->tables, image->layout, image->areas, allocation);
    if (!map) return map.error();
    auto tables = Tables<S, A>::make(Borrowed<S>(storage), closed_cache, allocation);
    if (!tables) return tables.error();
    return Compactor(storage, *image, *map, *tables, buffer, below, progress).run(what);
}

// A table that is the last thing in the file goes to where there is room before it. False: it
// stays.
template <WritableStorage S, Allocation A>
Result<bool> lower_table(S& storage, A allocation, MutBytes buffer) {
    auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    const Layout& layout = image->layout;
    const auto map = map_blocks(image->tables, image->layout, image->areas, allocation);
    if (!map) return map.error();
    const auto end = end_of_data(*image);
    if (!end) return end.error();
    if (*end != layout.table_at + layout.table_bytes()) return false;
    const uint64_t to =
        find_room(layout, image->areas, *map, 0, layout.table_bytes(), layout.table_at);
    if (to >= layout.table_at) return false;
    Status done = copy_bytes_to(storage, layout.table_at, to, layout.table_bytes(), buffer);
    if (done) done = storage.flush();
    if (done) {
        done = change_header(storage, layout, [&](DynamicHeader& h) { h.table_offset = to; });
    }
    return done ? Result<bool>(true) : done.error();
}

// The footer behind what is last, and nothing behind the footer.
template <WritableStorage S, Allocation A>
Status cut_end(S& storage, A allocation) {
    const auto image = open_closed(storage, std::move(allocation));
    if (!image) return image.error();
    const auto end = end_of_data(*image);
    if (!end) return end.error();
    if (*end == image->layout.data_end) return {};
    const auto footer = load<Footer>(storage, 0);
    if (!footer) return footer.error();
    return put_end(storage, *footer, *end);
}

}  // namespace compacting

/// Compacts a closed image. `below(at, out)` reads the parent of a differencing image, also past
/// its end; to drop blocks of one it is needed. `progress(block) -> Status` is called now and then,
/// with a growing number in each of two passes; a failure ends the work between two steps, and is
/// returned. Memory: 8 bytes for every block there is room for, and 128 KiB.
template <WritableStorage S, Allocation A, class Below = NothingBelow, class Progress = NoProgress>
Result<Compacted> compact(S& storage, A allocation, Compaction what = Compaction::drop,
                          Below below = {}, Progress progress = {}) {
    const auto image = open_to_change(storage, allocation);
    if (!image) return image.error();
    if (image->layout.is_fixed()) return Compacted{};
    if (Status inside = refuse_outside(*image); !inside) return inside.error();
    const bool knows_parent = !std::same_as<Below, NothingBelow>;
    if (what == Compaction::drop && image->layout.has_parent() && !knows_parent) {
        return invalid("vhd: which blocks of a child can go, its parent has to tell");
    }
    Buffer<A> buffer(allocation);
    if (auto memory = buffer.reserve(2 * copy_bytes); !memory) return memory.error();
    auto done = compacting::pass(storage, allocation, what, buffer.bytes(), below, progress);
    if (!done) return done;
    const auto lowered = compacting::lower_table(storage, allocation, buffer.bytes());
    if (!lowered) return lowered.error();
    if (*lowered) {
        const auto again = compacting::pass(storage, allocation, Compaction::move_only,
                                            buffer.bytes(), below, progress);
        if (!again) return again;
        done->moved += again->moved;
    }
    if (Status ended = compacting::cut_end(storage, allocation); !ended) return ended.error();
    return done;
}

}  // namespace vdisk::vhd
