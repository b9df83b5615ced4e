// SPDX-License-Identifier: BSL-1.0
#include <memory>
#include <optional>
#include <string_view>

#include <vdisk/core/result.hpp>

#include "catch.hpp"

using namespace vdisk;

namespace {

constexpr Result<int> half(int n) {
    if (n % 2 != 0) return invalid("test: odd", {.value = static_cast<uint64_t>(n)});
    return n / 2;
}

constexpr Status check(bool good) {
    if (!good) return corrupt("test: bad", {.at = 7});
    return {};
}

static_assert(half(4) && *half(4) == 2);
static_assert(!half(3) && half(3).error().code == Errc::invalid && half(3).error().value == 3);
static_assert(half(3).error().at == Error::none);
static_assert(check(true) && !check(false) && check(false).error().at == 7);
// A Result says yes or no only where that is asked for.
static_assert(!std::is_convertible_v<Status, bool> && !std::is_convertible_v<Result<int>, int>);
static_assert(!std::is_default_constructible_v<Result<int>>);

}  // namespace

TEST_CASE("result: holds what can only be moved", "[result]") {
    Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
    REQUIRE(result);
    CHECK(**result == 5);
    const std::unique_ptr<int> taken = *std::move(result);
    CHECK(*taken == 5);
}

TEST_CASE("result: an error goes from one type to another unchanged", "[result]") {
    const Result<int> first = half(3);
    const Result<std::string_view> second = first.error();
    REQUIRE_FALSE(second);
    CHECK(second.error().what == std::string_view("test: odd"));
    CHECK(second.error().os == 0);
}

TEST_CASE("result: takes another value, or an error, in its place", "[result]") {
    Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
    result = corrupt("test: gone");
    REQUIRE_FALSE(result);
    result = Result<std::unique_ptr<int>>(std::make_unique<int>(6));
    REQUIRE(result);
    CHECK(**result == 6);
    Result<int> number = half(4);
    const Result<int> copy = number;
    number = half(3);
    CHECK_FALSE(number);
    CHECK(*copy == 2);
    CHECK_FALSE(*Result<std::optional<int>>(std::in_place));
    Result<std::unique_ptr<int>>& same = result;
    result = std::move(same);
    CHECK(**result == 6);
}
