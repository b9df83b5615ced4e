// SPDX-License-Identifier: BSL-1.0
#include <array>
#include <string_view>

#include <vdisk/codec/codecs.hpp>
#include <vdisk/codec/none.hpp>

#include "catch.hpp"

using namespace vdisk;

namespace {

// Knows one packing, answers with its number; fails if that is 0.
template <Packing P, int Number>
struct Stub {
    int calls = 0;
    static constexpr bool handles(Packing packing) { return packing == P; }
    Status unpack(Packing /*packing*/, Bytes /*in*/, MutBytes out) {
        ++calls;
        if (Number <= 0) return corrupt("test: this stub fails", {.value = uint64_t(-Number)});
        out[0] = byte{Number > 0 ? Number : 0};
        return {};
    }
};

// Packs as well: a block becomes the byte that is its number.
template <Packing P, int Number>
struct PackStub : Stub<P, Number> {
    Result<size_t> pack(Packing /*packing*/, Bytes /*in*/, MutBytes out) {
        if (Number <= 0) return fail(Errc::limit, "test: does not fit", {uint64_t(-Number)});
        out[0] = byte{Number > 0 ? Number : 0};
        return 1;
    }
};

using Deflate1 = Stub<Packing::deflate, 1>;
using Deflate2 = Stub<Packing::deflate, 2>;
using Zstd3 = Stub<Packing::zstd, 3>;
using Bad4 = Stub<Packing::deflate, -4>;
using Bad5 = Stub<Packing::deflate, -5>;

static_assert(PackingCodec<NoCodec> && !SelectiveCodec<NoCodec>);
static_assert(Codecs<Deflate1, Zstd3>::handles(Packing::zstd));
static_assert(!Codecs<Deflate1>::handles(Packing::zstd));

template <class C>
int answer(C codecs, Packing packing) {
    std::array<byte, 1> out = {};
    const Status status = codecs.unpack(packing, {}, out);
    return status ? std::to_integer<int>(out[0]) : -static_cast<int>(status.error().value);
}

template <class C>
int packed(C codecs, Packing packing) {
    std::array<byte, 1> out = {};
    const Result<size_t> size = codecs.pack(packing, {}, out);
    if (!size) return -static_cast<int>(size.error().value);
    return *size == 1 ? std::to_integer<int>(out[0]) : 0;
}

}  // namespace

TEST_CASE("codecs: the first that succeeds wins", "[codec]") {
    CHECK(answer(Codecs<Deflate1, Deflate2, Zstd3>{}, Packing::deflate) == 1);
    CHECK(answer(Codecs<Deflate1, Deflate2, Zstd3>{}, Packing::zstd) == 3);
    CHECK(answer(Codecs<Bad4, Zstd3, Deflate2>{}, Packing::deflate) == 2);
    CHECK(answer(Codecs<Codecs<Bad4>, Codecs<Zstd3, Deflate2>>{}, Packing::deflate) == 2);
}

TEST_CASE("codecs: where all fail, the last one tells why", "[codec]") {
    CHECK(answer(Codecs<Bad5, Bad4, Zstd3>{}, Packing::deflate) == -4);
}

TEST_CASE("codecs: a packing that nobody handles is named", "[codec]") {
    std::array<byte, 1> out = {};
    const Status zstd = Codecs<Deflate1>{}.unpack(Packing::zstd, {}, out);
    CHECK(zstd.error().code == Errc::unsupported);
    CHECK(zstd.error().what == std::string_view("codec: zstd is not part of this build"));
    const Status deflate = Codecs<>{}.unpack(Packing::deflate, {}, out);
    CHECK(deflate.error().what == std::string_view("codec: deflate is not part of this build"));
    CHECK(NoCodec{}.unpack(Packing::zstd, {}, out).error().code == Errc::unsupported);
}

TEST_CASE("codecs: the first that can pack packs", "[codec]") {
    using Pack6 = PackStub<Packing::deflate, 6>;
    using Pack7 = PackStub<Packing::deflate, 7>;
    using Full8 = PackStub<Packing::deflate, -8>;
    using Zstd9 = PackStub<Packing::zstd, 9>;
    STATIC_REQUIRE(!PackingCodec<Deflate1>);
    STATIC_REQUIRE(PackingCodec<Codecs<Pack6, Deflate1>>);
    CHECK(packed(Codecs<Deflate1, Zstd9, Pack6, Pack7>{}, Packing::deflate) == 6);
    CHECK(packed(Codecs<Deflate1, Zstd9, Pack6, Pack7>{}, Packing::zstd) == 9);
    CHECK(packed(Codecs<Codecs<Deflate1>, Codecs<Zstd9, Pack7>>{}, Packing::deflate) == 7);
    CHECK(packed(Codecs<Full8, Pack6>{}, Packing::deflate) == -8);  // a larger one would not fit

    std::array<byte, 1> out = {};
    const Result<size_t> none = Codecs<Deflate1, Zstd9>{}.pack(Packing::deflate, {}, out);
    CHECK(none.error().code == Errc::unsupported);
    CHECK(none.error().what == std::string_view("codec: deflate is not part of this build"));
    CHECK(NoCodec{}.pack(Packing::deflate, {}, out).error().code == Errc::unsupported);
}
