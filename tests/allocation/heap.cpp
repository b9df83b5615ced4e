// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <limits>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/allocation/limited.hpp>
#include <vdisk/allocation/none.hpp>

#include "catch.hpp"

using namespace vdisk;

// Where the address sanitizer is on, its operator new shall return null instead of ending the test.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }

TEST_CASE("heap: blocks are aligned and writable to the last byte", "[heap]") {
    Heap heap;
    for (const size_t align : {size_t{1}, size_t{16}, size_t{512}, size_t{4096}}) {
        for (const size_t bytes : {size_t{1}, size_t{17}, size_t{512}, size_t{70000}}) {
            const Result<MutBytes> block = heap.allocate(bytes, align);
            REQUIRE(block);
            CHECK(block->size() == std::max(bytes, align));
            CHECK(reinterpret_cast<uintptr_t>(block->data()) % align == 0);
            std::ranges::fill(*block, byte{1});
            heap.deallocate(*block);
        }
    }
    CHECK(heap.allocate(0, 1)->empty());
    heap.deallocate({});
}

TEST_CASE("heap: what cannot be had is an error", "[heap]") {
    Heap heap;
    CHECK(heap.allocate(8192, 8192).error().code == Errc::no_memory);
    CHECK(heap.allocate(std::numeric_limits<size_t>::max() / 2, 1).error().code == Errc::no_memory);
}

TEST_CASE("none: never has any", "[allocation]") {
    CHECK(NoAllocation{}.allocate(1, 1).error().code == Errc::no_memory);
}

TEST_CASE("limited: copies share the ceiling", "[limited]") {
    static_assert(Allocation<Limited<Heap>>);
    Budget budget{.ceiling = 100};
    Limited<Heap> first(budget);
    Limited<Heap> second = first;
    const Result<MutBytes> a = first.allocate(60, 1);
    REQUIRE(a);
    CHECK(second.allocate(41, 1).error().code == Errc::no_memory);
    CHECK(second.allocate(std::numeric_limits<size_t>::max(), 1).error().code == Errc::no_memory);
    const Result<MutBytes> b = second.allocate(40, 1);
    REQUIRE(b);
    CHECK(budget.used == 100);
    first.deallocate(*a);
    CHECK(budget.used == 40);
    second.deallocate(*b);
    CHECK(budget.used == 0);
    CHECK(budget.peak == 100);
}

TEST_CASE("limited: a failure below costs nothing", "[limited]") {
    Budget budget{.ceiling = 100};
    Limited<NoAllocation> none(budget);
    CHECK_FALSE(none.allocate(10, 1));
    CHECK(budget.used == 0);
}

TEST_CASE("buffer: gives back what it took, moved or grown", "[buffer]") {
    Budget budget{.ceiling = 1000};
    {
        Buffer buffer{Limited<Heap>(budget)};
        REQUIRE(buffer.reserve(100));
        CHECK(buffer.reserve(50)->size() == 50);
        REQUIRE(buffer.reserve(200));
        CHECK(budget.used == 200);
        CHECK(buffer.reserve(5000).error().code == Errc::no_memory);
        CHECK(buffer.bytes().empty());
        REQUIRE(buffer.reserve(300));
        Buffer moved = std::move(buffer);
        CHECK(moved.bytes().size() == 300);
        CHECK(budget.used == 300);
    }
    CHECK(budget.used == 0);
}
