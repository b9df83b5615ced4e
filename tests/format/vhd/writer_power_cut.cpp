// SPDX-License-Identifier: BSL-1.0
// Writing VHD: whenever the power goes, the image opens, is sound and holds what was flushed. And
// whether these tests see: faults of order, planted one by one, are all found.
#include <iostream>

#include "catch.hpp"
#include "support/cut_vhd.hpp"

using namespace vdisk;
using namespace vdisk::test;

TEST_CASE("vhd: no power cut damages an image that is written", "[vhd][write][power_cut]") {
    const auto kinds = vhd_cut_kinds();
    CutTally tally;
    const auto verdicts = all_cases(
        kinds, 30, [&](const VhdCutKind&, const ImageCutWork& work) { return cut(work, tally); });
    for (const auto& [kind, verdict] : verdicts) {
        CAPTURE(kind->name, verdict.error().what, verdict.error().value);
        CHECK(verdict);
    }
    std::cout << "vhd writer: " << tally.distinct() << " distinct states, " << tally.judged()
              << " judged\n";
    CHECK(tally.distinct() >= 20000 / share());
}

namespace {

enum class Plant : uint8_t {
    none,
    data_not_flushed,
    footer_with_entry,
    footer_last,
    bitmap_first,
    entry_first,
    flush_does_nothing,
    first_flush_left_out,
    second_flush_left_out,
    every_other_flush_left_out,
};

struct Planted {
    Plant plant;
    const char* what;
};
constexpr Planted plants[] = {
    {Plant::data_not_flushed, "links do not wait for the data they show"},
    {Plant::footer_with_entry, "footer and table entry are written in one stage"},
    {Plant::footer_last, "the footer is written after the table entry"},
    {Plant::bitmap_first, "sector bitmaps are written before the data they claim"},
    {Plant::entry_first, "table entries are written first"},
    {Plant::flush_does_nothing, "the guest's flush does nothing"},
    {Plant::first_flush_left_out, "the first flush of the storage is left out"},
    {Plant::second_flush_left_out, "the second flush of the storage is left out"},
    {Plant::every_other_flush_left_out, "every other flush of the storage is left out"},
};

// Of the case this thread runs.
thread_local Plant planted = Plant::none;

struct PlantedStorage : PowerCutStorage {
    using PowerCutStorage::PowerCutStorage;
    Status flush() {
        const uint64_t n = ++*flushes;
        if (planted == Plant::first_flush_left_out && n == 1) return {};
        if (planted == Plant::second_flush_left_out && n == 2) return {};
        if (planted == Plant::every_other_flush_left_out && n % 2 == 0) return {};
        return PowerCutStorage::flush();
    }
    std::shared_ptr<uint64_t> flushes = std::make_shared<uint64_t>();
};

struct WrongTables : StagedMetadata<PlantedStorage, Heap> {
    using Right = StagedMetadata<PlantedStorage, Heap>;

    static Result<WrongTables> make(PlantedStorage storage, CacheShape shape, Heap heap) {
        auto right = Right::make(std::move(storage), shape, heap);
        if (!right) return right.error();
        return WrongTables(*std::move(right));
    }
    void wrote_data() {
        if (planted != Plant::data_not_flushed) Right::wrote_data();
    }
    Status put(uint64_t at, Bytes in, Stage stage) {
        const bool early = planted == Plant::bitmap_first && stage == Stage::link;
        return Right::put(at, in, early ? Stage::claim : wrong(stage));
    }
    Status put_be32(uint64_t at, uint32_t value, Stage stage) {
        return Right::put_be32(at, value, planted == Plant::entry_first ? Stage::claim : stage);
    }
    Status flush() { return planted == Plant::flush_does_nothing ? Status{} : Right::flush(); }

private:
    explicit WrongTables(Right right) : Right(std::move(right)) {}

    static Stage wrong(Stage stage) {
        switch (planted) {
            case Plant::footer_last: return stage == Stage::claim ? Stage::root : stage;
            case Plant::footer_with_entry: return stage == Stage::claim ? Stage::link : stage;
            default: return stage;
        }
    }
};

}  // namespace

TEST_CASE("vhd: every planted fault of order is found", "[vhd][write][power_cut]") {
    const auto kinds = vhd_cut_kinds();
    CutTally tally;
    const auto seek = [&](Plant plant) {
        const auto verdicts = all_cases(kinds, 6, [&](const VhdCutKind&, const ImageCutWork& work) {
            planted = plant;
            const Status verdict = cut<PlantedStorage, WrongTables>(work, tally);
            planted = Plant::none;
            return verdict;
        });
        size_t found = 0;
        const char* how = "";
        for (const auto& [kind, verdict] : verdicts) {
            if (!verdict && found++ == 0) how = verdict.error().what;
        }
        return std::pair{found, how};
    };
    CHECK(seek(Plant::none).first == 0);
    for (const Planted& p : plants) {
        CAPTURE(p.what);
        const auto [found, how] = seek(p.plant);
        CHECK(found > 0);
        std::cout << "planted: " << p.what << ": found by " << found << " cases; first: " << how
                  << '\n';
    }
}
