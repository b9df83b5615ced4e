// SPDX-License-Identifier: BSL-1.0
// Which packed blocks are the same, and what a block that cannot be unpacked leaves behind.
#include <algorithm>

#include <vdisk/format/unpacker.hpp>

#include "catch.hpp"
#include "support/storages.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

constexpr uint32_t unit = 1024;
constexpr byte broken{0xFF};

// The byte at `at` of the block tells what it was made from.
byte expected(byte first, const Extent::Packed& packed, size_t at) {
    const size_t sum = static_cast<size_t>(first) + 3 * packed.stored + 5 * (packed.unit >> 9) +
                       7 * static_cast<size_t>(packed.packing) + at % 251;
    return static_cast<byte>(sum);
}

// Scribbles over the block before it finds that the stream is broken.
struct Echo {
    Status unpack(Packing packing, Bytes in, MutBytes out) {
        const Extent::Packed packed{.stored = static_cast<uint32_t>(in.size()),
                                    .unit = static_cast<uint32_t>(out.size()),
                                    .packing = packing};
        for (size_t i = 0; i != out.size(); ++i) out[i] = expected(in[0], packed, i);
        if (in[0] == broken) return corrupt("echo: broken");
        return {};
    }
};
static_assert(Codec<Echo>);

Extent extent(uint64_t at, Extent::Packed packed) {
    return {.kind = Kind::compressed, .at = at, .length = 100, .packed = packed};
}

// Streams begin at 0 and 200 (good), 100 (broken).
File streams() {
    File file(400, byte{9});
    file[100] = broken;
    file[200] = byte{77};
    return file;
}

}  // namespace

TEMPLATE_TEST_CASE("unpacker: blocks are the same if all but the piece is", "[unpacker]",
                   MemoryStorage, PagedMemory) {
    const File file = streams();
    const TestType storage{Bytes(file)};
    Unpacker<Heap, Echo> unpacker(Heap{}, Echo{});
    const auto is_right = [&](uint64_t at, const Extent::Packed& packed) {
        File out(100);
        if (!unpacker.unpack(storage, extent(at, packed), out)) return false;
        size_t i = packed.skip;
        return std::ranges::all_of(out,
                                   [&](byte b) { return b == expected(file[at], packed, i++); });
    };
    const Extent::Packed first{.stored = 20, .unit = unit};
    for (const Extent::Packed& other : {Extent::Packed{.stored = 21, .unit = unit},
                                        {.stored = 20, .unit = 512},
                                        {.stored = 20, .unit = 2 * unit},
                                        {.stored = 20, .unit = unit, .packing = Packing::zstd}}) {
        CAPTURE(other.stored, other.unit, static_cast<int>(other.packing));
        CHECK(is_right(0, first));
        CHECK(is_right(0, other));
        CHECK(is_right(0, first));
        CHECK(is_right(200, first));
    }
    for (const uint32_t skip : {0u, 1u, 500u, unit - 100}) {
        CHECK(is_right(0, {.stored = 20, .unit = unit, .skip = skip}));
    }
}

TEMPLATE_TEST_CASE("unpacker: a block that fails is not kept, nor what it overwrote", "[unpacker]",
                   MemoryStorage, PagedMemory) {
    const File file = streams();
    const TestType storage{Bytes(file)};
    Unpacker<Heap, Echo> unpacker(Heap{}, Echo{});
    const Extent::Packed packed{.stored = 20, .unit = unit, .skip = 3};
    const Extent good = extent(0, packed), bad = extent(100, packed);
    File first(100), again(100), lost(100);
    REQUIRE(unpacker.unpack(storage, good, first));
    for (int i = 0; i != 2; ++i) {
        const Status status = unpacker.unpack(storage, bad, lost);
        REQUIRE_FALSE(status);
        CHECK(status.error().code == Errc::corrupt);
    }
    REQUIRE(unpacker.unpack(storage, good, again));
    CHECK(again == first);
    CHECK(first[0] == expected(file[0], packed, 3));
    CHECK_FALSE(unpacker.unpack(storage, bad, lost));
}

TEMPLATE_TEST_CASE("unpacker: a whole block leaves the kept one alone", "[unpacker]", MemoryStorage,
                   PagedMemory) {
    const File file = streams();
    const TestType storage{Bytes(file)};
    Unpacker<Heap, Echo> unpacker(Heap{}, Echo{});
    const Extent::Packed packed{.stored = 20, .unit = unit};
    File piece(100), whole(unit), again(100);
    REQUIRE(unpacker.unpack(storage, extent(0, packed), piece));
    REQUIRE(unpacker.unpack(storage, extent(200, packed), whole));
    CHECK(whole[1] == expected(file[200], packed, 1));
    REQUIRE(unpacker.unpack(storage, extent(0, packed), again));
    CHECK(again == piece);
    CHECK_FALSE(unpacker.unpack(storage, extent(100, packed), whole));
}
