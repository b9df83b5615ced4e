// SPDX-License-Identifier: BSL-1.0
// Packing: every stream is read back by every codec that knows it, and fits where it was put.
#if __has_include(<zlib.h>) && __has_include(<libdeflate.h>) && __has_include(<zstd.h>)
#include <array>
#include <string_view>

#include <vdisk/codec/system.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"

using namespace vdisk;

namespace {

template <class C, Packing P>
struct Subject {
    using Codec = C;
    static constexpr Packing packing = P;
};

// Blocks of all kinds, in sizes around those that formats have.
const std::vector<std::vector<byte>>& blocks() {
    static const std::vector<std::vector<byte>> all = [] {
        std::vector<std::vector<byte>> list;
        for (const size_t size : {0u, 1u, 2u, 511u, 512u, 4096u, 65536u, 65537u, 1u << 21}) {
            list.emplace_back(size);
            list.push_back(test::noise(size));
            list.push_back(test::prose(size));
            list.push_back(test::joined(test::prose(size / 2), test::noise(size - size / 2)));
        }
        list.push_back(test::far_matches());
        return list;
    }();
    return all;
}

constexpr byte guard{0xC7};

// Packs into exactly `room` bytes; what lies behind them must not change.
template <class C>
Result<std::vector<byte>> packed(C& codec, Packing packing, Bytes in, size_t room) {
    std::vector<byte> out(room + 64, guard);
    const Result<size_t> size = codec.pack(packing, in, MutBytes(out).first(room));
    for (size_t i = room; i < out.size(); ++i) REQUIRE(out[i] == guard);
    if (!size) return size.error();
    REQUIRE(*size <= room);
    out.resize(*size);
    return out;
}

template <class C>
bool unpacks(C codec, Packing packing, Bytes stream, const std::vector<byte>& block) {
    if (!codec.handles(packing)) return true;
    std::vector<byte> out(block.size(), guard);
    return static_cast<bool>(codec.unpack(packing, stream, out)) && out == block;
}

// Room for a block that cannot be packed.
size_t enough(size_t size) { return size + size / 64 + 128; }

// Inflates through a window of 4 KiB that is all the decoder sees of its past; whether it gets to
// the end, with `block` coming out.
bool inflates_in_4k(const std::vector<byte>& stream, const std::vector<byte>& block) {
    std::array<unsigned char, 4096> window{};
    z_stream state = {};
    REQUIRE(inflateBackInit(&state, 12, window.data()) == Z_OK);
    state.next_in = reinterpret_cast<Bytef*>(const_cast<byte*>(stream.data()));
    state.avail_in = static_cast<uInt>(stream.size());
    std::vector<byte> out;
    const auto no_more = [](void*, z_const Bytef**) { return 0u; };
    const auto take = [](void* to, unsigned char* bytes, unsigned size) {
        const auto* first = reinterpret_cast<const byte*>(bytes);
        static_cast<std::vector<byte>*>(to)->insert(static_cast<std::vector<byte>*>(to)->end(),
                                                    first, first + size);
        return 0;
    };
    const int end = inflateBack(&state, no_more, nullptr, take, &out);
    inflateBackEnd(&state);
    return end == Z_STREAM_END && out == block;
}

// As QEMU inflates: a window of 12 bits is announced, the block is unpacked in one call.
bool inflates_at_once(const std::vector<byte>& stream, const std::vector<byte>& block) {
    z_stream state = {};
    REQUIRE(inflateInit2(&state, -12) == Z_OK);
    std::vector<byte> out(block.size() + 1);
    state.next_in = reinterpret_cast<Bytef*>(const_cast<byte*>(stream.data()));
    state.avail_in = static_cast<uInt>(stream.size());
    state.next_out = reinterpret_cast<Bytef*>(out.data());
    state.avail_out = static_cast<uInt>(block.size());
    const int end = inflate(&state, Z_FINISH);
    inflateEnd(&state);
    out.resize(block.size());
    return (end == Z_STREAM_END || end == Z_BUF_ERROR) && state.avail_out == 0 && out == block;
}

}  // namespace

TEMPLATE_TEST_CASE("pack: what is packed unpacks, with every codec", "[codec][pack]",
                   (Subject<Zlib, Packing::deflate>), (Subject<Libdeflate, Packing::deflate>),
                   (Subject<Zstd, Packing::zstd>), (Subject<SystemCodecs, Packing::deflate>),
                   (Subject<SystemCodecs, Packing::zstd>)) {
    constexpr Packing packing = TestType::packing;
    typename TestType::Codec codec;  // one for all: it keeps its state from block to block
    for (const std::vector<byte>& block : blocks()) {
        CAPTURE(block.size());
        const auto stream = packed(codec, packing, block, enough(block.size()));
        REQUIRE(stream);
        CHECK(unpacks(Zlib{}, packing, *stream, block));
        CHECK(unpacks(Libdeflate{}, packing, *stream, block));
        CHECK(unpacks(Zstd{}, packing, *stream, block));
        CHECK(unpacks(SystemCodecs{}, packing, *stream, block));
        // A little room is enough; no room is an error, and the codec is none the worse for it.
        CHECK(packed(codec, packing, block, stream->size() + 16));
        for (const size_t room : {stream->size() - 1, stream->size() / 2, size_t{1}, size_t{0}}) {
            const auto tight = packed(codec, packing, block, room);
            if (tight) FAIL(stream->size() << " bytes in " << room);
            CHECK(tight.error().code == Errc::limit);
        }
        const auto again = packed(codec, packing, block, enough(block.size()));
        REQUIRE(again);
        CHECK(*again == *stream);
    }
}

TEMPLATE_TEST_CASE("pack: noise does not fit into its own size", "[codec][pack]",
                   (Subject<Zlib, Packing::deflate>), (Subject<Libdeflate, Packing::deflate>),
                   (Subject<Zstd, Packing::zstd>)) {
    typename TestType::Codec codec;
    for (const size_t size : {512u, 4096u, 65536u}) {
        const auto none = packed(codec, TestType::packing, test::noise(size), size - 1);
        REQUIRE_FALSE(none);
        CHECK(none.error().code == Errc::limit);
        CHECK(none.error().what == std::string_view("codec: the packed block does not fit"));
    }
    typename TestType::Codec moved = std::move(codec);
    CHECK(packed(moved, TestType::packing, test::prose(65536), 65535));
}

TEST_CASE("pack: zlib needs a window of 4 KiB, libdeflate one of 32", "[codec][pack]") {
    Zlib zlib;
    Libdeflate libdeflate;
    for (const std::vector<byte>& block : blocks()) {
        CAPTURE(block.size());
        const auto stream = packed(zlib, Packing::deflate, block, enough(block.size()));
        REQUIRE(stream);
        CHECK(inflates_in_4k(*stream, block));
        CHECK((block.empty() || inflates_at_once(*stream, block)));
    }
    const auto wide = packed(libdeflate, Packing::deflate, test::far_matches(), 40000);
    REQUIRE(wide);
    CHECK_FALSE(inflates_in_4k(*wide, test::far_matches()));
    CHECK(inflates_at_once(*wide, test::far_matches()));
}

TEST_CASE("pack: a zstd frame is one segment and tells its size", "[codec][pack]") {
    Zstd zstd;
    for (const std::vector<byte>& block : blocks()) {
        const auto stream = packed(zstd, Packing::zstd, block, enough(block.size()));
        REQUIRE(stream);
        CHECK(ZSTD_getFrameContentSize(stream->data(), stream->size()) == block.size());
        CHECK(ZSTD_findFrameCompressedSize(stream->data(), stream->size()) == stream->size());
        CHECK((stream->at(4) & byte{0x20}) != byte{0});  // Single_Segment_flag, RFC 8878 3.1.1.1
        CHECK((stream->at(4) & byte{0x04}) == byte{0});  // no checksum, as in QEMU's frames
    }
}

TEST_CASE("pack: the level is the caller's", "[codec][pack]") {
    const std::vector<byte> block = test::joined(test::prose(40000), test::far_matches());
    const auto size = [&](auto codec, Packing packing) {
        const auto stream = packed(codec, packing, block, enough(block.size()));
        REQUIRE(stream);
        return stream->size();
    };
    CHECK(size(Zlib(0), Packing::deflate) > block.size());
    CHECK(size(Zlib(9), Packing::deflate) < size(Zlib(1), Packing::deflate));
    CHECK(size(Zlib(Zlib::default_level), Packing::deflate) == size(Zlib{}, Packing::deflate));
    CHECK(size(Libdeflate(0), Packing::deflate) > block.size());
    CHECK(size(Libdeflate(12), Packing::deflate) < size(Libdeflate(1), Packing::deflate));
    CHECK(size(Zstd(19), Packing::zstd) < size(Zstd(-50), Packing::zstd));
    CHECK(size(Zstd(1000), Packing::zstd) == size(Zstd(22), Packing::zstd));
    CHECK(size(Codecs<Zlib>(Zlib(0)), Packing::deflate) > block.size());
    CHECK(size(Codecs<Libdeflate, Zstd>(Libdeflate{}, Zstd(19)), Packing::zstd) ==
          size(Zstd(19), Packing::zstd));

    std::array<byte, 100> out{};
    CHECK(Zlib(10).pack(Packing::deflate, out, out).error().code == Errc::invalid);
    CHECK(Zlib(-1).pack(Packing::deflate, out, out).error().code == Errc::invalid);
    CHECK(Libdeflate(13).pack(Packing::deflate, out, out).error().code == Errc::invalid);
    CHECK(Libdeflate(-1).pack(Packing::deflate, out, out).error().code == Errc::invalid);
}

TEST_CASE("pack: a codec packs nothing but its own packing", "[codec][pack]") {
    std::array<byte, 100> out{};
    CHECK(Zlib{}.pack(Packing::zstd, {}, out).error().code == Errc::unsupported);
    CHECK(Libdeflate{}.pack(Packing::zstd, {}, out).error().code == Errc::unsupported);
    CHECK(Zstd{}.pack(Packing::deflate, {}, out).error().code == Errc::unsupported);
}
#endif
