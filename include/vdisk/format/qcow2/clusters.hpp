// SPDX-License-Identifier: BSL-1.0
// Which clusters of a qcow2 file are taken: refcounts looked up and changed, clusters allocated and
// released, the refcount structures made larger.
//
// Nothing here calls the allocator from inside the refcount code. A new refcount block stands at
// the first cluster of the range it describes, so it describes itself.
#pragma once

#include <vdisk/format/qcow2/layout.hpp>
#include <vdisk/format/qcow2/refcount.hpp>
#include <vdisk/metadata/staged.hpp>

namespace vdisk::qcow2 {

/// Neighbouring host clusters, by number.
struct Run {
    uint64_t first = 0;
    uint64_t count = 0;
    [[nodiscard]] constexpr uint64_t end() const { return first + count; }
};

/// A run that was just allocated.
struct NewRun : Run {
    bool blank = false;  ///< was never written: reads as zeros
};

/// What the allocation of an open image remembers.
struct Space {
    static constexpr size_t max_freed = 128;

    static constexpr uint64_t unknown = ~uint64_t{0};

    uint64_t cursor = 1;       ///< no cluster below is free
    uint64_t blank = unknown;  ///< from this cluster on, the file was never written
    uint64_t blocks =
        unknown;             ///< entries of the refcount table, without the empty ones at its end
    uint64_t packed_at = 0;  ///< where the next compressed cluster may go; 0: in a new cluster
    size_t freed = 0;
    std::array<Run, max_freed> queue;  ///< lose a reference once nothing durable leads to them
};

/// A view of an image's refcounts; cheap to make, kept by nobody.
template <class Tables>
class Clusters {
public:
    Clusters(Tables& tables, Layout& layout, Space& space)
        : tables_(tables), layout_(layout), space_(space) {}

    /// Refcount of a cluster; 0 where no block describes it.
    Result<uint64_t> refcount(uint64_t cluster) const {
        const auto block = block_of(cluster);
        if (!block) return block.error();
        if (*block == 0) return uint64_t{0};
        uint8_t bytes[8] = {};
        const Piece piece = piece_of(*block, {cluster, 1});
        if (Status got = load(piece, std::as_writable_bytes(std::span(bytes))); !got) {
            return got.error();
        }
        return load_refcount(std::as_bytes(std::span(bytes)).data(), piece.index, order());
    }

    /// Takes a run of free clusters, `most` or fewer; their refcount becomes 1. The file is made
    /// long enough.
    Result<NewRun> allocate(uint64_t most) {
        for (;;) {
            const auto start = first_free();
            if (!start) return start.error();
            space_.cursor = *start;
            const auto end = next_used(*start, most);
            if (!end) return end.error();
            const Run run{*start, *end - *start};
            const auto described = describe_all(run);
            if (!described) return described.error();
            if (!*described) continue;  // a new block may stand where the run was to be
            if (Status taken = take(run); !taken) return taken.error();
            space_.cursor = run.end();
            const bool blank = run.first >= space_.blank;
            if (blank) space_.blank = run.end();
            return NewRun{run, blank};
        }
    }

    /// Takes exactly `count` neighbouring clusters, for a table of more than one cluster.
    Result<Run> allocate_table(uint64_t count) {
        const auto run = allocate(count);
        if (!run) return run.error();
        if (run->count == count) return Run(*run);
        if (Status given_back = add(*run, ~uint64_t{0}); !given_back) return given_back.error();
        space_.cursor = run->first;
        const auto index = blocks_in_use();
        if (!index) return index.error();
        const Run area = area_at(*index, count);
        if (Status room = table_holds(*index + area.count); !room) return room.error();
        const auto again = blocks_in_use();  // the table may have moved to where the area was
        if (!again) return again.error();
        return link_area(*again, count);
    }

    /// One more reference to each cluster of the run.
    Status reference(Run run) { return add(run, 1); }
    /// One less, at once: only where nothing durable leads to them any more.
    Status dereference(Run run) {
        if (Status lowered = add(run, ~uint64_t{0}); !lowered) return lowered;
        if (run.first < space_.cursor) space_.cursor = run.first;
        const uint64_t packed = (space_.packed_at - 1) >> layout_.cluster_bits;
        if (packed >= run.first && packed < run.end()) space_.packed_at = 0;
        return {};
    }

    /// True if so many runs can be queued.
    [[nodiscard]] bool has_room(size_t runs) const {
        return Space::max_freed - space_.freed >= runs;
    }
    /// Queues a run to lose a reference after the next flush; there must be room.
    void free_later(Run run) {
        if (space_.freed > 0 && space_.queue[space_.freed - 1].end() == run.first) {
            space_.queue[space_.freed - 1].count += run.count;
        } else {
            space_.queue[space_.freed++] = run;
        }
    }
    /// Flushes the tables, then lets go of what was queued. The lowered refcounts are not durable
    /// yet; losing them costs space.
    Status release() {
        if (Status flushed = tables_.flush(); !flushed) return flushed;
        while (space_.freed > 0) {
            if (Status lowered = dereference(space_.queue[space_.freed - 1]); !lowered) {
                return lowered;
            }
            if (Status punched = punch(space_.queue[--space_.freed]); !punched) return punched;
        }
        return {};
    }

    /// One more than the number of the last refcount block; the table is empty from there on.
    Result<uint64_t> blocks_in_use() {
        if (space_.blocks != Space::unknown) return space_.blocks;
        uint64_t index = table_entries();
        for (; index > 0; --index) {
            const auto entry = tables_.be64(layout_.refcount_table_at + (index - 1) * 8);
            if (!entry) return entry;
            if (*entry != 0) break;
        }
        space_.blocks = index;
        return index;
    }

    /// Makes the file long enough for clusters up to `end`.
    Status grow_to(uint64_t end) {
        if (end > max_clusters()) return fail(Errc::limit, "qcow2: the file is too large to grow");
        const uint64_t size = end << layout_.cluster_bits;
        const uint64_t now = tables_.storage().size();
        if (now >= size) return {};
        if (Status grown = tables_.storage().resize(size); !grown) return grown;
        if (space_.blank == Space::unknown) space_.blank = blocks(now, layout_.cluster_bits);
        return {};
    }

private:
    // Refcounts of one run that stand in one sector.
    struct Piece {
        uint64_t at = 0;     ///< of the byte the first one is in
        uint64_t index = 0;  ///< of the first one, counted from that byte
        uint64_t count = 0;
        size_t bytes = 0;
    };

    [[nodiscard]] unsigned order() const { return layout_.refcount_order; }
    [[nodiscard]] unsigned block_bits() const {
        return refcount_block_bits(layout_.cluster_bits, order());
    }
    [[nodiscard]] uint64_t per_block() const { return uint64_t{1} << block_bits(); }
    [[nodiscard]] uint64_t table_entries() const { return layout_.refcount_table_bytes / 8; }
    [[nodiscard]] uint64_t max_clusters() const {
        return uint64_t{1} << (56 - layout_.cluster_bits);
    }

    // The refcount block that describes a cluster; 0 if there is none.
    Result<uint64_t> block_of(uint64_t cluster) const {
        const uint64_t index = cluster >> block_bits();
        if (index >= table_entries()) return uint64_t{0};
        const uint64_t entry_at = layout_.refcount_table_at + index * 8;
        const auto entry = tables_.be64(entry_at);
        if (!entry || *entry == 0) return entry;
        const Found where{*entry, entry_at};
        const uint64_t size = layout_.cluster_size();
        if (!is_aligned(*entry, layout_.cluster_bits)) {
            return corrupt("qcow2: refcount block offset is not a multiple of the cluster size",
                           where);
        }
        if (!fits(*entry, size, tables_.storage().size())) {
            return corrupt("qcow2: refcount block lies past the end of the file", where);
        }
        if (*entry < size || overlaps(*entry, size, layout_.l1.at, layout_.l1.entries * 8ull) ||
            overlaps(*entry, size, layout_.refcount_table_at, layout_.refcount_table_bytes)) {
            return corrupt("qcow2: refcount block overlaps the header, L1 or refcount table",
                           where);
        }
        return *entry;
    }

    [[nodiscard]] Piece piece_of(uint64_t block, Run run) const {
        const uint64_t index = run.first & (per_block() - 1);
        const uint64_t bit = index << order();
        const uint64_t in_sector = 4096 - (bit & 4095);
        Piece piece;
        piece.at = block + (bit >> 3);
        piece.index = (bit & 7) >> order();
        piece.count = in_sector >> order();
        if (piece.count > run.count) piece.count = run.count;
        piece.bytes = static_cast<size_t>((((piece.index + piece.count) << order()) + 7) >> 3);
        return piece;
    }

    Status load(const Piece& piece, MutBytes out) const {
        for (size_t done = 0; done < piece.bytes;) {
            // Tables are read 8 bytes at a time at least; one that begins less before the end of
            // the block is reached from there.
            const uint64_t at = piece.at + done;
            const auto run = tables_.entries(align_down(at, 3), piece.bytes - done + 8);
            if (!run) return run.error();
            const auto skip = static_cast<size_t>(at & 7);
            const size_t got = run->size() - skip;
            const size_t length = got < piece.bytes - done ? got : piece.bytes - done;
            std::memcpy(out.data() + done, run->data() + skip, length);
            done += length;
        }
        return {};
    }

    // Adds `delta` (1, or all ones for less one) to every refcount of the run. Where one of them
    // cannot take it, those before it are changed.
    Status add(Run run, uint64_t delta) {
        while (run.count > 0) {
            const auto block = block_of(run.first);
            if (!block) return block.error();
            if (*block == 0) {
                return corrupt("qcow2: cluster in use without a refcount", {run.first});
            }
            std::array<byte, 512> bytes;
            const Piece piece = piece_of(*block, run);
            if (Status got = load(piece, bytes); !got) return got;
            for (uint64_t i = piece.index; i < piece.index + piece.count; ++i) {
                const uint64_t old = load_refcount(bytes.data(), i, order());
                if (delta == 1 && old == max_refcount(order())) {
                    return fail(Errc::limit, "qcow2: refcount is too large for its width",
                                {old, piece.at});
                }
                if (delta != 1 && old == 0) {
                    return corrupt("qcow2: refcount falls below zero", {run.first, piece.at});
                }
                store_refcount(bytes.data(), i, order(), old + delta);
            }
            Status put = tables_.put(piece.at, Bytes(bytes).first(piece.bytes), Stage::claim);
            if (!put) return put;
            run = {run.first + piece.count, run.count - piece.count};
        }
        return {};
    }

    // The first cluster from `at` on whose refcount satisfies `wanted`, `end` at the latest.
    // Clusters without a block have refcount 0.
    template <class Wanted>
    Result<uint64_t> next(uint64_t at, const Wanted& wanted, uint64_t end = ~uint64_t{0}) const {
        while (at < end) {
            const auto block = block_of(at);
            if (!block) return block.error();
            if (*block == 0) {
                if (wanted(0) || at >> block_bits() >= table_entries()) return wanted(0) ? at : end;
                at = align_down(at, block_bits()) + per_block();
                continue;
            }
            std::array<byte, 512> bytes;
            const Piece piece = piece_of(*block, {at, end - at});
            if (Status got = load(piece, bytes); !got) return got.error();
            for (uint64_t i = 0; i < piece.count; ++i) {
                if (wanted(load_refcount(bytes.data(), piece.index + i, order()))) return at + i;
            }
            at += piece.count;
        }
        return end;
    }
    // A hostile refcount table can claim far more clusters than the file has: after so many the
    // search goes on where no block describes anything.
    static constexpr uint64_t max_search = uint64_t{1} << 24;

    Result<uint64_t> first_free() {
        const uint64_t enough = space_.cursor + max_search;
        const auto found = next(
            space_.cursor, [](uint64_t n) { return n == 0; }, enough);
        if (!found || *found < enough) return found;
        const auto described = blocks_in_use();
        if (!described) return described;
        const uint64_t end = *described << block_bits();
        return end > enough ? end : enough;
    }
    Result<uint64_t> next_used(uint64_t at, uint64_t most) const {
        return next(
            at, [](uint64_t count) { return count != 0; }, at + most);
    }

    // Gives every cluster of the run a refcount block. False if one had to be made.
    Result<bool> describe_all(Run run) {
        if (run.end() > max_clusters()) {
            return fail(Errc::limit, "qcow2: the file is too large to grow");
        }
        const uint64_t last = (run.end() - 1) >> block_bits();
        for (uint64_t index = run.first >> block_bits(); index <= last; ++index) {
            const auto block = block_of(index << block_bits());
            if (!block) return block.error();
            if (*block != 0) continue;
            if (index >= table_entries()) {
                if (Status grown = table_holds(index + 1); !grown) return grown.error();
            } else if (const auto linked = link_area(index, 0); !linked) {
                return linked.error();
            }
            return false;
        }
        return true;
    }

    Status take(Run run) {
        if (run.first == 0 || overlaps_fixed(run)) {
            return corrupt("qcow2: refcount of a cluster in use is 0", {run.first});
        }
        if (Status grown = grow_to(run.end()); !grown) return grown;
        return add(run, 1);
    }

    // An area that describes itself: refcount blocks from number `index` on, then `payload`
    // clusters. Only where no block describes its clusters yet. Its blocks:
    [[nodiscard]] Run area_at(uint64_t index, uint64_t payload) const {
        const uint64_t count = (payload + per_block() - 1) / (per_block() - 1);
        return {index << block_bits(), count == 0 ? 1 : count};
    }

    [[nodiscard]] bool overlaps_fixed(Run run) const {
        const uint64_t at = run.first << layout_.cluster_bits;
        const uint64_t size = run.count << layout_.cluster_bits;
        return at == 0 || overlaps(at, size, layout_.l1.at, layout_.l1.entries * 8ull) ||
               overlaps(at, size, layout_.refcount_table_at, layout_.refcount_table_bytes);
    }

    // Writes the blocks of an area; nothing leads to them yet.
    Status write_area(Run area, uint64_t payload) {
        const uint64_t used = area.count + payload;
        if (overlaps_fixed({area.first, used})) {
            return corrupt("qcow2: cluster in use without a refcount", {area.first});
        }
        if (Status grown = grow_to(area.first + used); !grown) return grown;
        const uint64_t at = area.first << layout_.cluster_bits;
        const uint64_t per_sector = uint64_t{4096} >> order();
        for (uint64_t n = 0; n < (area.count << layout_.cluster_bits) / 512; ++n) {
            std::array<byte, 512> sector{};
            for (uint64_t i = 0; i < per_sector && n * per_sector + i < used; ++i) {
                store_refcount(sector.data(), i, order(), 1);
            }
            if (Status put = tables_.put(at + n * 512, sector, Stage::claim); !put) return put;
        }
        return {};
    }

    // Makes an area and enters its blocks into the table, which must have room. The payload.
    Result<Run> link_area(uint64_t index, uint64_t payload) {
        const Run area = area_at(index, payload);
        if (Status written = write_area(area, payload); !written) return written.error();
        if (Status durable = tables_.flush(); !durable) return durable.error();
        Status linked = put_blocks(layout_.refcount_table_at, index, area);
        if (!linked) return linked.error();
        return Run{area.end(), payload};
    }

    Status put_blocks(uint64_t table, uint64_t index, Run area) {
        for (uint64_t i = 0; i < area.count; ++i) {
            const uint64_t block = (area.first + i) << layout_.cluster_bits;
            Status put = tables_.put_be64(table + (index + i) * 8, block, Stage::claim);
            if (!put) return put;
        }
        if (space_.blocks != Space::unknown && space_.blocks < index + area.count) {
            space_.blocks = index + area.count;
        }
        return {};
    }

    // Makes the refcount table large enough for `entries`: a new one beyond all that is described,
    // behind blocks that describe it, then one write to the header.
    Status table_holds(uint64_t entries) {
        if (entries <= table_entries()) return {};
        const uint64_t index = table_entries();
        const unsigned entry_bits = layout_.cluster_bits - 3u;
        const uint64_t most = max_refcount_table_bytes >> layout_.cluster_bits;
        uint64_t clusters = blocks(entries + entries / 2, entry_bits) + 1;
        if (clusters > most) clusters = most;
        const Run area = area_at(index, clusters);
        if (index + area.count > clusters << entry_bits || entries > clusters << entry_bits) {
            return fail(Errc::limit, "qcow2: refcount table cannot grow any further", {entries});
        }
        if (Status written = write_area(area, clusters); !written) return written;
        const uint64_t table = area.end() << layout_.cluster_bits;
        if (Status copied = copy_table(table, clusters << layout_.cluster_bits); !copied) {
            return copied;
        }
        if (Status linked = put_blocks(table, index, area); !linked) return linked;
        return switch_table(table, static_cast<uint32_t>(clusters));
    }

    Status copy_table(uint64_t table, uint64_t bytes) {
        for (uint64_t done = 0; done < bytes; done += 512) {
            std::array<byte, 512> sector{};
            if (done < layout_.refcount_table_bytes) {
                const auto old = tables_.entries(layout_.refcount_table_at + done, 512);
                if (!old) return old.error();
                std::memcpy(sector.data(), old->data(), old->size());
            }
            if (Status put = tables_.put(table + done, sector, Stage::claim); !put) return put;
        }
        return {};
    }

    Status switch_table(uint64_t table, uint32_t clusters) {
        if (Status durable = tables_.flush(); !durable) return durable;
        struct {
            be64 offset;
            be32 clusters;
        } pointer{};
        pointer.offset = table;
        pointer.clusters = clusters;
        static_assert(sizeof(pointer) == 12);
        Status put = tables_.put(offsetof(Header, refcount_table_offset),
                                 std::as_bytes(std::span(&pointer, 1)), Stage::root);
        if (!put) return put;
        if (Status durable = tables_.flush(); !durable) return durable;
        const Run old{layout_.refcount_table_at >> layout_.cluster_bits,
                      layout_.refcount_table_bytes >> layout_.cluster_bits};
        layout_.refcount_table_at = table;
        layout_.refcount_table_bytes = uint64_t{clusters} << layout_.cluster_bits;
        return dereference(old);
    }

    // Gives the space of those clusters of the run that are free now back to the file system.
    Status punch(Run run) {
        if constexpr (requires { tables_.storage().punch(uint64_t{}, uint64_t{}); }) {
            for (uint64_t at = run.first; at < run.end();) {
                const auto free = next(
                    at, [](uint64_t n) { return n == 0; }, run.end());
                if (!free) return free.error();
                const auto used = next(
                    *free, [](uint64_t n) { return n != 0; }, run.end());
                if (!used) return used.error();
                if (*free == *used) break;
                // Space that cannot be given back is no failure.
                static_cast<void>(tables_.storage().punch(*free << layout_.cluster_bits,
                                                          (*used - *free) << layout_.cluster_bits));
                at = *used;
            }
        }
        return {};
    }

    Tables& tables_;
    Layout& layout_;
    Space& space_;
};

}  // namespace vdisk::qcow2
