// SPDX-License-Identifier: BSL-1.0
#include <array>
#include <limits>

#include <vdisk/allocation/arena.hpp>

#include "catch.hpp"

using namespace vdisk;

namespace {
struct Fixture {
    alignas(64) std::array<byte, 256> buffer = {};
    ArenaMemory memory{buffer};
    Arena arena{memory};
};
}  // namespace

TEST_CASE_METHOD(Fixture, "arena: gives the buffer to the last byte", "[arena]") {
    CHECK(arena.allocate(257, 1).error().code == Errc::no_memory);
    const Result<MutBytes> all = arena.allocate(256, 64);
    REQUIRE(all);
    CHECK(all->data() == buffer.data());
    CHECK(arena.allocate(1, 1).error().code == Errc::no_memory);
    CHECK(arena.allocate(0, 1)->empty());
    arena.deallocate({});
    arena.deallocate(*all);
    CHECK(arena.allocate(256, 1));
}

TEST_CASE_METHOD(Fixture, "arena: padding counts, and cannot wrap", "[arena]") {
    REQUIRE(arena.allocate(1, 1));
    const Result<MutBytes> aligned = arena.allocate(128, 64);
    REQUIRE(aligned);
    CHECK(aligned->data() == buffer.data() + 64);
    CHECK(memory.used == 192);
    CHECK(arena.allocate(64, 64));
    CHECK(arena.allocate(1, 4096).error().code == Errc::no_memory);
    CHECK(arena.allocate(std::numeric_limits<size_t>::max(), 64).error().code == Errc::no_memory);
}

TEST_CASE_METHOD(Fixture, "arena: a buffer that starts anywhere is aligned", "[arena]") {
    ArenaMemory odd{MutBytes(buffer).subspan(3)};
    const Result<MutBytes> block = Arena(odd).allocate(16, 16);
    REQUIRE(block);
    CHECK(block->data() == buffer.data() + 16);
    ArenaMemory none;
    CHECK(Arena(none).allocate(1, 16).error().code == Errc::no_memory);
}

TEST_CASE_METHOD(Fixture, "arena: last in, first out; the rest when all is back", "[arena]") {
    Arena copy = arena;
    const MutBytes a = *arena.allocate(100, 1);
    const MutBytes b = *copy.allocate(50, 1);
    const MutBytes c = *arena.allocate(50, 1);
    copy.deallocate(c);
    CHECK(memory.used == 150);
    arena.deallocate(a);  // not the last: stays
    CHECK(memory.used == 150);
    const MutBytes d = *arena.allocate(10, 1);
    CHECK(d.data() == b.data() + 50);
    arena.deallocate(b);
    CHECK(memory.used == 160);
    arena.deallocate(d);
    CHECK(memory.used == 0);
    CHECK(memory.peak == 200);
}

TEST_CASE_METHOD(Fixture, "arena: a buffer grows in place of itself", "[arena]") {
    Buffer other{arena};
    REQUIRE(other.reserve(64));
    Buffer growing{arena};
    REQUIRE(growing.reserve(100));
    REQUIRE(growing.reserve(192));
    CHECK(growing.bytes().data() == buffer.data() + 64);
}
