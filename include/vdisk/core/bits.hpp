// SPDX-License-Identifier: BSL-1.0
// Runs of equal bits in sector bitmaps.
#pragma once

#include <bit>

#include <vdisk/core/endian.hpp>

namespace vdisk {

/// Which bit of a byte is the first: the most or the least significant one.
enum class BitOrder : uint8_t { msb_first, lsb_first };

/// A value and how often it comes.
struct BitRun {
    bool value = false;
    uint64_t length = 0;
};

/// The run of equal bits that begins at bit `first` of `bits`, at most `limit` (> 0) long; not
/// beyond the end of `bits`, a multiple of 8 bytes.
template <BitOrder Order>
[[nodiscard]] constexpr BitRun bit_run(Bytes bits, uint64_t first, uint64_t limit) {
    // A word in which the bits come most significant first or last, whatever the machine.
    const auto word = [&](uint64_t index) {
        const byte* const p = bits.data() + index * 8;
        return Order == BitOrder::msb_first ? load_be64(p) : load_le64(p);
    };
    const auto skip = [](uint64_t w, unsigned n) {
        return Order == BitOrder::msb_first ? w << n : w >> n;
    };
    const auto zeros = [](uint64_t w) {
        return static_cast<unsigned>(Order == BitOrder::msb_first ? std::countl_zero(w)
                                                                  : std::countr_zero(w));
    };
    const auto offset = static_cast<unsigned>(first & 63);
    uint64_t w = word(first >> 6);
    const bool value = zeros(skip(w, offset)) == 0;
    const uint64_t flip = value ? ~uint64_t{0} : 0;
    uint64_t length = zeros(skip(w ^ flip, offset));
    if (length > 63 - offset) length = 64 - offset;
    for (uint64_t i = (first >> 6) + 1; ((first + length) & 63) == 0 && length < limit; ++i) {
        if (i >= bits.size() / 8) break;
        w = word(i) ^ flip;
        length += zeros(w);
        if (w != 0) break;
    }
    return {value, length < limit ? length : limit};
}

/// Makes [first, first + count) of `bits` equal to `value`.
template <BitOrder Order>
constexpr void fill_bits(MutBytes bits, uint64_t first, uint64_t count, bool value) {
    for (uint64_t bit = first; bit < first + count;) {
        const auto in_byte = static_cast<unsigned>(bit & 7);
        const uint64_t rest = first + count - bit;
        const unsigned n = rest < 8 - in_byte ? static_cast<unsigned>(rest) : 8 - in_byte;
        const unsigned ones = (1u << n) - 1;
        const unsigned shift = Order == BitOrder::msb_first ? 8 - in_byte - n : in_byte;
        byte& b = bits[static_cast<size_t>(bit >> 3)];
        if (value) b |= static_cast<byte>(ones << shift);
        else b &= static_cast<byte>(~(ones << shift) & 0xFF);
        bit += n;
    }
}

/// Makes [first, first + count) of `bits` ones.
template <BitOrder Order>
constexpr void set_bits(MutBytes bits, uint64_t first, uint64_t count) {
    fill_bits<Order>(bits, first, count, true);
}

}  // namespace vdisk
