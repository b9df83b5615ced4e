// SPDX-License-Identifier: BSL-1.0
#if __has_include(<zstd.h>)
#include <vdisk/codec/zstd.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"

using namespace vdisk;

namespace {

std::vector<byte> packed(Bytes in) {
    std::vector<byte> out(ZSTD_compressBound(in.size()));
    const size_t size = ZSTD_compress(out.data(), out.size(), in.data(), in.size(), 3);
    REQUIRE_FALSE(ZSTD_isError(size));
    out.resize(size);
    return out;
}

// A frame that does not say how much it holds, with a window of 2^window_bits.
std::vector<byte> streamed(Bytes in, int window_bits) {
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_bits);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    std::vector<byte> out(ZSTD_compressBound(in.size()) + 100);
    ZSTD_inBuffer from = {in.data(), in.size(), 0};
    ZSTD_outBuffer to = {out.data(), out.size(), 0};
    REQUIRE_FALSE(ZSTD_isError(ZSTD_compressStream2(context, &to, &from, ZSTD_e_continue)));
    REQUIRE(ZSTD_compressStream2(context, &to, &from, ZSTD_e_end) == 0);
    out.resize(to.pos);
    ZSTD_freeCCtx(context);
    return out;
}

// A frame header that asks for a window of 128 MiB, then one raw byte (RFC 8878, 3.1.1.1).
const std::vector<byte> bomb = {byte{0x28},    byte{0xB5}, byte{0x2F}, byte{0xFD}, byte{0x00},
                                byte{17 << 3}, byte{0x09}, byte{0},    byte{0},    byte{'x'}};

}  // namespace

TEST_CASE("zstd: reads frames of every kind", "[codec][zstd]") {
    Zstd codec;
    const std::vector<byte> data = GENERATE(test::prose(65536), test::noise(65536));
    const Bytes all = data;
    const std::vector<byte> stream =
        GENERATE_REF(packed(all), streamed(all, 16), streamed(all, 10),
                     test::joined(packed(all.first(1000)), packed(all.subspan(1000))),
                     test::joined(streamed(all.first(30000), 12), packed(all.subspan(30000))));
    std::vector<byte> out(data.size());
    REQUIRE(codec.unpack(Packing::zstd, stream, out));
    CHECK(out == data);

    SECTION("bytes after the stream are ignored") {
        out.assign(out.size(), byte{0});
        REQUIRE(codec.unpack(Packing::zstd, test::joined(stream, test::noise(700)), out));
        CHECK(out == data);
    }
    SECTION("a stream may hold more than the block") {
        std::vector<byte> part(40000);
        REQUIRE(codec.unpack(Packing::zstd, stream, part));
        CHECK(std::equal(part.begin(), part.end(), data.begin()));
    }
    SECTION("a truncated stream is an error, and the codec recovers") {
        for (const size_t size : {size_t{0}, size_t{3}, stream.size() / 2, stream.size() - 20}) {
            const Status status = codec.unpack(Packing::zstd, Bytes(stream).first(size), out);
            REQUIRE_FALSE(status);
            CHECK(status.error().code == Errc::corrupt);
        }
        Zstd moved = std::move(codec);
        CHECK(moved.unpack(Packing::zstd, stream, out));
    }
    SECTION("a stream that ends before the block is full is an error") {
        out.resize(out.size() + 1);
        CHECK(codec.unpack(Packing::zstd, stream, out).error().code == Errc::corrupt);
    }
    SECTION("a damaged stream is an error") {
        std::vector<byte> damaged = stream;
        damaged[0] ^= byte{1};
        CHECK(codec.unpack(Packing::zstd, damaged, out).error().code == Errc::corrupt);
    }
}

TEST_CASE("zstd: a window beyond the block is refused", "[codec][zstd]") {
    Zstd codec;
    std::vector<byte> out(65536);
    CHECK(codec.unpack(Packing::zstd, bomb, out).error().code == Errc::limit);
    const std::vector<byte> data = test::prose(200000);
    out.resize(100000);  // allows 128 KiB
    CHECK(codec.unpack(Packing::zstd, streamed(data, 17), out));
    CHECK(codec.unpack(Packing::zstd, streamed(data, 18), out).error().code == Errc::limit);
    out.resize(1);
    CHECK(codec.unpack(Packing::zstd, streamed(data, 10), out));
    CHECK(codec.unpack(Packing::zstd, streamed(data, 11), out).error().code == Errc::limit);
}

TEST_CASE("zstd: refuses deflate, needs no stream for an empty block", "[codec][zstd]") {
    std::vector<byte> out(1);
    CHECK(Zstd{}.unpack(Packing::deflate, {}, out).error().code == Errc::unsupported);
    CHECK(Zstd{}.unpack(Packing::zstd, {}, {}));
}
#endif
