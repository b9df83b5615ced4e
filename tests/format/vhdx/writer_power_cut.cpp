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
    std::vector<CutTally> tallies(kinds.size() + 1);
    const auto verdicts =
        all_cases(kinds, 26, [&](const VhdxCutKind& kind, const ImageCutWork& work) {
            return cut(work, {&tallies[&kind - kinds.data()], &tallies.back()});
        });
    for (const auto& [kind, verdict] : verdicts) {
        CAPTURE(kind->name, verdict.error().what, verdict.error().value);
        CHECK(verdict);
    }
    for (size_t i = 0; i < kinds.size(); ++i) {
        std::cout << kinds[i].name << ": " << tallies[i].distinct() << " distinct states\n";
        CHECK(tallies[i].distinct() >= 500);
    }
    std::cout << "vhdx writer: " << tallies.back().distinct() << " distinct states, "
              << tallies.back().judged() << " judged\n";
    CHECK(tallies.back().distinct() >= 50000);
}
