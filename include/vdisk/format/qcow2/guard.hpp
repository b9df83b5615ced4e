// SPDX-License-Identifier: BSL-1.0
// Keeps writes off the metadata: which host clusters hold tables, asked before a cluster that a
// table points to is written for the first time. The tables of a hostile or damaged image may lead
// anywhere, into themselves too.
#pragma once

#include <vdisk/format/qcow2/layout.hpp>
#include <vdisk/format/qcow2/snapshot.hpp>

namespace vdisk::qcow2 {

/// Counts what the header, the L1 table, the refcount table and the snapshot table say about a
/// cluster, 64 neighbours at a time, and remembers the last few answers. L1 and refcount tables of
/// more than 1 MiB in use (64 TiB of disk at clusters of 64 KiB) are not searched: of those images,
/// only the fixed structures are protected.
class Guard {
public:
    /// How many tables begin at this cluster or cover it: 0, 1, or 2 for more. `refcount_blocks`
    /// entries of the refcount table are in use.
    template <class Tables>
    Result<unsigned> tables_at(const Tables& tables, const Layout& layout, uint64_t refcount_blocks,
                               uint64_t cluster) {
        if (table_at_ != layout.refcount_table_at || blocks_ != refcount_blocks) {
            regions_ = {};  // new refcount structures; and where the old were may be data now
            table_at_ = layout.refcount_table_at;
            blocks_ = refcount_blocks;
        }
        Region& region = regions_[(cluster >> 6) % regions_.size()];
        if (region.tag != (cluster >> 6) + 1) {
            region = {(cluster >> 6) + 1, 0, 0};
            if (Status searched = search(tables, layout, refcount_blocks, region); !searched) {
                region = {};
                return searched.error();
            }
        }
        const uint64_t bit = uint64_t{1} << (cluster & 63);
        return (region.twice & bit) != 0 ? 2u : (region.once & bit) != 0 ? 1u : 0u;
    }

    /// To be called when a cluster becomes an L2 table or stops to be one.
    void forget(uint64_t cluster) { regions_[(cluster >> 6) % regions_.size()] = {}; }

private:
    static constexpr uint64_t max_search = 1_MiB;

    struct Region {
        uint64_t tag = 0;    ///< number of 64 clusters + 1; 0: empty
        uint64_t once = 0;   ///< a bit per cluster that holds a table
        uint64_t twice = 0;  ///< a bit per cluster that does so for more than one reason
    };

    static void mark(Region& region, uint64_t first, uint64_t count) {
        const uint64_t base = (region.tag - 1) << 6;
        for (uint64_t i = first < base ? base : first; i < first + count && i < base + 64; ++i) {
            const uint64_t bit = uint64_t{1} << (i & 63);
            region.twice |= region.once & bit;
            region.once |= bit;
        }
    }

    static void mark_bytes(Region& region, const Layout& layout, uint64_t at, uint64_t size) {
        const unsigned bits = layout.cluster_bits;
        if (size > 0)
            mark(region, at >> bits, blocks((at & (layout.cluster_size() - 1)) + size, bits));
    }

    template <class Tables>
    static Status search(const Tables& tables, const Layout& layout, uint64_t refcount_blocks,
                         Region& region) {
        mark(region, 0, 1);
        mark_bytes(region, layout, layout.l1.at, layout.l1.entries * 8ull);
        mark_bytes(region, layout, layout.refcount_table_at, layout.refcount_table_bytes);
        Status s = search_table(tables, layout, region, layout.l1.at, layout.l1.entries * 8ull);
        if (!s) return s;
        s = search_table(tables, layout, region, layout.refcount_table_at, refcount_blocks * 8);
        if (!s || layout.snapshots == 0) return s;
        uint64_t end = layout.snapshots_at;
        s = each_snapshot(tables.storage(), layout, [&](const Snapshot& snapshot) -> Status {
            mark_bytes(region, layout, snapshot.l1.at, snapshot.l1.entries * 8ull);
            end = snapshot.end;
            return {};
        });
        mark_bytes(region, layout, layout.snapshots_at, end - layout.snapshots_at);
        return s;
    }

    template <class Tables>
    static Status search_table(const Tables& tables, const Layout& layout, Region& region,
                               uint64_t at, uint64_t bytes) {
        if (bytes > max_search) return {};
        const uint64_t base = (region.tag - 1) << (6 + layout.cluster_bits);
        const uint64_t size = uint64_t{64} << layout.cluster_bits;
        while (bytes > 0) {
            const auto run = tables.entries(at, bytes);
            if (!run) return run.error();
            const size_t whole = run->size() & ~size_t{7};
            for (size_t i = 0; i < whole; i += 8) {
                const uint64_t to = load_be64(run->data() + i) & entry::offset_mask;
                if (to != 0 && to >= base && to - base < size)
                    mark(region, to >> layout.cluster_bits, 1);
            }
            at += whole;
            bytes -= whole;
        }
        return {};
    }

    std::array<Region, is_hosted ? 64 : 4> regions_{};
    uint64_t table_at_ = 0;  ///< of the refcount table the answers are for
    uint64_t blocks_ = 0;    ///< refcount blocks they are for
};

}  // namespace vdisk::qcow2
