// SPDX-License-Identifier: BSL-1.0
// Writing VHDX: whenever the power goes, the image opens, with its log read or replayed, and holds
// what was flushed.
#include <iostream>

#include "catch.hpp"
#include "support/cut_vhdx.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

// Judges so many cases of each kind; how many states there were.
uint64_t cut_all(const std::vector<VhdxCutKind>& kinds, uint64_t seeds) {
    std::vector<CutTally> tallies(kinds.size() + 1);
    const auto verdicts =
        all_cases(kinds, seeds, [&](const VhdxCutKind& kind, const ImageCutWork& work) {
            return cut(work, {&tallies[&kind - kinds.data()], &tallies.back()});
        });
    for (const auto& [kind, verdict] : verdicts) {
        CAPTURE(kind->name, verdict.error().what, verdict.error().value);
        CHECK(verdict);
    }
    for (size_t i = 0; i < kinds.size(); ++i) {
        std::cout << "vhdx, " << kinds[i].name << ": " << tallies[i].distinct()
                  << " distinct states\n";
        CHECK(tallies[i].distinct() >= 500);
    }
    std::cout << "vhdx writer: " << tallies.back().distinct() << " distinct states, "
              << tallies.back().judged() << " judged\n";
    return tallies.back().distinct();
}

}  // namespace

TEST_CASE("vhdx: no power cut damages an image that is written", "[vhdx][write][power_cut]") {
    CHECK(cut_all(vhdx_cut_kinds(), 26) >= 50000);
}

TEST_CASE("vhdx: no power cut damages an image whose tables do not fit one entry",
          "[vhdx][write][power_cut]") {
    CHECK(cut_all(vhdx_large_cut_kinds(), 3) >= 1000);
}
