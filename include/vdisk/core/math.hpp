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

[[nodiscard]] constexpr bool is_aligned(uint64_t value, unsigned bits) {
    return (value & ((uint64_t{1} << bits) - 1)) == 0;
}

/// How many blocks of 2^bits bytes hold `size` bytes; the last may be partly used.
[[nodiscard]] constexpr uint64_t blocks(uint64_t size, unsigned bits) {
    return (size >> bits) + (is_aligned(size, bits) ? 0 : 1);
}

/// `value` rounded down to a multiple of 2^bits.
[[nodiscard]] constexpr uint64_t align_down(uint64_t value, unsigned bits) {
    return value >> bits << bits;
}

}  // namespace vdisk
