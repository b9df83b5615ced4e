// SPDX-License-Identifier: BSL-1.0
#include <string_view>

#include <vdisk/core/crc32c.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

Bytes ascii(std::string_view text) { return std::as_bytes(std::span(text)); }

// Bit by bit, as the polynomial has it.
uint32_t slowly(Bytes in) {
    uint32_t state = ~0u;
    for (const byte b : in) {
        state ^= static_cast<uint32_t>(b);
        for (int bit = 0; bit < 8; ++bit) {
            state = state >> 1 ^ ((state & 1) != 0 ? 0x82F63B78u : 0u);
        }
    }
    return ~state;
}

constexpr uint32_t of_digits() {
    std::array<byte, 9> digits{};
    for (size_t i = 0; i != digits.size(); ++i) digits[i] = static_cast<byte>('1' + i);
    return crc32c(digits);
}
static_assert(of_digits() == 0xE3069283);
static_assert(crc32c(std::array<byte, 32>{}) == 0x8A9136AA);
static_assert(crc32c(Bytes{}) == 0);

}  // namespace

TEST_CASE("crc32c: known values", "[core][crc32c]") {
    CHECK(crc32c(ascii("123456789")) == 0xE3069283);
    CHECK(crc32c(ascii("a")) == 0xC1D04330);
    CHECK(crc32c({}) == 0);
    std::vector<byte> bytes(32);
    CHECK(crc32c(bytes) == 0x8A9136AA);
    bytes.assign(32, byte{0xFF});
    CHECK(crc32c(bytes) == 0x62A8AB43);
    for (size_t i = 0; i != bytes.size(); ++i) bytes[i] = static_cast<byte>(i);
    CHECK(crc32c(bytes) == 0x46DD794E);
    for (size_t i = 0; i != bytes.size(); ++i) bytes[i] = static_cast<byte>(31 - i);
    CHECK(crc32c(bytes) == 0x113FDB5C);
}

TEST_CASE("crc32c: with the instruction and without, at every length and alignment",
          "[core][crc32c]") {
    const std::vector<byte> bytes = noise(300);
    for (size_t from = 0; from != 9; ++from) {
        for (size_t length = 0; length != 200; ++length) {
            const Bytes in = Bytes(bytes).subspan(from, length);
            const uint32_t wanted = slowly(in);
            if (crc32c(in) != wanted || ~crc::portable(in, ~0u) != wanted) {
                FAIL_CHECK("from " << from << ", length " << length);
            }
            if (crc::has_instruction() && ~crc::by_instruction(in, ~0u) != wanted) {
                FAIL_CHECK("instruction: from " << from << ", length " << length);
            }
        }
    }
    const std::vector<byte> many = noise(64 << 10, 7);
    CHECK(crc32c(many) == slowly(many));
}

TEST_CASE("crc32c: goes on from a sum of what stands before", "[core][crc32c]") {
    const std::vector<byte> bytes = noise(100);
    const uint32_t whole = crc32c(bytes);
    for (size_t cut = 0; cut <= bytes.size(); ++cut) {
        const Bytes all(bytes);
        CAPTURE(cut);
        CHECK(crc32c(all.subspan(cut), crc32c(all.first(cut))) == whole);
        CHECK(~crc::portable(all.subspan(cut), crc::portable(all.first(cut), ~0u)) == whole);
    }
}
