// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <vector>

#include <vdisk/codec/inflate.hpp>
#include <vdisk/codec/zlib.hpp>

#include "catch.hpp"

using namespace vdisk;

namespace {

std::vector<byte> sample() {
    std::vector<byte> out(65536);
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<byte>((i * i >> 7) % 251);
    return out;
}

std::vector<byte> packed(const std::vector<byte>& block) {
    std::vector<byte> out(block.size());
    const auto size = Zlib().pack(Packing::deflate, block, out);
    REQUIRE(size);
    out.resize(*size);
    return out;
}

}  // namespace

TEST_CASE("inflate: unpacks blocks, and the fronts of blocks, in 8 KiB", "[codec][inflate]") {
    const std::vector<byte> block = sample();
    const std::vector<byte> stream = packed(block);
    std::vector<byte> memory(Inflate::memory_needed);
    Inflate codec(memory);
    for (const size_t length : {block.size(), size_t{512}, size_t{40000}, size_t{1}}) {
        std::vector<byte> out(length);
        REQUIRE(codec.unpack(Packing::deflate, stream, out));
        CHECK(std::equal(out.begin(), out.end(), block.begin()));
    }
}

TEST_CASE("inflate: what cannot be unpacked is told", "[codec][inflate]") {
    const std::vector<byte> stream = packed(sample());
    std::vector<byte> memory(Inflate::memory_needed), out(65536), small(1000);
    Inflate codec(memory);
    CHECK(codec.unpack(Packing::zstd, stream, out).error().code == Errc::unsupported);
    const Bytes half = Bytes(stream).first(stream.size() / 2);
    CHECK(codec.unpack(Packing::deflate, half, out).error().code == Errc::corrupt);
    std::vector<byte> damaged(stream.size(), byte{0xFF});
    CHECK(codec.unpack(Packing::deflate, damaged, out).error().code == Errc::corrupt);
    CHECK(Inflate(small).unpack(Packing::deflate, stream, out).error().code == Errc::no_memory);
    CHECK(Inflate(MutBytes(small).first(1)).unpack(Packing::deflate, stream, out).error().code ==
          Errc::no_memory);
    CHECK(codec.unpack(Packing::deflate, stream, out));
    CHECK(codec.unpack(Packing::deflate, {}, {}));  // a block of nothing
}
