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
        CHECK(tallies[i].distinct() >= 500 / share());
    }
    std::cout << "vhdx writer: " << tallies.back().distinct() << " distinct states, "
              << tallies.back().judged() << " judged\n";
    return tallies.back().distinct();
}

}  // namespace

TEST_CASE("vhdx: no power cut damages an image that is written", "[vhdx][write][power_cut]") {
    CHECK(cut_all(vhdx_cut_kinds(), 26) >= 50000 / share());
}

TEST_CASE("vhdx: no power cut damages an image whose tables do not fit one entry",
          "[vhdx][write][power_cut]") {
    CHECK(cut_all(vhdx_large_cut_kinds(), 3) >= 1000 / share());
}

TEST_CASE("vhdx: entries that go around the end of the log are among what is cut",
          "[vhdx][write][power_cut]") {
    const auto kinds = vhdx_cut_kinds();
    const auto kind =
        std::find_if(kinds.begin(), kinds.end(), [](const VhdxCutKind& k) { return k.at_log_end; });
    size_t wrapped = 0, around = 0;
    for (uint64_t seed = 1; seed <= 26; ++seed) {
        const ImageCutWork work = make_cut(*kind, seed);
        CutLog log;
        File file = work.start;
        File model = value_of(VhdxSubject::read(file, work.below));
        auto writer = value_of(VhdxSubject::open(PowerCutStorage(log, file), work.cache));
        for (const Op& op : work.before) REQUIRE(perform(writer, op, model, work.below));
        log.events.clear();
        for (const Op& op : work.ops) REQUIRE(perform(writer, op, model, work.below));
        bool at_end = false, wraps = false, is_around = false;
        for (const CutEvent& event : log.events) {
            if (event.kind == CutEvent::Kind::flush) at_end = false;
            if (event.kind != CutEvent::Kind::write) continue;
            at_end = at_end || event.at == 2_MiB - vhdx::log_sector;
            // Sectors of descriptors are written last.
            wraps = wraps || event.at == 1_MiB;
            is_around = is_around || (wraps && at_end);
        }
        wrapped += wraps;
        around += is_around;
    }
    CHECK(wrapped >= 20);
    CHECK(around >= 5);
}
