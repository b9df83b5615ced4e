// SPDX-License-Identifier: BSL-1.0
// The refcounts of an open image: looked up, changed, searched.
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

/// What the allocation of an open image remembers.
struct Space {
    static constexpr size_t max_freed = is_hosted ? 128 : 16;
    static constexpr uint64_t unknown = ~uint64_t{0};

    uint64_t cursor = 1;        ///< no cluster below is free
    uint64_t blank = unknown;   ///< from this cluster on, the file was never written
    uint64_t blocks = unknown;  ///< entries of the refcount table up to the last that is not 0
    uint64_t packed_at = 0;     ///< where the next compressed cluster may go; 0: in a new cluster
    size_t freed = 0;
    std::array<Run, max_freed> queue;  ///< lose a reference once nothing durable leads to them
};

/// Base of Clusters: a view, cheap to make, kept by nobody.
template <class Tables>
class Refcounts {
public:
    Refcounts(Tables& tables, Layout& layout, Space& space)
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

protected:
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

    // Adds `delta` (1 or -1) to every refcount of the run. What is left of
    // `run` after a failure was not changed.
    Status add(Run& run, int delta) {
        while (run.count > 0) {
            const auto block = block_of(run.first);
            if (!block) return block.error();
            if (*block == 0) {
                return corrupt("qcow2: cluster in use without a refcount", {run.first});
            }
            std::array<byte, table_piece> bytes;
            const Piece piece = piece_of(*block, run);
            if (Status got = load(piece, bytes); !got) return got;
            for (uint64_t i = piece.index; i < piece.index + piece.count; ++i) {
                const uint64_t old = load_refcount(bytes.data(), i, order());
                if (delta > 0 && old == max_refcount(order())) {
                    return fail(Errc::limit, "qcow2: refcount is too large for its width",
                                {old, piece.at});
                }
                if (delta < 0 && old == 0) {
                    return corrupt("qcow2: refcount falls below zero", {run.first, piece.at});
                }
                store_refcount(bytes.data(), i, order(), delta > 0 ? old + 1 : old - 1);
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
            std::array<byte, table_piece> bytes;
            const Piece piece = piece_of(*block, {at, end - at});
            if (Status got = load(piece, bytes); !got) return got.error();
            for (uint64_t i = 0; i < piece.count; ++i) {
                if (wanted(load_refcount(bytes.data(), piece.index + i, order()))) return at + i;
            }
            at += piece.count;
        }
        return end;
    }

    // One reference less for each cluster of the run; as add().
    Status lower(Run& run) {
        if (run.first < space_.cursor) space_.cursor = run.first;
        if (space_.packed_at != 0) {
            const uint64_t packed = (space_.packed_at - 1) >> layout_.cluster_bits;
            if (packed >= run.first && packed < run.end()) space_.packed_at = 0;
        }
        return add(run, -1);
    }

    // Makes the file long enough for clusters up to `end`.
    Status grow_to(uint64_t end) {
        if (end > max_clusters()) return fail(Errc::limit, "qcow2: the file is too large to grow");
        const uint64_t size = end << layout_.cluster_bits;
        const uint64_t now = tables_.storage().size();
        if (now >= size) return {};
        if (Status grown = tables_.storage().resize(size); !grown) return grown;
        if (space_.blank == Space::unknown) space_.blank = blocks(now, layout_.cluster_bits);
        return {};
    }

    [[nodiscard]] bool overlaps_fixed(Run run) const {
        const uint64_t at = run.first << layout_.cluster_bits;
        const uint64_t size = run.count << layout_.cluster_bits;
        return at == 0 || overlaps(at, size, layout_.l1.at, layout_.l1.entries * 8ull) ||
               overlaps(at, size, layout_.refcount_table_at, layout_.refcount_table_bytes);
    }

    Tables& tables_;
    Layout& layout_;
    Space& space_;

private:
    // Refcounts of one run that stand in one sector.
    struct Piece {
        uint64_t at = 0;     ///< of the byte the first one is in
        uint64_t index = 0;  ///< of the first one, counted from that byte
        uint64_t count = 0;
        size_t bytes = 0;
    };

    [[nodiscard]] Piece piece_of(uint64_t block, Run run) const {
        const uint64_t index = run.first & (per_block() - 1);
        const uint64_t bit = index << order();
        const uint64_t in_piece = table_piece * 8 - (bit & (table_piece * 8 - 1));
        Piece piece;
        piece.at = block + (bit >> 3);
        piece.index = (bit & 7) >> order();
        piece.count = in_piece >> order();
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
};

}  // namespace vdisk::qcow2
