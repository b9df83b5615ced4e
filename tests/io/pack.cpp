// SPDX-License-Identifier: BSL-1.0
// Writing compressed blocks: random work against a plain vector, and what qemu-img reads.
#include <vdisk/codec/none.hpp>

#include "support/packed_qcow.hpp"
#include "support/places.hpp"
#include "support/qemu.hpp"

using namespace vdisk;
using namespace vdisk::test;
using namespace vdisk::test::packed_qcow;

TEST_CASE("pack: blocks packed and plain read back, whatever the cache", "[io][pack]") {
    for (const CacheShape shape : {CacheShape{12, 8}, CacheShape{9, 0}}) {
        for (const unsigned seed : {1u, 2u, 3u}) {
            CAPTURE(shape.page_bits, seed);
            auto writer =
                Writer<GrowableMemory>::open(GrowableMemory(empty_image()), {.cache = shape});
            REQUIRE(writer);
            Zlib codec;
            File model = parent_disk();
            std::mt19937 random(seed);
            std::array<unsigned, 5> seen_kinds{};
            for (int step = 0; step < 300; ++step) {
                if (random() % 3 == 0) {
                    const Piece piece = random_piece(random);
                    REQUIRE(put(*writer, piece));
                    overwrite(model, piece);
                } else {
                    const Piece piece = random_block(random);
                    REQUIRE(put_block(*writer, codec, piece));
                    overwrite(model, piece);
                }
                if (step % 10 == 0) REQUIRE(writer->flush());
                File seen(disk_size);
                REQUIRE(read(*writer, 0, seen, Striped{}));
                REQUIRE(seen == model);
                for (const Kind kind : kinds(*writer)) ++seen_kinds[static_cast<size_t>(kind)];
            }
            CHECK(seen_kinds[static_cast<size_t>(Kind::compressed)] > 1000);
            CHECK(seen_kinds[static_cast<size_t>(Kind::data)] > 1000);
            REQUIRE(writer->flush());
            const Bytes file = writer->storage().bytes();
            CHECK(guest({file.begin(), file.end()}) == model);
        }
    }
}

TEST_CASE("pack: a block is stored in the smaller way", "[io][pack]") {
    auto writer = Writer<GrowableMemory>::open(GrowableMemory(empty_image()));
    REQUIRE(writer);
    SystemCodecs codec;
    const auto kind_of = [&](uint64_t at, const File& block, PackOptions options = {}) {
        REQUIRE(put_block(*writer, codec, {at, block}, options));
        const auto extent = writer->lookup(at, 1);
        REQUIRE(extent);
        File seen(block.size());
        REQUIRE(read(*writer, at, seen));
        CHECK(seen == block);
        return extent->kind;
    };
    const File zeros(unit);
    CHECK(kind_of(0, prose(unit)) == Kind::compressed);
    CHECK(kind_of(unit, noise(unit)) == Kind::data);
    CHECK(kind_of(2 * unit, zeros, {.below_is_zero = true}) == Kind::absent);
    CHECK(kind_of(2 * unit, zeros) == Kind::compressed);  // they hide what is below
    CHECK(kind_of(2 * unit, zeros, {.below_is_zero = true}) == Kind::compressed);
    CHECK(kind_of(0, zeros, {.below_is_zero = true}) == Kind::compressed);  // the prose is gone
    CHECK(kind_of(unit, zeros, {.below_is_zero = true}) == Kind::compressed);
    CHECK(kind_of(unit, noise(unit)) == Kind::data);
    const uint64_t last = blocks_of_disk * unit - unit;
    CHECK(kind_of(last, File(512)) == Kind::compressed);
    CHECK(kind_of(last, noise(512)) == Kind::compressed);  // with zeros behind it, it shrinks
    const auto stored = writer->lookup(last, 1);
    File whole(unit, byte{1});
    REQUIRE(writer->unpack(
        {.kind = Kind::compressed, .at = stored->at, .length = unit, .packed = stored->packed},
        whole));
    CHECK(std::ranges::equal(Bytes(whole).first(512), noise(512)));
    CHECK(is_zero(Bytes(whole).subspan(512)));
}

TEST_CASE("pack: a thread packs, another writes", "[io][pack]") {
    auto writer = Writer<GrowableMemory>::open(GrowableMemory(empty_image()));
    REQUIRE(writer);
    Zlib codec;
    File out(unit);
    const auto packed = pack_block(codec, writer->packing(), prose(unit), out);
    REQUIRE(packed);
    REQUIRE((*packed > 0 && *packed < unit));
    REQUIRE(write_packed(*writer, 3 * unit, Bytes(out).first(*packed)));
    File seen(unit);
    REQUIRE(read(*writer, 3 * unit, seen));
    CHECK(seen == prose(unit));
    const auto plain = pack_block(codec, writer->packing(), noise(unit), out);
    REQUIRE(plain);
    CHECK(*plain == 0);
}

namespace {

// Fills all the room it gets, as a stream may that just fits.
struct Greedy {
    Status unpack(Packing /*packing*/, Bytes /*in*/, MutBytes /*out*/) { return {}; }
    Result<size_t> pack(Packing /*packing*/, Bytes /*in*/, MutBytes out) {
        std::ranges::fill(out, byte{1});
        return out.size();
    }
};

}  // namespace

TEST_CASE("pack: a packed block is smaller, if only by a byte", "[io][pack]") {
    auto writer = Writer<GrowableMemory>::open(GrowableMemory(empty_image()));
    REQUIRE(writer);
    Greedy greedy;
    REQUIRE(put_block(*writer, greedy, {0, prose(unit)}));
    const auto extent = writer->lookup(0, unit);
    REQUIRE(extent);
    CHECK(extent->kind == Kind::compressed);
    CHECK(extent->packed.stored == unit - 1);
    File out(3 * unit);
    const auto packed = pack_block(greedy, Packing::deflate, prose(unit), out);
    REQUIRE(packed);
    CHECK(*packed == unit - 1);
    CHECK(out[unit - 1] == byte{0});
}

TEST_CASE("pack: calls that cannot be", "[io][pack]") {
    auto writer = Writer<GrowableMemory>::open(GrowableMemory(empty_image()));
    REQUIRE(writer);
    Zlib codec;
    NoCodec none;
    File scratch(2 * unit);
    const File block = prose(unit);
    const auto code = [&](uint64_t at, Bytes in, MutBytes memory) {
        return write_block(*writer, codec, at, in, memory).error().code;
    };
    const File before(writer->storage().bytes().begin(), writer->storage().bytes().end());
    CHECK(code(512, block, scratch) == Errc::invalid);
    CHECK(code(blocks_of_disk * unit, block, scratch) == Errc::invalid);
    CHECK(code(~uint64_t{0} << 10, block, scratch) == Errc::invalid);
    CHECK(code(0, Bytes(block).first(512), scratch) == Errc::invalid);
    CHECK(code(0, {}, scratch) == Errc::invalid);
    CHECK(code(blocks_of_disk * unit - unit, block, scratch) == Errc::invalid);
    CHECK(code(0, block, MutBytes(scratch).first(2 * unit - 1)) == Errc::invalid);
    CHECK(write_block(*writer, none, 0, block, scratch).error().code == Errc::unsupported);
    CHECK(write_packed(*writer, 0, {}).error().code == Errc::invalid);
    CHECK(write_packed(*writer, 0, block).error().code == Errc::invalid);
    CHECK(pack_block(codec, Packing::deflate, {}, scratch).error().code == Errc::invalid);
    CHECK(pack_block(codec, Packing::deflate, block, MutBytes(scratch).first(unit - 1))
              .error()
              .code == Errc::invalid);
    CHECK(pack_block(codec, Packing::zstd, block, scratch).error().code == Errc::unsupported);
    REQUIRE(writer->flush());
    CHECK(std::ranges::equal(writer->storage().bytes(), before));
}

TEMPLATE_TEST_CASE("pack: qemu-img reads what is written", "[io][pack][qemu]", Zlib, SystemCodecs) {
    if (!has_qemu()) return;
    const TempDir dir;
    for (const uint8_t cluster_bits : {uint8_t{9}, uint8_t{12}, uint8_t{16}}) {
        CAPTURE(int{cluster_bits});
        const size_t block = size_t{1} << cluster_bits;
        const uint64_t size = 60 * block + 512;
        auto writer = Writer<GrowableMemory>::open(
            GrowableMemory(empty_image({.size = size, .cluster_bits = cluster_bits})));
        REQUIRE(writer);
        TestType codec;
        File model(static_cast<size_t>(size));
        std::mt19937 random(cluster_bits);
        for (int step = 0; step < 150; ++step) {
            if (step % 4 == 0) {
                const Piece piece = random_piece(random, size, 3 * block);
                File scratch(block);
                REQUIRE(write(*writer, piece.at, piece.bytes, scratch));
                overwrite(model, piece);
                continue;
            }
            const Piece piece = random_block(random, size, block);
            REQUIRE(put_block(*writer, codec, piece, {.below_is_zero = true}));
            overwrite(model, piece);
        }
        REQUIRE(writer->flush());
        save(bytes_of(writer->storage()), dir / "image");
        save(model, dir / "raw");
        const std::string in = dir / "image", raw = dir / "raw", out = dir / "out";
        CHECK(run("qemu-img compare -f raw -F qcow " + raw + " " + in).ok);
        CHECK(run("qemu-img convert -f qcow -O raw " + in + " " + out).ok);
        CHECK(run("cmp " + raw + " " + out).ok);
        model[100] ^= byte{1};
        save(model, dir / "raw");
        CHECK_FALSE(run("qemu-img compare -f raw -F qcow " + raw + " " + in).ok);
    }
}
