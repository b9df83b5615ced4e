// SPDX-License-Identifier: BSL-1.0
#include <vdisk/core/guid.hpp>

#include "catch.hpp"

using namespace vdisk;

TEST_CASE("guid: nil is all zeros", "[core][guid]") {
    CHECK(Guid{}.is_nil());
    for (size_t i = 0; i != 16; ++i) {
        Guid guid;
        guid.bytes[i] = byte{1};
        CHECK_FALSE(guid.is_nil());
        CHECK_FALSE(guid == Guid{});
    }
}

TEST_CASE("guid: random bytes become version 4, of the variant of RFC 4122", "[core][guid]") {
    for (const byte all : {byte{0x00}, byte{0xFF}, byte{0x5A}}) {
        std::array<byte, 16> random;
        random.fill(all);
        const Guid guid = Guid::from_random(random);
        CHECK((guid.bytes[6] & byte{0xF0}) == byte{0x40});
        CHECK((guid.bytes[8] & byte{0xC0}) == byte{0x80});
        CHECK((guid.bytes[6] & byte{0x0F}) == (all & byte{0x0F}));
        CHECK((guid.bytes[8] & byte{0x3F}) == (all & byte{0x3F}));
        for (const size_t i : {0u, 5u, 7u, 9u, 15u}) CHECK(guid.bytes[i] == all);
        CHECK_FALSE(guid.is_nil());
    }
}
