// SPDX-License-Identifier: BSL-1.0
// More refcount blocks, and a larger refcount table, made without asking the allocator: a block
// stands at the first cluster of the range it describes, so it describes itself.
#pragma once

#include <cstddef>

#include <vdisk/format/qcow2/refcounts.hpp>

namespace vdisk::qcow2 {

/// Base of Clusters.
template <class Tables>
class RefcountGrowth : public Refcounts<Tables> {
    using Base = Refcounts<Tables>;

public:
    using Base::Base;
    using Base::blocks_in_use;

protected:
    using Base::block_bits, Base::block_of, Base::grow_to, Base::layout_, Base::max_clusters;
    using Base::order, Base::overlaps_fixed, Base::per_block, Base::space_, Base::table_entries,
        Base::tables_;

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

    // An area that describes itself: refcount blocks from number `index` on, then `payload`
    // clusters. Only where no block describes its clusters yet. Its blocks:
    [[nodiscard]] Run area_at(uint64_t index, uint64_t payload) const {
        const uint64_t count = (payload + per_block() - 1) / (per_block() - 1);
        return {index << block_bits(), count == 0 ? 1 : count};
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

    // Makes an area and enters its blocks into the table, which must have room. The payload.
    Result<Run> link_area(uint64_t index, uint64_t payload) {
        const Run area = area_at(index, payload);
        if (Status written = write_area(area, payload); !written) return written.error();
        if (Status durable = tables_.flush(); !durable) return durable.error();
        Status linked = put_blocks(layout_.refcount_table_at, index, area);
        if (!linked) return linked.error();
        return Run{area.end(), payload};
    }

private:
    // Writes the blocks of an area; nothing leads to them yet.
    Status write_area(Run area, uint64_t payload) {
        const uint64_t used = area.count + payload;
        if (overlaps_fixed({area.first, used})) {
            return corrupt("qcow2: cluster in use without a refcount", {area.first});
        }
        if (Status grown = grow_to(area.first + used); !grown) return grown;
        const uint64_t at = area.first << layout_.cluster_bits;
        const uint64_t per_piece = uint64_t{table_piece * 8} >> order();
        for (uint64_t n = 0; n < (area.count << layout_.cluster_bits) / table_piece; ++n) {
            std::array<byte, table_piece> piece{};
            for (uint64_t i = 0; i < per_piece && n * per_piece + i < used; ++i) {
                store_refcount(piece.data(), i, order(), 1);
            }
            Status put = tables_.put(at + n * piece.size(), piece, Stage::claim);
            if (!put) return put;
        }
        return {};
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

    Status copy_table(uint64_t table, uint64_t bytes) {
        for (uint64_t done = 0; done < bytes; done += table_piece) {
            std::array<byte, table_piece> piece{};
            if (done < layout_.refcount_table_bytes) {
                const auto old = tables_.entries(layout_.refcount_table_at + done, piece.size());
                if (!old) return old.error();
                std::memcpy(piece.data(), old->data(), old->size());
            }
            if (Status put = tables_.put(table + done, piece, Stage::claim); !put) return put;
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
        Run old{layout_.refcount_table_at >> layout_.cluster_bits,
                layout_.refcount_table_bytes >> layout_.cluster_bits};
        layout_.refcount_table_at = table;
        layout_.refcount_table_bytes = uint64_t{clusters} << layout_.cluster_bits;
        return this->lower(old);
    }
};

}  // namespace vdisk::qcow2
