// SPDX-License-Identifier: BSL-1.0
// Writing qcow2: whenever the power goes, the image opens, is sound and holds what was flushed.
#include <iostream>

#include "catch.hpp"
#include "support/cut_qcow2.hpp"
#include "support/share.hpp"

using namespace vdisk;
using namespace vdisk::test;

TEST_CASE("qcow2: no power cut damages an image that is written", "[qcow2][write][power_cut]") {
    const uint64_t seeds = of_share(60);
    struct Case {
        const CutKind* kind;
        uint64_t seed;
        Status verdict;
    };
    std::vector<Case> cases;
    for (const CutKind& kind : qcow2_cut_kinds) {
        for (uint64_t seed = 1; seed <= seeds; ++seed) cases.push_back({&kind, seed, {}});
    }
    CutTally tally;
    in_parallel(cases.size(), [&](size_t i) {
        const CutWork work = make_cut(*cases[i].kind, cases[i].seed);
        cases[i].verdict = cut(work, tally);
    });
    for (const Case& c : cases) {
        CAPTURE(c.kind->name, c.seed, c.verdict.error().what, c.verdict.error().value);
        CHECK(c.verdict);
    }
    std::cout << "qcow2 writer: " << tally.distinct() << " distinct states, " << tally.judged()
              << " judged\n";
    CHECK(tally.distinct() >= 120000 / share());
}
