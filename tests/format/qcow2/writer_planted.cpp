// SPDX-License-Identifier: BSL-1.0
// Whether the power-cut tests see: faults of order, planted one by one, are all found.
#include <iostream>

#include "catch.hpp"
#include "support/cut_qcow2.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

enum class Plant : uint8_t {
    none,
    data_not_flushed,
    data_file_not_flushed,
    claims_with_links,
    claims_last,
    links_first,
    roots_first,
    roots_with_links,
    released_before_flush,
    released_at_once,
    punched_before_flush,
    block_listed_early,
    table_switched_early,
    old_table_freed_early,
    features_cleared_late,
    flush_does_nothing,
    second_flush_left_out,
    third_flush_left_out,
    every_other_flush_left_out,
};

struct Planted {
    Plant plant;
    const char* what;
};
constexpr Planted plants[] = {
    {Plant::data_not_flushed, "links do not wait for the data they show"},
    {Plant::data_file_not_flushed, "the flush of an external data file is left out"},
    {Plant::claims_with_links, "refcounts and links are written in one stage"},
    {Plant::claims_last, "refcounts are written after what relies on them"},
    {Plant::links_first, "links are written with the refcounts"},
    {Plant::roots_first, "L1 entries are written first"},
    {Plant::roots_with_links, "L1 entries and L2 tables are written in one stage"},
    {Plant::released_before_flush, "freed clusters are released before the flush"},
    {Plant::released_at_once, "freed clusters are released, and used again, at once"},
    {Plant::punched_before_flush, "freed clusters are punched before the flush"},
    {Plant::block_listed_early, "a refcount block is listed before it is durable"},
    {Plant::table_switched_early, "the header leads to a refcount table that is not durable"},
    {Plant::old_table_freed_early, "the old refcount table is freed before the switch is durable"},
    {Plant::features_cleared_late, "autoclear features are cleared with the first change"},
    {Plant::flush_does_nothing, "the guest's flush does nothing"},
    {Plant::second_flush_left_out, "the second flush of the storage is left out"},
    {Plant::third_flush_left_out, "the third flush of the storage is left out"},
    {Plant::every_other_flush_left_out, "every other flush of the storage is left out"},
};

// Of the case this thread runs.
thread_local Plant planted = Plant::none;

struct PlantedStorage : PowerCutStorage {
    PlantedStorage(CutLog& log, std::vector<byte>& bytes)
        : PowerCutStorage(log, bytes),
          file(log.before.size() - 1),
          flushes(std::make_shared<uint64_t>()) {}

    Status flush() {
        const uint64_t n = ++*flushes;
        if (planted == Plant::data_file_not_flushed && file == 1) return {};
        if (planted == Plant::second_flush_left_out && n == 2) return {};
        if (planted == Plant::third_flush_left_out && n == 3) return {};
        if (planted == Plant::every_other_flush_left_out && n % 2 == 0) return {};
        return PowerCutStorage::flush();
    }
    size_t file;
    std::shared_ptr<uint64_t> flushes;
};

// Tables that are written in a wrong order. What a flush is for shows in the change before it.
struct PlantedTables : StagedMetadata<PlantedStorage, Heap> {
    using Right = StagedMetadata<PlantedStorage, Heap>;
    explicit PlantedTables(Right right) : Right(std::move(right)) {}

    void wrote_data() {
        if (planted != Plant::data_not_flushed) Right::wrote_data();
    }
    Status put(uint64_t at, Bytes in, Stage stage) {
        const bool whole = stage == Stage::claim && in.size() == 512;
        last = whole ? Last::block : in.size() == 12 ? Last::switched : Last::other;
        return Right::put(at, in, wrong(stage, at));
    }
    Status put_be64(uint64_t at, uint64_t value, Stage stage) {
        last = stage == Stage::claim               ? Last::listed
               : stage == Stage::root && at == 88u ? Last::features
                                                   : Last::other;
        return Right::put_be64(at, value, wrong(stage, at));
    }
    Status flush() {
        const Last before = std::exchange(last, Last::other);
        if (planted == Plant::block_listed_early && before == Last::block) return {};
        if (planted == Plant::table_switched_early && before == Last::listed) return {};
        if (planted == Plant::old_table_freed_early && before == Last::switched) return {};
        if (planted == Plant::features_cleared_late && before == Last::features) return {};
        if (planted == Plant::flush_does_nothing && before == Last::other) return {};
        return Right::flush();
    }

private:
    enum class Last : uint8_t { other, block, listed, switched, features };

    static Stage wrong(Stage stage, uint64_t at) {
        const bool header = at < 512;
        switch (planted) {
            case Plant::claims_with_links: return stage == Stage::claim ? Stage::link : stage;
            case Plant::claims_last: return stage == Stage::claim ? Stage::root : stage;
            case Plant::links_first: return stage == Stage::link ? Stage::claim : stage;
            case Plant::roots_first: return stage == Stage::root && !header ? Stage::claim : stage;
            case Plant::roots_with_links:
                return stage == Stage::root && !header ? Stage::link : stage;
            case Plant::table_switched_early:
                return stage == Stage::root && header ? Stage::claim : stage;
            default: return stage;
        }
    }

    Last last = Last::other;
};

struct WrongTables : PlantedTables {
    static Result<WrongTables> make(PlantedStorage storage, CacheShape shape, Heap heap) {
        auto right = Right::make(std::move(storage), shape, heap);
        if (!right) return right.error();
        return WrongTables(PlantedTables(*std::move(right)));
    }

private:
    explicit WrongTables(PlantedTables tables) : PlantedTables(std::move(tables)) {}
};

}  // namespace

// The allocator over such tables: it lets go of clusters too early, if told to.
template <>
class vdisk::qcow2::Clusters<WrongTables> : public vdisk::qcow2::Clusters<PlantedTables> {
    using Right = vdisk::qcow2::Clusters<PlantedTables>;

public:
    Clusters(WrongTables& tables, Layout& layout, Space& space)
        : Right(tables, layout, space),
          wrong_tables_(tables),
          queued_(space),
          bits_(layout.cluster_bits) {}

    void free_later(Run run) {
        if (planted == Plant::released_at_once) return static_cast<void>(dereference(run));
        if (planted == Plant::punched_before_flush) {
            for (uint64_t c = run.first; c < run.end(); ++c) {
                const auto count = refcount(c);
                if (!count || *count != 1) continue;
                static_cast<void>(wrong_tables_.storage().punch(c << bits_, 1ull << bits_));
            }
        }
        Right::free_later(run);
    }
    Status release() {
        if (planted != Plant::released_before_flush) return Right::release();
        for (; queued_.freed > 0; --queued_.freed) {
            Status lowered = dereference(queued_.queue[queued_.freed - 1]);
            if (!lowered) return lowered;
        }
        return wrong_tables_.flush();
    }

private:
    WrongTables& wrong_tables_;
    Space& queued_;
    unsigned bits_;
};

namespace {

// How many of the cases find it.
struct Score {
    size_t found = 0, of = 0;
    const char* how = "";
    const char* where = "";
};

Score seek(Plant plant, uint64_t seeds) {
    const size_t count = qcow2_cut_kinds.size() * seeds;
    std::vector<Status> verdicts(count);
    CutTally tally;
    in_parallel(count, [&](size_t i) {
        planted = plant;
        CutWork work = make_cut(qcow2_cut_kinds[i / seeds], 1 + i % seeds);
        work.recover_each = ~uint64_t{0};
        verdicts[i] = cut<PlantedStorage, WrongTables>(work, tally);
        planted = Plant::none;
    });
    Score score{.of = count};
    for (size_t i = 0; i < count; ++i) {
        if (verdicts[i]) continue;
        if (score.found++ != 0) continue;
        score.how = verdicts[i].error().what;
        score.where = qcow2_cut_kinds[i / seeds].name;
    }
    return score;
}

}  // namespace

TEST_CASE("qcow2: every planted fault of order is found", "[qcow2][write][power_cut]") {
    REQUIRE(std::size(plants) >= 12);
    CHECK(seek(Plant::none, 1).found == 0);
    for (const Planted& p : plants) {
        CAPTURE(p.what);
        const Score score = seek(p.plant, 3);
        CHECK(score.found > 0);
        std::cout << "planted: " << p.what << ": found by " << score.found << " of " << score.of
                  << " cases; first: " << score.where << ": " << score.how << '\n';
    }
}
