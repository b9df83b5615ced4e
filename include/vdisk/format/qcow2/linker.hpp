// SPDX-License-Identifier: BSL-1.0
// The write side of the guest mapping: L2 tables that may be written, and slots put into them.
// What is written first, and what after a flush, is in README.md of this folder.
#pragma once

#include <vdisk/format/qcow2/changing.hpp>
#include <vdisk/format/qcow2/guard.hpp>
#include <vdisk/format/qcow2/slot.hpp>

namespace vdisk::qcow2 {

/// Base of Writer.
template <WritableStorage S, Allocation A, Codec C, class T = StagedMetadata<S, A>>
class Linker : public Changing<S, A, C, T> {
    using Base = Changing<S, A, C, T>;

public:
    using Base::layout;
    using typename Base::Tables;

protected:
    using Base::clusters;
    using Base::damaged;

    /// A slot, and what it means from the guest address asked for to the end of its cluster.
    struct State {
        Slot slot;
        Extent extent;
    };

    explicit Linker(Image<S, A, C, T>&& image) : Base(std::move(image)) {}

    [[nodiscard]] uint64_t cluster_size() const { return layout().cluster_size(); }
    [[nodiscard]] uint64_t in_cluster(uint64_t at) const { return at & (cluster_size() - 1); }
    [[nodiscard]] bool has_backing() const { return layout().backing_file.length > 0; }

    /// End of the guest range that the L2 table of `at` maps.
    [[nodiscard]] uint64_t end_of_table(uint64_t at) const {
        return (at | ((uint64_t{1} << layout().l1_shift()) - 1)) + 1;
    }

    /// The slot of `at`, checked; an empty one where there is no L2 table.
    Result<State> state(uint64_t at) const {
        const auto table = table_of(at);
        if (!table) return table.error();
        if (table->at == 0) {
            return State{{}, {.kind = Kind::absent, .length = end_of_table(at) - at}};
        }
        const uint64_t slot_at = this->slot_at(table->at, at);
        const auto slot = load_slot(slot_at);
        if (!slot) return slot.error();
        const auto extent = meaning(*slot, at, slot_at);
        if (!extent) return extent.error();
        return State{*slot, *extent};
    }

    /// Takes free clusters. Refuses those that hold a table: their refcount is wrong.
    Result<NewRun> allocate(uint64_t most) {
        const auto run = clusters().allocate(most);
        if (!run || run->blank) return run;
        if (Status spare = check_no_tables(*run); !spare) return spare.error();
        return run;
    }

    /// Refuses a host cluster that a slot calls its own and that is not.
    Status check_own(Slot s) {
        if (layout().has_data_file) return {};
        const uint64_t cluster = slot::host(s) >> layout().cluster_bits;
        if (Status spare = check_no_tables({cluster, 1}); !spare) return spare;
        const auto count = clusters().refcount(cluster);
        if (!count) return count.error();
        if (*count != 1) {
            return damaged(corrupt("qcow2: refcount of a cluster with the copied flag is not 1",
                                   {*count, slot::host(s)}));
        }
        return {};
    }

    /// Puts what `change(guest address, old slot) -> Slot` says for the clusters of [at, end),
    /// which one L2 table maps. Host clusters that lose their slot are freed after the next flush.
    /// Stops early when too many of them do, and before a slot that cannot be read; says where.
    template <class Change>
    Result<uint64_t> relink(uint64_t at, uint64_t end, const Change& change) {
        if (const auto first = state(at); !first) return first.error();
        if (!clusters().has_room(max_lost + 1)) {
            if (Status released = clusters().release(); !released) return released.error();
        }
        const auto table = writable_table(at);
        if (!table) return table.error();
        Lost lost;
        at = align_down(at, layout().cluster_bits);
        while (at < end && lost.has_room()) {
            std::array<byte, table_piece> piece;
            size_t bytes = 0;
            const uint64_t first_at = slot_at(table->now, at);
            for (; at < end && lost.has_room(); at += cluster_size()) {
                const uint64_t here = slot_at(table->now, at);
                if (here >> table_piece_bits != first_at >> table_piece_bits) break;
                const auto old = load_slot(here);
                if (!old) return old.error();
                if (!meaning(*old, at, here)) {
                    end = at;
                    break;
                }
                const Slot now = change(at, *old);
                if (!slot::same_host(*old, now)) {
                    const Run held = slot::held(layout(), *old);
                    if (Status spare = check_no_tables(held); !spare) return spare.error();
                    lost.add(held);
                }
                store_be64(&piece[bytes], now.entry);
                if (layout().extended_l2) store_be64(&piece[bytes + 8], now.bitmap);
                bytes += slot_size();
            }
            Status put = this->tables().put(first_at, Bytes(piece).first(bytes), Stage::link);
            if (!put) return put.error();
        }
        if (Status rooted = root(*table); !rooted) return rooted.error();
        // Not before: until here a failure leaves the old table in force.
        for (size_t i = 0; i < lost.count; ++i) clusters().free_later(lost.runs[i]);
        return at < end ? at : end;
    }

    /// So many runs of host clusters can lose their slots in one go.
    static constexpr size_t max_lost = is_hosted ? 32 : 4;

private:
    struct Lost {
        std::array<Run, max_lost> runs{};
        size_t count = 0;
        [[nodiscard]] bool has_room() const { return count < runs.size(); }
        void add(Run run) {
            if (run.count == 0) return;
            if (count > 0 && runs[count - 1].end() == run.first) runs[count - 1].count += run.count;
            else runs[count++] = run;
        }
    };
    struct Table {
        uint64_t at = 0;  ///< 0: there is none
        bool copied = false;
    };
    /// An L2 table that may be written: where it is, where it was, which L1 entry leads to it.
    struct Move {
        uint64_t now = 0, before = 0, l1_entry_at = 0;
    };

    [[nodiscard]] Where where() const {
        return {layout(), layout().l1, this->file().size(), this->storage().size()};
    }
    [[nodiscard]] uint64_t slot_size() const { return layout().extended_l2 ? 16u : 8u; }
    [[nodiscard]] uint64_t slot_at(uint64_t table, uint64_t at) const {
        const uint64_t mask = power_of_two(layout().l2_bits()) - 1;
        return table + (at >> layout().cluster_bits & mask) * slot_size();
    }
    [[nodiscard]] uint64_t l1_entry_at(uint64_t at) const {
        return layout().l1.at + (at >> layout().l1_shift()) * 8;
    }

    Result<Table> table_of(uint64_t at) const {
        const auto l1_entry = this->tables().be64(l1_entry_at(at));
        if (!l1_entry) return l1_entry.error();
        const auto table = lookup::l2_table(where(), *l1_entry, l1_entry_at(at));
        if (!table) return table.error();
        return Table{*table, (*l1_entry & entry::copied) != 0};
    }

    Result<Slot> load_slot(uint64_t slot_at) const {
        const auto entry = this->tables().be64(slot_at);
        if (!entry) return entry.error();
        if (!layout().extended_l2) return Slot{*entry, 0};
        const auto bitmap = this->tables().be64(slot_at + 8);
        if (!bitmap) return bitmap.error();
        return Slot{*entry, *bitmap};
    }

    // The L2 table of `at`, for writing: its own, a copy of a shared one, or a new one. Others are
    // linked by root() once their slots are put.
    Result<Move> writable_table(uint64_t at) {
        const auto old = table_of(at);
        if (!old) return old.error();
        Move move{old->at, old->at, l1_entry_at(at)};
        const uint64_t cluster = old->at >> layout().cluster_bits;
        if (old->at != 0 && old->copied) {
            if (Status owned = check_own_table(cluster); !owned) return owned.error();
            return move;
        }
        const auto run = allocate(1);
        if (!run) return run.error();
        move.now = run->first << layout().cluster_bits;
        for (uint64_t done = 0; done < cluster_size(); done += table_piece) {
            std::array<byte, table_piece> piece{};
            if (old->at != 0) {
                const auto entries = this->tables().entries(old->at + done, piece.size());
                if (!entries) return entries.error();
                std::memcpy(piece.data(), entries->data(), entries->size());
            }
            Status put = this->tables().put(move.now + done, piece, Stage::link);
            if (!put) return put.error();
        }
        return move;
    }

    // What a slot says about the bytes from `at` to the end of its cluster.
    [[nodiscard]] Result<Extent> meaning(Slot s, uint64_t at, uint64_t slot_at) const {
        return layout().extended_l2 ? lookup::subclusters(where(), s.entry, s.bitmap, at, slot_at)
                                    : lookup::cluster(where(), s.entry, at, slot_at);
    }

    Status check_no_tables(Run run) {
        for (uint64_t cluster = run.first; cluster < run.end(); ++cluster) {
            const auto tables = tables_at(cluster);
            if (!tables) return tables.error();
            if (*tables == 0) continue;
            return damaged(corrupt("qcow2: guest data and metadata share a cluster",
                                   {cluster << layout().cluster_bits}));
        }
        return {};
    }

    Result<unsigned> tables_at(uint64_t cluster) {
        const auto blocks = clusters().blocks_in_use();
        if (!blocks) return blocks.error();
        return guard_.tables_at(this->tables(), layout(), *blocks, cluster);
    }

    Status check_own_table(uint64_t cluster) {
        const auto tables = tables_at(cluster);
        if (!tables) return tables.error();
        if (*tables > 1) {
            return damaged(corrupt("qcow2: L2 table lies on other metadata",
                                   {cluster << layout().cluster_bits}));
        }
        const auto count = clusters().refcount(cluster);
        if (!count) return count.error();
        if (*count == 1) return {};
        return damaged(corrupt("qcow2: refcount of an L2 table with the copied flag is not 1",
                               {*count, cluster << layout().cluster_bits}));
    }

    Status root(const Move& move) {
        if (move.now == move.before) return {};
        Status put =
            this->tables().put_be64(move.l1_entry_at, move.now | entry::copied, Stage::root);
        if (!put) return put;
        guard_.forget(move.now >> layout().cluster_bits);
        if (move.before == 0) return {};
        guard_.forget(move.before >> layout().cluster_bits);
        clusters().free_later({move.before >> layout().cluster_bits, 1});
        return {};
    }

    Guard guard_;
};

}  // namespace vdisk::qcow2
