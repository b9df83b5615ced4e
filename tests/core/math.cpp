// SPDX-License-Identifier: BSL-1.0
#include <vdisk/core/math.hpp>

#include "catch.hpp"

using namespace vdisk;

namespace {
constexpr uint64_t top = std::numeric_limits<uint64_t>::max();
}

TEST_CASE("math: fits never wraps", "[math]") {
    STATIC_REQUIRE(fits(0, 0, 0));
    STATIC_REQUIRE(fits(10, 0, 10));
    STATIC_REQUIRE(fits(9, 1, 10));
    STATIC_REQUIRE(fits(0, top, top));
    STATIC_REQUIRE(fits(top, 0, top));
    STATIC_REQUIRE_FALSE(fits(10, 1, 10));
    STATIC_REQUIRE_FALSE(fits(11, 0, 10));
    STATIC_REQUIRE_FALSE(fits(5, top, 10));
    STATIC_REQUIRE_FALSE(fits(top, 1, top));
    STATIC_REQUIRE_FALSE(fits(top, top, top));
    STATIC_REQUIRE_FALSE(fits(top - 4, 10, 10));
}

TEST_CASE("math: ranges overlap only where they share a byte", "[math]") {
    STATIC_REQUIRE(overlaps(0, 10, 9, 1));
    STATIC_REQUIRE(overlaps(9, 1, 0, 10));
    STATIC_REQUIRE(overlaps(3, 1, 3, 1));
    STATIC_REQUIRE(overlaps(0, top, top - 1, 1));
    STATIC_REQUIRE_FALSE(overlaps(0, 10, 10, 1));
    STATIC_REQUIRE_FALSE(overlaps(10, 1, 0, 10));
    STATIC_REQUIRE_FALSE(overlaps(0, top - 1, top - 1, 1));
    STATIC_REQUIRE_FALSE(overlaps(0, 0, 1, 5));
}

TEST_CASE("math: blocks and alignment hold up to the last byte", "[math]") {
    STATIC_REQUIRE(blocks(0, 9) == 0);
    STATIC_REQUIRE(blocks(1, 9) == 1);
    STATIC_REQUIRE(blocks(512, 9) == 1);
    STATIC_REQUIRE(blocks(513, 9) == 2);
    STATIC_REQUIRE(blocks(top, 0) == top);
    STATIC_REQUIRE(blocks(top, 9) == uint64_t{1} << 55);
    STATIC_REQUIRE(blocks(top, 63) == 2);
    STATIC_REQUIRE(align_down(511, 9) == 0);
    STATIC_REQUIRE(align_down(512, 9) == 512);
    STATIC_REQUIRE(align_down(top, 9) == top - 511);
    STATIC_REQUIRE(align_down(top, 0) == top);
    STATIC_REQUIRE(is_aligned(top, 0));
    STATIC_REQUIRE(is_aligned(uint64_t{1} << 63, 63));
    STATIC_REQUIRE_FALSE(is_aligned(top, 1));
}

TEST_CASE("math: powers of two", "[math]") {
    volatile unsigned bits = 40;  // not known to the compiler
    CHECK(power_of_two(bits) == uint64_t{1} << 40);
    CHECK(is_aligned(uint64_t{3} << 40, bits));
    CHECK_FALSE(is_aligned((uint64_t{3} << 40) + 1, bits));
    CHECK(align_down((uint64_t{3} << 40) + 77, bits) == uint64_t{3} << 40);
    static_assert(is_power_of_two(1) && is_power_of_two(uint64_t{1} << 63));
    static_assert(!is_power_of_two(0) && !is_power_of_two(3));
}
