// SPDX-License-Identifier: BSL-1.0
// Counts how often every cluster of the file is referred to (specification: "Host cluster
// management"), and finds pointers that cannot be. A table is walked once, however many snapshots
// share it, so the work is bounded by the size of the file.
#pragma once

#include <vdisk/format/qcow2/counting.hpp>

namespace vdisk::qcow2 {

/// Room for a census of the file and `more` clusters behind it, for refcounts of 2^`order` bits.
template <Storage S, Allocation A>
Result<Census<A>> make_census(const Closed<S, A>& image, unsigned order, uint64_t more,
                              A allocation) {
    auto counts = Counters<A>::make(image.file_clusters() + 1 + more, order, allocation);
    if (!counts) return counts.error();
    auto tables = TableSet<A>::make(image.file_clusters() + 1, std::move(allocation));
    if (!tables) return tables.error();
    return Census<A>{*std::move(counts), *std::move(tables), image.file_clusters()};
}

/// Calls `each(snapshot) -> Status` for the snapshots whose L1 tables are counted.
template <class Tables, class Each>
Status each_counted_snapshot(const Tables& tables, const Layout& layout, const Each& each) {
    if (layout.has_data_file) return {};  // there can be none
    return each_snapshot(tables.storage(), layout, [&](const Snapshot& s) -> Status {
        if (!is_l1(layout, s.l1)) return {};
        return each(s);
    });
}

/// Counts the image as it stands: the active state, its snapshots, and all else. Calls
/// `visit(problem)` for what is wrong with the pointers; refcounts are not compared.
template <Storage S, Allocation A, class Visit>
Status take_census(const Closed<S, A>& image, Census<A>& out, Visit& visit) {
    census::Counting<S, A, Visit> counting(image, out, visit);
    Status done = counting.states([&](const auto& each) -> Status {
        if (Status active = each(Root{image.layout.l1, true}); !active) return active;
        return each_counted_snapshot(image.tables, image.layout,
                                     [&](const Snapshot& s) { return each(Root{s.l1}); });
    });
    if (!done) return done;
    if (done = counting.fixed(); !done) return done;
    if (done = counting.snapshot_table(); !done) return done;
    return counting.refcounts();
}

}  // namespace vdisk::qcow2
