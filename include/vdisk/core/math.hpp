// SPDX-License-Identifier: BSL-1.0
// Arithmetic that cannot wrap: ranges, alignment, counts of blocks.
#pragma once

#include <vdisk/core/types.hpp>

namespace vdisk {

/// True if [at, at + length) lies inside [0, size). Subtracts, so no operand can make it wrap.
[[nodiscard]] constexpr bool fits(uint64_t at, uint64_t length, uint64_t size) {
    return at <= size && length <= size - at;
}

/// True if [a, a + a_length) and [b, b + b_length) share a byte. Neither range may wrap.
[[nodiscard]] constexpr bool overlaps(uint64_t a, uint64_t a_length, uint64_t b,
                                      uint64_t b_length) {
    return a < b ? b - a < a_length : a - b < b_length;
}

namespace narrow {

// Shifting 64 bits by a number of bits not known takes a processor of 32 bits six instructions:
// there they are kept in one place.
[[gnu::noinline, gnu::const]] constexpr uint64_t power_of_two(unsigned bits) {
    return uint64_t{1} << bits;
}
[[gnu::noinline, gnu::const]] constexpr bool is_aligned(uint64_t value, unsigned bits) {
    return (value & (power_of_two(bits) - 1)) == 0;
}
constexpr bool wanted(unsigned bits) {
    return sizeof(size_t) < sizeof(uint64_t) && !__builtin_constant_p(bits);
}

}  // namespace narrow

/// 2^bits.
[[nodiscard]] constexpr uint64_t power_of_two(unsigned bits) {
    return narrow::wanted(bits) ? narrow::power_of_two(bits) : uint64_t{1} << bits;
}

[[nodiscard]] constexpr bool is_aligned(uint64_t value, unsigned bits) {
    return narrow::wanted(bits) ? narrow::is_aligned(value, bits)
                                : (value & (power_of_two(bits) - 1)) == 0;
}

/// As std::has_single_bit, which counts bits: a table in processors that cannot.
[[nodiscard]] constexpr bool is_power_of_two(uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

/// How many blocks of 2^bits bytes hold `size` bytes; the last may be partly used.
[[nodiscard]] constexpr uint64_t blocks(uint64_t size, unsigned bits) {
    return (size >> bits) + (is_aligned(size, bits) ? 0 : 1);
}

/// `value` rounded down to a multiple of 2^bits.
[[nodiscard]] constexpr uint64_t align_down(uint64_t value, unsigned bits) {
    return value & ~(power_of_two(bits) - 1);
}

}  // namespace vdisk
