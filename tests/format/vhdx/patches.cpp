// SPDX-License-Identifier: BSL-1.0
// Changes that lie over each other: sorted, they say the same.
#include <random>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/vhdx/patches.hpp>

#include "catch.hpp"

using namespace vdisk;
using vdisk::vhdx::Patch;

namespace {

constexpr uint64_t unit = vhdx::log_sector;

std::vector<Patch> flattened(const std::vector<Patch>& patches) {
    std::vector<Patch> out(2 * patches.size());
    const auto count = vhdx::Flattening<Heap>(Heap{}).run(patches, out);
    REQUIRE(count);
    out.resize(*count);
    return out;
}

// What sector `number` is: which patch it comes from, as a number of its data.
uintptr_t seen(std::span<const Patch> patches, uint64_t number) {
    uintptr_t out = 0;
    for (const Patch& p : patches) {
        if (number * unit < p.at || number * unit >= p.at + p.length) continue;
        out = p.data == nullptr ? 1 : reinterpret_cast<uintptr_t>(p.data);
    }
    return out;
}

}  // namespace

TEST_CASE("sort: any numbers", "[core]") {
    std::mt19937_64 random(1);
    for (size_t n = 0; n < 40; ++n) {
        std::vector<uint64_t> values(n);
        for (uint64_t& v : values) v = random() % 30;
        std::vector<uint64_t> sorted = values;
        std::sort(sorted.begin(), sorted.end());
        vdisk::sort(values);
        CHECK(values == sorted);
        CHECK(count_less(values, 15) ==
              static_cast<size_t>(std::lower_bound(sorted.begin(), sorted.end(), 15u) -
                                  sorted.begin()));
    }
}

TEST_CASE("vhdx: sorted patches say what those in order say", "[vhdx][log]") {
    static const std::vector<byte> data(64 * unit);
    std::mt19937_64 random(2);
    for (unsigned round = 0; round < 300; ++round) {
        CAPTURE(round);
        std::vector<Patch> patches;
        for (unsigned i = 0; i < round % 24; ++i) {
            const uint64_t at = random() % 40 * unit;
            const bool is_zero = random() % 3 == 0;
            patches.push_back({at, is_zero ? random() % 12 * unit : unit,
                               is_zero ? nullptr : data.data() + i * unit});
        }
        const std::vector<Patch> sorted = flattened(patches);
        for (size_t i = 1; i < sorted.size(); ++i) {
            REQUIRE(sorted[i - 1].at + sorted[i - 1].length <= sorted[i].at);
        }
        for (uint64_t number = 0; number < 60; ++number) {
            REQUIRE(seen(sorted, number) == seen(patches, number));
            const size_t first = vhdx::first_patch(sorted, number * unit);
            const bool hit = first < sorted.size() && sorted[first].at <= number * unit;
            REQUIRE(hit == (seen(patches, number) != 0));
        }
    }
}
