// SPDX-License-Identifier: BSL-1.0
#include <vdisk/allocation/failing.hpp>
#include <vdisk/allocation/heap.hpp>
#include <vdisk/allocation/none.hpp>

#include "catch.hpp"

using namespace vdisk;

TEST_CASE("failing: the n-th request of all copies fails, those after it do not", "[failing]") {
    static_assert(Allocation<FailingAllocation<Heap>>);
    Refusal refusal{.countdown = 2};
    FailingAllocation<Heap> first(refusal);
    FailingAllocation<Heap> second = first;
    const Result<MutBytes> a = first.allocate(10, 1);
    REQUIRE(a);
    CHECK_FALSE(refusal.fired);
    const Result<MutBytes> refused = second.allocate(20, 1);
    CHECK(refused.error().code == Errc::no_memory);
    CHECK(refused.error().value == 20);
    CHECK(refusal.fired);
    const Result<MutBytes> b = first.allocate(30, 1);
    REQUIRE(b);
    CHECK(refusal.live == 2);
    second.deallocate(*a);
    second.deallocate(*b);
    CHECK(refusal.live == 0);
}

TEST_CASE("failing: with a countdown of 0 nothing is refused", "[failing]") {
    Refusal refusal;
    FailingAllocation<Heap> memory(refusal);
    for (int i = 0; i < 3; ++i) {
        const Result<MutBytes> block = memory.allocate(8, 8);
        REQUIRE(block);
        memory.deallocate(*block);
    }
    CHECK_FALSE(refusal.fired);
}

TEST_CASE("failing: what is refused below, or empty, is not out", "[failing]") {
    Refusal refusal;
    FailingAllocation<NoAllocation> none(refusal);
    CHECK_FALSE(none.allocate(1, 1));
    FailingAllocation<Heap> some(refusal);
    const Result<MutBytes> empty = some.allocate(0, 1);
    REQUIRE(empty);
    CHECK(refusal.live == 0);
    some.deallocate(*empty);
    CHECK(refusal.live == 0);
}
