// SPDX-License-Identifier: BSL-1.0
// What a rewrite finds out before it writes: whether the old state is sound, what the new one
// refers to, how much room its tables take.
#pragma once

#include <vdisk/format/qcow2/check.hpp>
#include <vdisk/format/qcow2/new_state.hpp>

namespace vdisk::qcow2 {

/// Whether every snapshot says how large its disk is.
template <Storage S>
Result<bool> have_sizes(const S& storage, const Layout& layout) {
    bool all = true;
    const Status walked = each_snapshot(storage, layout, [&](const Snapshot& s) -> Status {
        all = all && s.extra_size >= 16;
        return {};
    });
    if (!walked) return walked.error();
    return all;
}

namespace rewriting {

/// Refuses images whose tables cannot be relied on. What a rewrite mends does not matter.
template <Storage S, Allocation A>
Status refuse_unsound(const Closed<S, A>& image, const NewState& state, A allocation) {
    if (image.layout.is_corrupt() && !state.clears_flags)
        return corrupt("qcow2: the image is marked corrupt: repair it");
    auto census = make_census(image, image.layout.refcount_order, 0, std::move(allocation));
    if (!census) return census.error();
    Problem first;
    auto visit = [&](const Problem& p) {
        if (p.flaw == Flaw::leak || p.what == lacks_disk_size) return;
        if (first.what[0] == 0) first = p;
    };
    const auto report = check_detail::run(image, *census, visit);
    if (!report) return report.error();
    if (first.what[0] != 0) return corrupt(first.what, {first.value, first.at});
    return {};
}

inline uint32_t new_l1_entries(const Layout& layout, const NewState& state) {
    uint64_t entries = blocks(state.size, layout.l1_shift());
    // Behind the disk the state of a virtual machine may be mapped.
    if (!state.is_cut() && entries < state.source.entries) entries = state.source.entries;
    return entries == 0 ? 1 : static_cast<uint32_t>(entries);
}

/// How many clusters the tables of the new state take at most.
template <WritableStorage S, Allocation A>
Result<uint64_t> plan(const Closed<S, A>& image, const NewState& state) {
    const Layout& layout = image.layout;
    const unsigned bits = layout.cluster_bits;
    const uint64_t l1_entries = new_l1_entries(layout, state);
    uint64_t clusters = blocks(l1_entries * 8, bits) + 1;  // and the cluster at the end of the disk
    Status counted =
        each_entry(image.tables, state.source.at, state.source.entries, [&](uint64_t, uint64_t) {
            ++clusters;  // a copy of its L2 table
            return Status{};
        });
    if (!counted) return counted.error();
    if (state.is_cut() && state.zeros_end >= state.keep) {
        clusters +=
            blocks(state.zeros_end - align_down(state.keep, layout.l1_shift()), layout.l1_shift());
    }
    uint64_t extra = 0;
    uint64_t end = layout.snapshots_at;
    counted = each_snapshot(image.tables.storage(), layout, [&](const Snapshot& s) -> Status {
        end = s.end;
        extra += sizeof(SnapshotExtra);  // for those that lack it
        return {};
    });
    if (!counted) return counted.error();
    clusters += blocks(
        extra + end - layout.snapshots_at + state.added_size + state.added_name.size() + 7, bits);
    // The refcounts, which count themselves: each round adds less than a 64th of the last one.
    const unsigned block_bits = refcount_block_bits(bits, state.refcount_order);
    const uint64_t others = image.file_clusters() + 1 + clusters;
    uint64_t refcounts = 0;
    for (uint64_t before = ~uint64_t{0}; before != refcounts;) {
        before = refcounts;
        const uint64_t table_blocks = blocks(others + refcounts, block_bits);
        refcounts = table_blocks + blocks(table_blocks * 8, bits);
    }
    return clusters + refcounts;
}

/// What `Error::what` is where refcounts of the new state have too few bits.
inline constexpr char refcounts_too_narrow[] =
    "qcow2: a refcount would be larger than refcounts can be";

template <Allocation A>
Status fits_refcounts(const Layout& layout, const NewState& state, const Census<A>& census) {
    const uint64_t most = max_refcount(state.refcount_order);
    if (census.counts.lost() != 0) return unsupported(refcounts_too_narrow);
    for (uint64_t c = 0; c < census.counts.size(); ++c) {
        if (census.counts[c] > most) {
            return unsupported(refcounts_too_narrow, {census.counts[c], c << layout.cluster_bits});
        }
    }
    return {};
}

/// Counts the new state, without the tables that are to be made for it.
template <WritableStorage S, Allocation A>
Status count_new_state(const Closed<S, A>& image, const NewState& state, Census<A>& out) {
    const Layout& layout = image.layout;
    Problem first;
    auto visit = [&](const Problem& p) {
        if (first.what[0] == 0) first = p;
    };
    const uint64_t kept = state.is_cut() ? blocks(state.keep, layout.cluster_bits) : 0;
    Root active{state.source, true, false};
    if (state.is_cut()) {
        const uint64_t entries = blocks(kept, layout.l2_bits());
        if (entries < active.l1.entries) active.l1.entries = static_cast<uint32_t>(entries);
    }
    census::Counting<S, A, decltype(visit)> counting(image, out, visit);
    Status done = counting.states([&](const auto& each) -> Status {
        if (Status counted = each(active); !counted) return counted;
        if (state.added != nullptr) {
            if (Status counted = each(Root{layout.l1}); !counted) return counted;
        }
        uint64_t at = layout.snapshots_at;
        return each_snapshot(image.tables.storage(), layout, [&](const Snapshot& s) -> Status {
            return is_kept(image, state, std::exchange(at, s.end), s) ? each(Root{s.l1}) : Status{};
        });
    });
    if (!done) return done;
    const uint64_t in_table = kept & ((uint64_t{1} << layout.l2_bits()) - 1);
    if (in_table != 0 && active.l1.entries == blocks(kept, layout.l2_bits())) {
        if (done = counting.without(active.l1, in_table); !done) return done;
    }
    if (done = counting.fixed(); !done) return done;
    if (first.what[0] != 0) return corrupt(first.what, {first.value, first.at});
    return fits_refcounts(layout, state, out);
}

}  // namespace rewriting
}  // namespace vdisk::qcow2
