// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <array>

#include <vdisk/storage/borrowed.hpp>
#include <vdisk/storage/counting.hpp>
#include <vdisk/storage/growable.hpp>
#include <vdisk/storage/memory.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"

using namespace vdisk;

namespace {
constexpr uint64_t far = ~uint64_t{0};

static_assert(!WritableStorage<MemoryStorage>);
static_assert(WritableStorage<Borrowed<GrowableMemory>>);
static_assert(ViewableStorage<Borrowed<GrowableMemory>>);
static_assert(ViewableStorage<Borrowed<const GrowableMemory>>);
static_assert(!WritableStorage<Borrowed<const GrowableMemory>>);
static_assert(!SparseStorage<Borrowed<GrowableMemory>>);
static_assert(std::copyable<Borrowed<GrowableMemory>>);
}  // namespace

TEMPLATE_TEST_CASE("memory: a range must lie inside", "[memory]", MemoryStorage, GrowableMemory) {
    const std::vector<byte> data = test::noise(100);
    const TestType file(data);
    std::vector<byte> out(40);
    REQUIRE(file.read(60, out));
    CHECK(std::ranges::equal(out, Bytes(data).subspan(60)));
    CHECK(file.read(61, out).error().code == Errc::invalid);
    CHECK(file.read(far, out).error().code == Errc::invalid);
    CHECK(file.read(100, {}));
    CHECK(file.read(101, {}).error().code == Errc::invalid);

    const Result<Bytes> view = file.view(60, 40);
    REQUIRE(view);
    CHECK(std::ranges::equal(*view, out));
    CHECK(file.view(60, 41).error().code == Errc::invalid);
    CHECK(file.view(2, far).error().code == Errc::invalid);
}

TEST_CASE("memory: growing gives zeros, writing grows nothing", "[memory]") {
    GrowableMemory file;
    const std::array<byte, 3> abc = {byte{1}, byte{2}, byte{3}};
    CHECK(file.write(0, abc).error().code == Errc::invalid);
    REQUIRE(file.resize(5));
    REQUIRE(file.write(2, abc));
    CHECK(file.write(3, abc).error().code == Errc::invalid);
    CHECK(file.write(far, abc).error().code == Errc::invalid);
    CHECK(file.write(5, {}));
    CHECK(std::ranges::equal(file.bytes(), std::array{byte{0}, byte{0}, abc[0], abc[1], abc[2]}));

    CHECK(file.resize(far).error().code == Errc::no_memory);
    CHECK(file.size() == 5);
    REQUIRE(file.resize(3));
    REQUIRE(file.resize(4));
    CHECK(file.bytes()[3] == byte{0});
}

TEST_CASE("borrowed: copies work on the one storage", "[borrowed]") {
    GrowableMemory file;
    Borrowed handle(file);
    Borrowed copy = handle;
    REQUIRE(copy.resize(4));
    REQUIRE(handle.write(3, std::array{byte{9}}));
    REQUIRE(handle.flush());
    CHECK(file.size() == 4);
    CHECK((*copy.view(3, 1))[0] == byte{9});
}

TEST_CASE("counting: copies count together, views are no reads", "[counting]") {
    GrowableMemory file(test::noise(64));
    Counters counters;
    CountingStorage handle{Borrowed(file), counters};
    auto copy = handle;
    std::array<byte, 10> out = {};
    REQUIRE(handle.read(0, out));
    REQUIRE_FALSE(copy.read(60, out));
    REQUIRE(copy.view(0, 64));
    REQUIRE(copy.write(0, out));
    REQUIRE(handle.resize(80));
    REQUIRE(handle.flush());
    CHECK(counters == Counters{2, 20, 1, 1, 10, 1, 1});
}
