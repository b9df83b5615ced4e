// SPDX-License-Identifier: BSL-1.0
#include <array>

#include <vdisk/core/endian.hpp>
#include <vdisk/storage/load.hpp>
#include <vdisk/storage/memory.hpp>

#include "catch.hpp"

using namespace vdisk;

namespace {

// The first byte is there to be skipped: every load below is unaligned.
constexpr std::array<byte, 9> raw = {byte{0xEE}, byte{0x81}, byte{0x92}, byte{0xA3}, byte{0xB4},
                                     byte{0xC5}, byte{0xD6}, byte{0xE7}, byte{0xF8}};
constexpr const byte* from = raw.data() + 1;

static_assert(load_be16(from) == 0x8192);
static_assert(load_be32(from) == 0x8192A3B4);
static_assert(load_be64(from) == 0x8192A3B4C5D6E7F8);
static_assert(load_le32(from) == 0xB4A39281);
static_assert(load_le64(from) == 0xF8E7D6C5B4A39281);

struct Sample {
    uint8_t skipped;
    be16 big;
    le32 little;
    be16 last;
};
static_assert(OnDisk<Sample> && sizeof(Sample) == sizeof(raw));
static_assert(!OnDisk<uint32_t>);

}  // namespace

TEST_CASE("endian: members of on-disk structs have their own order", "[endian][load]") {
    const auto sample = load<Sample>(Bytes(raw));
    CHECK(sample.big.value() == 0x8192);
    CHECK(sample.little.value() == 0xD6C5B4A3);
    CHECK(sample.last.value() == 0xE7F8);
}

TEST_CASE("load: a struct past the end is an error", "[load]") {
    const MemoryStorage file{Bytes(raw)};
    const Result<be64> inside = load<be64>(file, 1);
    REQUIRE(inside);
    CHECK(inside->value() == 0x8192A3B4C5D6E7F8);
    CHECK(load<be64>(file, 2).error().code == Errc::invalid);
    CHECK(load<be64>(file, ~uint64_t{0}).error().code == Errc::invalid);
}
