// SPDX-License-Identifier: BSL-1.0
#if __has_include(<zlib.h>)
#include <string_view>

#include <vdisk/codec/system.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"

using namespace vdisk;

namespace {

std::vector<byte> deflated(Bytes in, int window_bits = 15) {
    z_stream stream = {};
    REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, -window_bits, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    std::vector<byte> out(deflateBound(&stream, in.size()));
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<byte*>(in.data()));
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

}  // namespace

#if __has_include(<libdeflate.h>)
TEMPLATE_TEST_CASE("deflate: reads what zlib wrote", "[codec][deflate]", Zlib, Libdeflate,
                   SystemCodecs) {
#else
TEMPLATE_TEST_CASE("deflate: reads what zlib wrote", "[codec][deflate]", Zlib, SystemCodecs) {
#endif
    TestType codec;
    const std::vector<byte> data =
        GENERATE(test::prose(65536), test::noise(65536), test::far_matches());
    std::vector<byte> stream = deflated(data, GENERATE(12, 15));
    std::vector<byte> out(data.size());
    REQUIRE(codec.unpack(Packing::deflate, stream, out));
    CHECK(out == data);

    SECTION("bytes after the stream are ignored") {
        stream.insert(stream.end(), 700, byte{0xFF});
        out.assign(out.size(), byte{0});
        REQUIRE(codec.unpack(Packing::deflate, stream, out));
        CHECK(out == data);
    }
    SECTION("a truncated stream is an error, and the codec recovers") {
        for (const size_t size : {size_t{0}, size_t{1}, stream.size() / 2, stream.size() - 20}) {
            const Status status = codec.unpack(Packing::deflate, Bytes(stream).first(size), out);
            REQUIRE_FALSE(status);
            CHECK(status.error().code == Errc::corrupt);
        }
        TestType moved = std::move(codec);
        CHECK(moved.unpack(Packing::deflate, stream, out));
    }
    SECTION("a stream that ends before the block is full is an error") {
        out.resize(out.size() + 1);
        const Status status = codec.unpack(Packing::deflate, stream, out);
        REQUIRE_FALSE(status);
        CHECK(status.error().what == std::string_view("codec: deflate stream ends too early"));
    }
    SECTION("a damaged stream is an error") {
        stream[0] = byte{0x07};  // block type 3 does not exist
        CHECK(codec.unpack(Packing::deflate, stream, out).error().code == Errc::corrupt);
    }
    SECTION("an empty block needs no stream") { CHECK(codec.unpack(Packing::deflate, {}, {})); }
}

TEST_CASE("zlib: a stream may hold more than the block", "[codec][deflate]") {
    const std::vector<byte> data = test::prose(65536);
    const std::vector<byte> stream = deflated(data);
    for (const size_t size : {size_t{1}, size_t{4096}, size_t{65535}}) {
        std::vector<byte> out(size);
        REQUIRE(Zlib{}.unpack(Packing::deflate, stream, out));
        CHECK(std::equal(out.begin(), out.end(), data.begin()));
        REQUIRE(SystemCodecs{}.unpack(Packing::deflate, stream, out));
        CHECK(std::equal(out.begin(), out.end(), data.begin()));
#if __has_include(<libdeflate.h>)
        CHECK(Libdeflate{}.unpack(Packing::deflate, stream, out).error().code == Errc::unsupported);
#endif
    }
}

TEST_CASE("zlib: refuses zstd", "[codec][deflate]") {
    std::vector<byte> out(1);
    CHECK(Zlib{}.unpack(Packing::zstd, {}, out).error().code == Errc::unsupported);
}
#endif
