// SPDX-License-Identifier: BSL-1.0
// Staged tables: what is written reads back, and no cut shows a link before what it relies on.
#include <random>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/metadata/staged.hpp>
#include <vdisk/storage/faulty.hpp>
#include <vdisk/storage/growable.hpp>

#include "catch.hpp"
#include "support/cut.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

// A file of a toy format: three tables of 64 entries, a sector each, then 64 blocks of 512 bytes.
constexpr uint64_t claims_at = 0, links_at = 512, root_at = 1024, blocks_at = 2048, count = 64;

template <class S>
Status add_block(StagedMetadata<S, Heap>& tables, uint64_t i) {
    std::vector<byte> data(512, byte(i + 1));
    if (Status s = tables.storage().write(blocks_at + i * 512, data); !s) return s;
    tables.wrote_data();
    if (Status s = tables.put_be64(claims_at + i * 8, 1, Stage::claim); !s) return s;
    if (Status s = tables.put_be64(links_at + i * 8, i + 1, Stage::link); !s) return s;
    return tables.put_be64(root_at, i + 1, Stage::root);
}

uint64_t entry(const std::vector<byte>& file, uint64_t at) { return load_be64(file.data() + at); }

// The rule of the toy format; `flushed` blocks must be there.
Status judge(const std::vector<byte>& file, uint64_t flushed) {
    for (uint64_t i = 0; i < count; ++i) {
        const bool linked = entry(file, links_at + i * 8) != 0;
        if (linked && entry(file, claims_at + i * 8) == 0) return corrupt("link without claim");
        if (linked && file[blocks_at + i * 512] != byte(i + 1)) return corrupt("link without data");
        if (!linked && i < entry(file, root_at)) return corrupt("root without link");
    }
    if (entry(file, root_at) < flushed) return corrupt("what was flushed is gone");
    return {};
}

struct CutOutcome {
    Status verdict;
    uint64_t states;
};

// Adds blocks, flushing after every third, and judges every state a cut may leave.
CutOutcome add_and_cut(CacheShape shape, uint64_t forgotten) {
    CutLog log;
    std::vector<byte> file(blocks_at + count * 512);
    ForgetfulStorage storage(log, file, forgotten);
    auto tables = StagedMetadata<ForgetfulStorage, Heap>::make(storage, shape, Heap{});
    REQUIRE(tables);
    std::vector<std::pair<size_t, uint64_t>> promised;  // events so far, blocks flushed
    for (uint64_t i = 0; i < 9; ++i) {
        REQUIRE(add_block(*tables, i));
        if (i % 3 != 2) continue;
        REQUIRE(tables->flush());
        promised.emplace_back(log.events.size(), i + 1);
    }
    CutReplay replay(log);
    const Status verdict = replay.run([&](const CutState& state) {
        uint64_t flushed = 0;
        for (const auto& [events, blocks] : promised) {
            if (events <= state.events) flushed = blocks;
        }
        return judge(state.files[0], flushed);
    });
    return {verdict, replay.states()};
}

}  // namespace

TEST_CASE("staged: no cut shows a link before its claim and data", "[staged][power_cut]") {
    for (const CacheShape shape :
         {CacheShape{12, 8}, CacheShape{9, 0}, CacheShape{9, 1}, CacheShape{10, 1}}) {
        CAPTURE(shape.page_bits, shape.count_bits);
        const CutOutcome outcome = add_and_cut(shape, 0);
        CHECK(outcome.verdict);
        CHECK(outcome.states > 50);
    }
}

TEST_CASE("staged: every barrier that is left out is seen", "[staged][power_cut]") {
    // Nine flushes: three stages of three epochs.
    for (uint64_t forgotten = 1; forgotten <= 9; ++forgotten) {
        CAPTURE(forgotten);
        CHECK_FALSE(add_and_cut({12, 8}, forgotten).verdict);
    }
}

TEST_CASE("staged: what was put is read back, from any cache", "[staged]") {
    for (const CacheShape shape : {CacheShape{12, 8}, CacheShape{9, 0}, CacheShape{9, 2}}) {
        CAPTURE(shape.page_bits, shape.count_bits);
        GrowableMemory memory;
        REQUIRE(memory.resize(40000));
        auto tables = StagedMetadata<GrowableMemory, Heap>::make(std::move(memory), shape, Heap{});
        REQUIRE(tables);
        std::vector<byte> model(40000);
        std::mt19937 random(7);
        for (int step = 0; step < 3000; ++step) {
            const uint64_t at = random() % (model.size() - 8);
            if (random() % 2 == 0) {
                const uint64_t value = random();
                REQUIRE(tables->put_be64(at, value, static_cast<Stage>(at / 512 % 3)));
                store_be64(model.data() + at, value);
            } else {
                const auto value = tables->be64(at);
                REQUIRE(value);
                REQUIRE(*value == load_be64(model.data() + at));
            }
        }
        REQUIRE(tables->flush());
        std::vector<byte> file(model.size());
        REQUIRE(tables->storage().read(0, file));
        CHECK(file == model);
    }
}

TEST_CASE("staged: after a failed flush the next one completes the work", "[staged][fault]") {
    bool succeeded = false;
    for (uint64_t n = 1; !succeeded; ++n) {
        CAPTURE(n);
        REQUIRE(n < 100);
        GrowableMemory memory;
        REQUIRE(memory.resize(blocks_at + count * 512));
        Fault fault{.countdown = n};
        using Faulty = FaultyStorage<GrowableMemory>;
        auto tables =
            StagedMetadata<Faulty, Heap>::make(Faulty(std::move(memory), fault), {9, 2}, Heap{});
        REQUIRE(tables);
        Status done;
        for (uint64_t i = 0; i < 3 && done; ++i) done = add_block(*tables, i);
        if (done) done = tables->flush();
        succeeded = static_cast<bool>(done);
        if (succeeded) break;
        CHECK(done.error().code == Errc::io);
        for (uint64_t i = 0; i < 3; ++i) REQUIRE(add_block(*tables, i));
        REQUIRE(tables->flush());
        std::vector<byte> file(blocks_at + count * 512);
        REQUIRE(tables->storage().read(0, file));
        CHECK(judge(file, 3));
    }
    CHECK(succeeded);
}

TEST_CASE("staged: reading writes nothing, and past the end nothing is put", "[staged]") {
    CutLog log;
    std::vector<byte> file(4096);
    auto tables =
        StagedMetadata<PowerCutStorage, Heap>::make(PowerCutStorage(log, file), {9, 0}, Heap{});
    REQUIRE(tables);
    REQUIRE(tables->put_be64(8, 1, Stage::link));
    for (uint64_t at = 0; at < 4096; at += 8) REQUIRE(tables->be64(at));
    CHECK(log.events.empty());
    CHECK(*tables->be64(8) == 1);
    CHECK(tables->put_be64(4092, 1, Stage::link).error().code == Errc::invalid);
}
