// SPDX-License-Identifier: BSL-1.0
// Writing VHDX: whenever the power goes, the image opens, with its log read or replayed, and holds
// what was flushed.
#include <iostream>

#include "catch.hpp"
#include "support/cut_vhdx.hpp"

using namespace vdisk;
using namespace vdisk::test;

TEST_CASE("vhdx: no power cut damages an image that is written", "[vhdx][write][power_cut]") {
    const auto kinds = vhdx_cut_kinds();
    CutTally tally;
    const auto verdicts =
        all_cases(kinds, 2, [&](const ImageCutWork& work) { return cut(work, tally); });
    for (const auto& [kind, verdict] : verdicts) {
        CAPTURE(kind->name, verdict.error().what, verdict.error().value);
        CHECK(verdict);
    }
    std::cout << "vhdx writer: " << tally.distinct() << " distinct states, " << tally.judged()
              << " judged\n";
    CHECK(tally.distinct() >= 500);
}
