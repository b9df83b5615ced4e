// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <vector>

#include <vdisk/core/bits.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"

using namespace vdisk;

namespace {

template <BitOrder Order>
bool bit(Bytes bits, uint64_t i) {
    const unsigned shift = Order == BitOrder::msb_first ? 7 - i % 8 : i % 8;
    return (static_cast<unsigned>(bits[i / 8]) >> shift & 1) != 0;
}

template <BitOrder Order>
BitRun slow_run(Bytes bits, uint64_t first, uint64_t limit) {
    BitRun run{bit<Order>(bits, first), 0};
    while (run.length < limit && first + run.length < bits.size() * 8 &&
           bit<Order>(bits, first + run.length) == run.value) {
        ++run.length;
    }
    return run;
}

template <BitOrder Order>
int wrong_runs(Bytes bits) {
    int wrong = 0;
    for (uint64_t first = 0; first != bits.size() * 8; ++first) {
        for (const uint64_t limit : {1u, 2u, 63u, 64u, 65u, 127u, 128u, 1000u}) {
            const BitRun run = bit_run<Order>(bits, first, limit);
            const BitRun wanted = slow_run<Order>(bits, first, limit);
            wrong += run.value != wanted.value || run.length != wanted.length;
        }
    }
    return wrong;
}

}  // namespace

TEST_CASE("bits: the first bit of a byte", "[core][bits]") {
    std::vector<byte> bits(8);
    bits[0] = byte{0x80};
    CHECK(bit_run<BitOrder::msb_first>(bits, 0, 64).value);
    CHECK(bit_run<BitOrder::msb_first>(bits, 0, 64).length == 1);
    CHECK_FALSE(bit_run<BitOrder::lsb_first>(bits, 0, 64).value);
    CHECK(bit_run<BitOrder::lsb_first>(bits, 0, 64).length == 7);
}

TEST_CASE("bits: runs from everywhere, in both orders", "[core][bits]") {
    std::vector<std::vector<byte>> patterns = {std::vector<byte>(24),
                                               std::vector<byte>(24, byte{0xFF}), test::noise(24)};
    for (uint64_t at = 0; at < 192; at += 7) {  // two edges at a time, near and far
        std::vector<byte> bits(24);
        set_bits<BitOrder::msb_first>(bits, at, std::min<uint64_t>(at + 1, 192 - at));
        patterns.push_back(bits);
    }
    for (const std::vector<byte>& bits : patterns) {
        CHECK(wrong_runs<BitOrder::msb_first>(bits) == 0);
        CHECK(wrong_runs<BitOrder::lsb_first>(bits) == 0);
    }
}

TEST_CASE("bits: set_bits sets those and no others", "[core][bits]") {
    int wrong = 0;
    for (uint64_t first = 0; first != 40; ++first) {
        for (uint64_t count = 0; first + count <= 40; ++count) {
            std::vector<byte> msb(5), lsb(5);
            set_bits<BitOrder::msb_first>(msb, first, count);
            set_bits<BitOrder::lsb_first>(lsb, first, count);
            for (uint64_t i = 0; i != 40; ++i) {
                const bool wanted = i >= first && i < first + count;
                wrong += bit<BitOrder::msb_first>(msb, i) != wanted;
                wrong += bit<BitOrder::lsb_first>(lsb, i) != wanted;
            }
        }
    }
    CHECK(wrong == 0);
}
