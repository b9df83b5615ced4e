// SPDX-License-Identifier: BSL-1.0
// The L1 table and the L2 tables that the guest sees in the new state of a rewrite.
#pragma once

#include <vdisk/format/qcow2/new_state.hpp>

namespace vdisk::qcow2::rewriting {

/// Writes a new L1 table, and new copies of those L2 tables that the new state wants different:
/// copied flags, entries that are dropped, zeros. All others are shared with the old state.
template <WritableStorage S, Allocation A, class Guest>
class ActiveTables {
public:
    ActiveTables(S& storage, const Closed<S, A>& image, Census<A>& census, Free<S, A>& free,
                 const NewState& state, Guest& guest)
        : storage_(storage),
          layout_(image.layout),
          tables_(image.tables),
          census_(census),
          free_(free),
          state_(state),
          guest_(guest),
          kept_(state.is_cut() ? blocks(state.keep, layout_.cluster_bits) : ~uint64_t{0}),
          zeros_end_(blocks(state.zeros_end, layout_.cluster_bits)) {}

    /// Writes everything; the L1 table has room at `at` and gets `entries` entries.
    Status write(uint64_t at, uint32_t entries) {
        census_.tables.restart();
        Stream<S> l1(storage_, at);
        for (uint32_t i = 0; i < entries; ++i) {
            const uint64_t base = uint64_t{i} << layout_.l2_bits();
            uint64_t old = 0;
            if (i < state_.source.entries) {
                const auto e = tables_.be64(state_.source.at + uint64_t{i} * 8);
                if (!e) return e.error();
                old = *e & entry::offset_mask;
                // Flags alone count the header once more (as in QEMU), and are not kept. Behind the
                // kept part nothing was counted.
                if (*e != 0 && old == 0 && base < kept_) census_.counts.subtract(0, 1);
            }
            const auto table = l2_table(base, old);
            if (!table) return table.error();
            uint64_t e = *table;
            if (e != 0 && census_.counts[e >> bits()] == 1) e |= entry::copied;
            if (Status put = l1.put_be64(e); !put) return put;
        }
        const uint64_t bytes = uint64_t{entries} * 8;
        const uint64_t room = blocks(bytes, bits()) << bits();
        if (Status filled = l1.zeros(room - bytes); !filled) return filled;
        return l1.finish();
    }

private:
    struct Entry {
        uint64_t word = 0, bitmap = 0;
        friend bool operator==(const Entry&, const Entry&) = default;
    };

    static constexpr uint32_t max_repeated = 1024;

    [[nodiscard]] unsigned bits() const { return layout_.cluster_bits; }
    [[nodiscard]] uint64_t entry_count() const { return uint64_t{1} << layout_.l2_bits(); }

    // The table for the guest clusters from `base` on, in place of `old`; 0: none of either.
    Result<uint64_t> l2_table(uint64_t base, uint64_t old) {
        if (base >= kept_ || old == 0) {
            const bool has_zeros =
                kept_ < base + entry_count() && zeros_end_ > kept_ && zeros_end_ > base;
            if (!has_zeros && !edge_needs_data(base)) return uint64_t{0};
            old = 0;
        } else {
            if (!census_.tables.visit(old >> bits()) && ++repeated_ > max_repeated) {
                return unsupported("qcow2: L2 tables stand in the L1 table again and again", {old});
            }
            const auto as_it_is = is_right(base, old);
            if (!as_it_is) return as_it_is.error();
            if (*as_it_is) return old;
        }
        const auto made = free_.take(1);
        if (!made) return made;
        if (Status copied = copy(base, old, *made); !copied) return copied.error();
        if (old != 0) census_.counts.subtract(old >> bits(), 1);
        return made;
    }

    Result<bool> is_right(uint64_t base, uint64_t table) {
        bool right = true;
        uint64_t guest = base;
        const Status walked = each_l2_entry(
            tables_, layout_, table, 0, [&](uint64_t word, uint64_t bitmap, uint64_t) -> Status {
                const Entry old{word, bitmap};
                if (right) right = !is_edge(guest, old) && wanted(guest, old) == old;
                ++guest;
                return {};
            });
        if (!walked) return walked.error();
        return right;
    }

    Status copy(uint64_t base, uint64_t old, uint64_t to) {
        Stream<S> out(storage_, to);
        uint64_t guest = base;
        const auto put = [&](uint64_t word, uint64_t bitmap, uint64_t) -> Status {
            Entry e{word, bitmap};
            if (is_edge(guest, e)) {
                const auto made = edge(guest, e);
                if (!made) return made.error();
                e = *made;
            } else {
                e = wanted(guest, e);
            }
            ++guest;
            if (Status written = out.put_be64(e.word); !written) return written;
            return layout_.extended_l2 ? out.put_be64(e.bitmap) : Status{};
        };
        if (old != 0) {
            if (Status walked = each_l2_entry(tables_, layout_, old, 0, put); !walked) {
                return walked;
            }
        } else {
            for (uint64_t i = 0; i < entry_count(); ++i) {
                if (Status written = put(0, 0, 0); !written) return written;
            }
        }
        return out.finish();
    }

    Entry wanted(uint64_t guest, Entry e) const {
        if (guest >= kept_) {
            if (guest >= zeros_end_) return {};
            return layout_.extended_l2 ? Entry{0, uint64_t{0xFFFFFFFF} << 32}
                                       : Entry{entry::zero, 0};
        }
        const Reference ref = reference_of(layout_, e.word);
        if (ref.kind != Reference::Kind::cluster) return e;
        const bool alone = layout_.has_data_file || census_.counts[ref.at >> bits()] == 1;
        e.word = alone ? e.word | entry::copied : e.word & ~entry::copied;
        return e;
    }

    // The cluster in which the kept part of the disk ends.
    [[nodiscard]] bool is_cut_here(uint64_t guest) const {
        return state_.is_cut() && !is_aligned(state_.keep, bits()) && guest + 1 == kept_ &&
               !layout_.has_data_file && layout_.crypt_method == 0;
    }
    [[nodiscard]] bool shows_more() const { return state_.zeros_end > state_.keep; }
    [[nodiscard]] bool edge_needs_data(uint64_t base) const {
        return kept_ > base && kept_ <= base + entry_count() && is_cut_here(kept_ - 1) &&
               shows_more();
    }

    // Whether it holds something behind that end, or would show something.
    [[nodiscard]] bool is_edge(uint64_t guest, const Entry& e) const {
        if (!is_cut_here(guest)) return false;
        // What a stream has behind the end is not known: the disk may have been longer.
        if ((e.word & entry::compressed) != 0) return true;
        if (layout_.extended_l2) return static_cast<uint32_t>(e.bitmap) != 0 || shows_more();
        if ((e.word & entry::zero) != 0) return false;
        return (e.word & entry::offset_mask) != 0 || shows_more();
    }

    // A copy of that cluster which is zero behind the end.
    Result<Entry> edge(uint64_t guest, const Entry& old) {
        const auto home = free_.take(1);
        if (!home) return home.error();
        std::array<byte, 512> sector;
        for (uint64_t done = 0; done < layout_.cluster_size(); done += sector.size()) {
            if (Status got = edge_sector(guest, done, old, sector); !got) {
                return got.error();
            }
            if (Status put = storage_.write(*home + done, sector); !put) return put.error();
        }
        const Reference ref = reference_of(layout_, old.word);
        if (ref.length != 0) {
            const uint64_t last = (ref.at + ref.length - 1) >> bits();
            for (uint64_t c = ref.at >> bits(); c <= last; ++c) census_.counts.subtract(c, 1);
        }
        Entry made{*home | entry::copied, 0};
        if (!layout_.extended_l2) return made;
        const uint64_t in_cluster = state_.keep & (layout_.cluster_size() - 1);
        const uint64_t before = blocks(in_cluster, bits() - 5u);  // subclusters that are kept
        const uint64_t low = (uint64_t{1} << before) - 1;
        made.bitmap = shows_more() || ref.kind == Reference::Kind::packed
                          ? 0xFFFFFFFF
                          : old.bitmap & (low | low << 32);
        return made;
    }

    // What the image does not store as it is, the caller reads.
    Status edge_sector(uint64_t guest, uint64_t done, const Entry& old, MutBytes out) {
        const uint64_t at = (guest << bits()) + done;
        std::memset(out.data(), 0, out.size());
        if (at >= state_.keep) return {};
        if ((old.word & entry::compressed) != 0) return guest_(at, out);
        const uint64_t host = old.word & entry::offset_mask;
        const uint64_t sub = layout_.extended_l2 ? done >> (bits() - 5u) : 0;
        const bool stored = layout_.extended_l2 ? (old.bitmap >> sub & 1) != 0 : host != 0;
        const bool zero = layout_.extended_l2 && (old.bitmap >> (sub + 32) & 1) != 0;
        if (!stored) return zero || !shows_more() ? Status{} : guest_(at, out);
        const uint64_t size = storage_.size();
        if (host + done >= size) return {};
        const uint64_t rest = size - host - done;
        return storage_.read(host + done, rest < out.size() ? out.first(size_t(rest)) : out);
    }

    S& storage_;
    const Layout& layout_;
    const Metadata<Borrowed<S>, A>& tables_;
    Census<A>& census_;
    Free<S, A>& free_;
    const NewState& state_;
    Guest& guest_;
    uint64_t kept_;          ///< guest clusters that are kept, the last perhaps in part
    uint64_t zeros_end_;     ///< guest clusters up to here become zeros
    uint32_t repeated_ = 0;  ///< L1 entries for tables that others had before
};

}  // namespace vdisk::qcow2::rewriting
