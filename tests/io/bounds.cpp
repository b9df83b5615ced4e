// SPDX-License-Identifier: BSL-1.0
// Work is bounded: one lookup ends, and whoever steps over a disk looks ahead at a pace that suits.
#include <algorithm>

#include <vdisk/codec/none.hpp>
#include <vdisk/io/runs.hpp>
#include <vdisk/io/walk.hpp>

#include "catch.hpp"
#include "support/storages.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

// `layers` images that say nothing about any of their blocks, over one that is empty up to
// `fragments_at` and has another kind in every block from there. Like a chain, it asks each layer
// for no more than is left open, and a layer looks at every block it is asked for.
struct Tower {
    static constexpr uint64_t block = 64_KiB;
    uint64_t size_ = 0, fragments_at = 0, layers = 0;
    mutable uint64_t lookups = 0, steps = 0, longest = 0;

    [[nodiscard]] uint64_t size() const { return size_; }

    Result<Extent> lookup(uint64_t at, uint64_t length) const {
        ++lookups;
        longest = std::max(longest, length);
        steps += layers * blocks(length, 16) + 1;
        if (at < fragments_at) return Extent{.length = std::min(length, fragments_at - at)};
        const Kind kind = at / block % 2 == 0 ? Kind::data : Kind::zero;
        return Extent{.kind = kind, .length = std::min(length, block - at % block)};
    }
};

// `empty` blocks of nothing, then as many fragments.
Tower tower(uint64_t empty, uint64_t fragments, uint64_t layers = 1) {
    return {.size_ = (empty + fragments) * Tower::block,
            .fragments_at = empty * Tower::block,
            .layers = layers};
}

void step_over(const Tower& disk, uint64_t least) {
    Runs runs(disk, 0, disk.size(), least);
    while (!runs.done() && disk.lookups < 100000) runs.advance(value_of(runs.here()).length);
}

void walk_over(const Tower& disk) {
    uint64_t reached = 0;
    REQUIRE(walk(disk, 0, disk.size(), [&](uint64_t at, const Extent& extent) -> Status {
        if (at != reached) return invalid("a gap");
        reached += extent.length;
        return {};
    }));
    CHECK(reached == disk.size());
}

}  // namespace

TEST_CASE("lookup: ends after so many blocks", "[bounds]") {
    uint64_t calls = 0;
    const auto run = coalesce(0, ~uint64_t{0}, [&](uint64_t, uint64_t) -> Result<Extent> {
        if (++calls > 1 << 20) return invalid("without end");
        return Extent{.length = 512};
    });
    CHECK(calls == max_run_blocks);
    CHECK(run->length == uint64_t{max_run_blocks} * 512);
    CHECK(max_run_blocks <= 1u << 17);
}

TEST_CASE("lookup: 2^24 clusters in one L2 table that all share", "[bounds][qcow2]") {
    constexpr uint64_t clusters = 1 << 24, l1_entries = clusters / 64;
    Built image = build(Qcow2Spec{.size = 32_KiB, .cluster_bits = 9, .clusters = {{5}}});
    File& file = image.file;
    const uint64_t table = get_be64(file, image.l1_at), l1_at = file.size();
    const uint64_t entry = GENERATE(uint64_t{0}, uint64_t{1});  // absent, zero
    for (uint64_t i = 0; i != 64; ++i) set_be64(file, (table << 1 >> 1) + i * 8, entry);
    file.resize(l1_at + l1_entries * 8);
    for (uint64_t i = 0; i != l1_entries; ++i) set_be64(file, l1_at + i * 8, table);
    set_be64(file, 24, clusters * 512);
    set_be32(file, 36, l1_entries);
    set_be64(file, 40, l1_at);
    const auto check = [&](auto storage) {
        using Image = qcow2::Image<decltype(storage), Heap, NoCodec>;
        const auto disk = value_of(Image::open(storage));
        const auto extent = value_of(disk.lookup(0, disk.size()));
        CHECK(extent.kind == (entry == 0 ? Kind::absent : Kind::zero));
        CHECK(extent.length >= 32_KiB);
        const uint64_t at_once = entry == 0 ? 64 : 1;  // entries of 0 are taken by the sector
        CHECK(extent.length <= max_run_blocks * at_once * 512);
    };
    check(MemoryStorage(file));
    check(PagedMemory(file));
}

TEST_CASE("runs: an empty disk costs a few lookups", "[bounds][runs]") {
    for (const uint64_t least : {4_KiB, 256_KiB}) {
        const Tower disk = tower(64_TiB / Tower::block, 0);
        step_over(disk, least);
        CHECK(disk.lookups <= 36);  // 64 TiB are 2^34 times 4 KiB
    }
}

TEST_CASE("runs: fragments cost a lookup each, of a short stretch", "[bounds][runs]") {
    constexpr uint64_t n = 4096, least = 256_KiB;
    const Tower disk = tower(n, n);
    step_over(disk, least);
    CHECK(disk.lookups <= n + 32);
    CHECK(disk.longest >= 64_MiB);  // in the empty half
    // In the empty half a block or two each; then the window is short again.
    CHECK(disk.steps <= disk.lookups + 4 * n + n * (least / Tower::block));
}

TEST_CASE("walk: an empty disk costs a few lookups", "[bounds][walk]") {
    const Tower disk = tower(64_TiB / Tower::block, 0, 10);
    walk_over(disk);
    CHECK(disk.lookups <= 64);
}

TEST_CASE("walk: fragments below many layers cost their number, not its square", "[bounds][walk]") {
    const auto steps = [](uint64_t fragments, uint64_t layers) {
        const Tower disk = tower(fragments, fragments, layers);
        walk_over(disk);
        CHECK(disk.lookups <= fragments + 64);
        return disk.steps;
    };
    constexpr uint64_t n = 1 << 14;
    const uint64_t once = steps(n, 100);
    CHECK(once <= 100 * n * 100);
    CHECK(steps(2 * n, 100) <= once * 5 / 2);
    CHECK(steps(n, 200) <= once * 5 / 2);
}
