// SPDX-License-Identifier: BSL-1.0
// Where packed clusters of qcow get their home, and how they are linked.
#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/zlib.hpp>
#include <vdisk/format/qcow/create.hpp>
#include <vdisk/format/qcow/writer.hpp>
#include <vdisk/io/write.hpp>
#include <vdisk/storage/growable.hpp>

#include "catch.hpp"

using namespace vdisk;

namespace {

template <class S>
using Writer = qcow::Writer<S, Heap, Zlib>;

// Its last cluster is not whole.
constexpr qcow::CreateOptions ragged{.size = 99 * 512, .cluster_bits = 10, .l2_bits = 6};

}  // namespace

TEST_CASE("qcow: packed clusters stand byte by byte, and fill what a cluster has left",
          "[qcow][write][pack]") {
    GrowableMemory memory;
    REQUIRE(qcow::create(memory, ragged));
    auto writer = Writer<GrowableMemory>::open(std::move(memory));
    REQUIRE(writer);
    CHECK(writer->pack_unit() == 1024);
    CHECK(writer->packing() == Packing::deflate);
    const uint64_t begin = writer->storage().size();
    const auto home = [&](uint64_t stored) {
        const auto placed = writer->place_packed(stored);
        REQUIRE(placed);
        REQUIRE(writer->storage().size() % 1024 == 0);
        REQUIRE(*placed + stored <= writer->storage().size());
        return *placed - begin;
    };
    CHECK(home(7) == 0);
    CHECK(home(1000) == 7);
    CHECK(home(100) == 1007);  // into the next cluster
    std::vector<byte> scratch(1024);
    REQUIRE(write(*writer, 5000, std::vector<byte>(10, byte{1}),
                  scratch));  // a cluster and an L2 table
    const uint64_t after = writer->storage().size() - begin;
    CHECK(after == 2 * 1024 + 1024 + 1024);
    CHECK(home(900) == 1107);   // what the last packed cluster left
    CHECK(home(100) == after);  // no room for it there
    CHECK(home(1) == after + 100);
}

TEST_CASE("qcow: packed clusters that cannot be", "[qcow][write][pack]") {
    GrowableMemory memory;
    REQUIRE(qcow::create(memory, ragged));
    auto writer = Writer<GrowableMemory>::open(std::move(memory));
    REQUIRE(writer);
    CHECK(writer->place_packed(0).error().code == Errc::invalid);
    CHECK(writer->place_packed(1024).error().code == Errc::invalid);
    const auto home = writer->place_packed(1023);
    REQUIRE(home);
    const std::vector<byte> before(writer->storage().bytes().begin(),
                                   writer->storage().bytes().end());
    for (const uint64_t at : {uint64_t{512}, uint64_t{ragged.size / 1024 * 1024 + 1024}}) {
        CHECK(writer->commit_packed(at, *home, 1023).error().code == Errc::invalid);
    }
    CHECK(writer->commit_packed(0, *home, 0).error().code == Errc::invalid);
    CHECK(writer->commit_packed(0, *home, 1024).error().code == Errc::invalid);
    CHECK(writer->commit_packed(0, *home + 2, 1023).error().code == Errc::invalid);
    CHECK(writer->commit_packed(0, ~uint64_t{0}, 1023).error().code == Errc::invalid);
    REQUIRE(writer->flush());
    CHECK(std::ranges::equal(writer->storage().bytes(), before));
    CHECK(writer->commit_packed(ragged.size / 1024 * 1024, *home, 1023));  // the last one
}

TEST_CASE("qcow: a packed cluster is not linked into what is no L2 table", "[qcow][write][pack]") {
    for (const uint64_t table : {uint64_t{0}, uint64_t{1} << 40, ~uint64_t{0}}) {
        CAPTURE(table);
        GrowableMemory memory;
        REQUIRE(qcow::create(memory, ragged));
        be64 entry{};
        entry = table | 8;  // inside the header; past the end
        REQUIRE(memory.write(512, std::as_bytes(std::span(&entry, 1))));
        auto writer = Writer<GrowableMemory>::open(std::move(memory));
        REQUIRE(writer);
        const auto home = writer->place_packed(10);
        REQUIRE(home);
        CHECK(writer->commit_packed(0, *home, 10).error().code == Errc::corrupt);
    }
}

namespace {

// A file that says it is huge: only the offsets matter.
struct HugeStorage {
    GrowableMemory memory;
    uint64_t claimed = 0;
    [[nodiscard]] uint64_t size() const { return claimed != 0 ? claimed : memory.size(); }
    Status read(uint64_t at, MutBytes out) const { return memory.read(at, out); }
    Status write(uint64_t at, Bytes in) { return memory.write(at, in); }
    Status resize(uint64_t size) {
        claimed = size;
        return {};
    }
    Status flush() { return {}; }
};

}  // namespace

TEST_CASE("qcow: a packed cluster lies where its entry can say", "[qcow][write][pack]") {
    HugeStorage huge;
    REQUIRE(qcow::create(huge.memory, ragged));
    const uint64_t limit = uint64_t{1} << 53;  // 63 - 10 bits of offset
    huge.claimed = limit - 1024;
    auto writer = Writer<HugeStorage>::open(huge);
    REQUIRE(writer);
    const auto last = writer->place_packed(1023);
    REQUIRE(last);
    CHECK(*last == limit - 1024);
    const auto beyond = writer->place_packed(1023);
    REQUIRE_FALSE(beyond);
    CHECK(beyond.error().code == Errc::limit);
    CHECK(writer->storage().size() == limit);  // nothing was taken
}
