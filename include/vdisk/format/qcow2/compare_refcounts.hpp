// SPDX-License-Identifier: BSL-1.0
// What the image says about its clusters against what a census found.
#pragma once

#include <vdisk/format/qcow2/census.hpp>

namespace vdisk::qcow2 {

/// Calls `visit(cluster, stored) -> Status` for the first `clusters` clusters, in order.
template <class Tables, class Visit>
Status each_stored_refcount(const Tables& tables, const Layout& layout, uint64_t clusters,
                            Visit&& visit) {
    const unsigned order = layout.refcount_order;
    const uint64_t per_block = uint64_t{1} << refcount_block_bits(layout.cluster_bits, order);
    std::array<byte, 512> piece;
    const unsigned piece_bits = 12 - order;  // log2 of the refcounts in it
    const uint64_t per_piece = uint64_t{1} << piece_bits;
    uint64_t block = 0;
    for (uint64_t cluster = 0; cluster < clusters; cluster += per_piece) {
        const uint64_t in_block = cluster & (per_block - 1);
        if (in_block == 0) {
            const auto found = refcount_block(
                tables, layout, cluster >> refcount_block_bits(layout.cluster_bits, order));
            if (!found) return found.error();
            block = *found;
        }
        const bool readable = is_refcount_block(layout, block);
        if (block == 0 || !readable) {
            piece = {};
        } else {
            const uint64_t at = block + (in_block >> piece_bits) * piece.size();
            if (Status read = copy_entries(tables, at, piece); !read) return read;
        }
        for (uint64_t i = 0; i < per_piece && cluster + i < clusters; ++i) {
            const StoredRefcount stored{readable, load_refcount(piece.data(), i, order)};
            if (Status visited = visit(cluster + i, stored); !visited) return visited;
        }
    }
    return {};
}

/// Tells `visit(problem)` of every refcount that is not what `census` counted. Returns how many
/// clusters are in use, the last of them included.
template <Storage S, Allocation A, class Visit>
Result<uint64_t> compare_refcounts(const Closed<S, A>& image, const Census<A>& census,
                                   Visit&& visit) {
    const unsigned bits = image.layout.cluster_bits;
    const uint64_t most = max_refcount(image.layout.refcount_order);
    uint64_t end = 1;
    const Status walked = each_stored_refcount(
        image.tables, image.layout, census.clusters,
        [&](uint64_t cluster, const StoredRefcount& stored) -> Status {
            uint64_t wanted = census.counts[cluster];
            Problem problem{.value = stored.value, .wanted = wanted, .at = cluster << bits};
            if (wanted > most) {
                problem.what = "qcow2: more references than a refcount can count";
                problem.times = wanted - most;
                problem.in_refcounts = true;
                visit(problem);
                problem.in_refcounts = false;
                problem.wanted = wanted = most;
                problem.times = 1;
            }
            if (!stored.readable) {
                problem.flaw = Flaw::unreadable;
                problem.what = "qcow2: refcount is not readable";
                visit(problem);
                return {};
            }
            if (stored.value != 0 || wanted != 0) end = cluster + 1;
            if (stored.value < wanted) {
                problem.what = "qcow2: refcount is too low";
                problem.in_refcounts = stored.value == 0;
                visit(problem);
            } else if (stored.value > wanted) {
                problem.flaw = Flaw::leak;
                problem.what = "qcow2: refcount is too high";
                visit(problem);
            }
            return {};
        });
    if (!walked) return walked.error();
    if (census.counts.lost() != 0) {
        visit(Problem{.what = "qcow2: more references than a refcount can count",
                      .times = census.counts.lost(),
                      .in_refcounts = true});
    }
    return end;
}

/// Calls `wrong(at, entry, refcount, what) -> Status` for every entry of the active tables whose
/// copied flag does not say whether the refcount, as `refcount_of(cluster) ->
/// Result<StoredRefcount>` has it, is 1. `at` is where the entry stands.
template <Storage S, Allocation A, class RefcountOf, class Wrong>
Status each_wrong_flag(const Closed<S, A>& image, Census<A>& census, const RefcountOf& refcount_of,
                       const Wrong& wrong) {
    const Layout& layout = image.layout;
    const auto judge = [&](uint64_t e, uint64_t at, uint64_t cluster, bool is_data,
                           const char* what) -> Status {
        StoredRefcount refcount{true, 1};
        if (!is_data || !layout.has_data_file) {
            const auto got = refcount_of(cluster);
            if (!got) return got.error();
            refcount = *got;
        }
        const bool copied = (e & entry::copied) != 0;
        if (!refcount.readable || copied == (refcount.value == 1)) return {};
        return wrong(at, e, refcount.value, what);
    };
    const auto l2_entry = [&](uint64_t e, uint64_t, uint64_t at) -> Status {
        const Reference ref = reference_of(layout, e);
        if (ref.kind != Reference::Kind::cluster) return {};
        return judge(e, at, ref.at >> layout.cluster_bits, true,
                     "qcow2: wrong copied flag of a cluster");
    };
    census.tables.restart();
    return each_entry(
        image.tables, layout.l1.at, layout.l1.entries, [&](uint64_t e, uint64_t at) -> Status {
            const uint64_t table = e & entry::offset_mask;
            if (table == 0) return {};
            const uint64_t cluster = table >> layout.cluster_bits;
            Status judged = judge(e, at, cluster, false, "qcow2: wrong copied flag of an L2 table");
            if (!judged) return judged;
            if (!is_aligned(table, layout.cluster_bits) ||
                !image.inside(table, layout.cluster_size()) || !census.tables.visit(cluster)) {
                return {};
            }
            return each_l2_entry(image.tables, layout, table, 0, l2_entry);
        });
}

}  // namespace vdisk::qcow2
