// SPDX-License-Identifier: BSL-1.0
// Whether an image is sound: every pointer, every refcount, every copied flag.
#pragma once

#include <vdisk/format/qcow2/compare_refcounts.hpp>

namespace vdisk::qcow2 {

using vdisk::Flaw;
using vdisk::Problem;
using vdisk::Repair;

/// What was found, in the figures of `qemu-img check`.
struct CheckReport {
    uint64_t corruptions = 0;
    uint64_t leaks = 0;
    uint64_t check_errors = 0;  ///< things that could not be looked at
    uint64_t image_end = 0;     ///< where the last cluster in use ends, in bytes
    uint64_t total_clusters = 0;
    uint64_t allocated_clusters = 0;
    uint64_t fragmented_clusters = 0;
    uint64_t compressed_clusters = 0;
    uint64_t bad_pointers = 0;    ///< corruptions that are not of refcounts or copied flags
    uint64_t flag_leaks = 0;      ///< leaks whose end changes a copied flag
    bool refcounts_lost = false;  ///< they cannot be mended one by one, but built anew

    [[nodiscard]] bool is_clean() const { return corruptions + leaks + check_errors == 0; }

    void add(const Problem& problem) {
        switch (problem.flaw) {
            case Flaw::corruption: corruptions += problem.times; break;
            case Flaw::leak:
                leaks += problem.times;
                if (problem.wanted == 1) ++flag_leaks;
                break;
            case Flaw::unreadable: check_errors += problem.times; break;
        }
        refcounts_lost = refcounts_lost || problem.in_refcounts;
    }
};

namespace check_detail {

/// All of a check, with the census left to the caller.
template <Storage S, Allocation A, class Visit>
Result<CheckReport> run(const Closed<S, A>& image, Census<A>& census, Visit& visit) {
    CheckReport report;
    auto tell = [&](const Problem& problem) {
        report.add(problem);
        visit(problem);
    };
    if (Status taken = take_census(image, census, tell); !taken) {
        return taken.error();
    }
    report.bad_pointers = report.corruptions;
    const auto end = compare_refcounts(image, census, tell);
    if (!end) return end.error();
    const Status flags = each_wrong_flag(
        image, census,
        [&](uint64_t cluster) { return stored_refcount(image.tables, image.layout, cluster); },
        [&](uint64_t at, uint64_t e, uint64_t, const char* what) -> Status {
            tell(Problem{.what = what, .value = e, .wanted = e ^ entry::copied, .at = at});
            return {};
        });
    if (!flags) return flags.error();
    report.image_end = *end << image.layout.cluster_bits;
    report.total_clusters = blocks(image.layout.size, image.layout.cluster_bits);
    report.allocated_clusters = census.allocated;
    report.fragmented_clusters = census.fragmented;
    report.compressed_clusters = census.compressed;
    return report;
}

}  // namespace check_detail

/// Checks a closed image and calls `visit(const Problem&)` for everything that is wrong with it. An
/// image that cannot even be opened is an Error. Memory: as wide as a refcount (a byte at least)
/// for every cluster of the file.
///
/// The figures are those of `qemu-img check`, but: an L2 table that the active L1 table lists twice
/// is taken once into the figures of clusters; what is told of a table that several states share
/// counts once for each (`Problem::times`).
template <Storage S, Allocation A, class Visit = NoVisitor>
Result<CheckReport> check_image(S& storage, A allocation, Visit visit = {}) {
    const auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    auto census = make_census(*image, image->layout.refcount_order, 0, allocation);
    if (!census) return census.error();
    return check_detail::run(*image, *census, visit);
}

}  // namespace vdisk::qcow2
