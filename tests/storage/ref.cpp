// SPDX-License-Identifier: BSL-1.0
#include <array>
#include <string_view>

#include <vdisk/format/raw/writer.hpp>
#include <vdisk/io/write.hpp>
#include <vdisk/storage/growable.hpp>
#include <vdisk/storage/memory.hpp>
#include <vdisk/storage/ref.hpp>

#include "catch.hpp"

using namespace vdisk;

TEST_CASE("ref: reads and writes what it refers to", "[storage][ref]") {
    GrowableMemory file(std::vector<byte>(1024));
    auto writer = raw::Writer<StorageRef>::open(StorageRef(file));
    REQUIRE(writer);
    const std::array<byte, 3> in = {byte{1}, byte{2}, byte{3}};
    std::array<byte, 512> scratch{};
    REQUIRE(write(*writer, 700, in, scratch));
    REQUIRE(writer->flush());
    std::array<byte, 3> out{};
    REQUIRE(read(*writer, 700, out));
    CHECK(out == in);
    CHECK(file.bytes()[701] == byte{2});
    REQUIRE(writer->storage().resize(2048));
    CHECK(file.size() == 2048);
    CHECK_FALSE(StorageRef(file).read(2048, out));
}

TEST_CASE("ref: a medium that is only read refuses to be written", "[storage][ref]") {
    const std::array<byte, 4> bytes{};
    const MemoryStorage memory{Bytes(bytes)};
    StorageRef storage(memory);
    CHECK(storage.size() == 4);
    CHECK(storage.write(0, bytes).error().code == Errc::read_only);
    CHECK(storage.resize(4).error().code == Errc::read_only);
    CHECK(storage.flush().error().code == Errc::read_only);
}

TEST_CASE("ref: a table of one's own, with a context", "[storage][ref]") {
    const StorageTable table{
        .size = [](const void*) { return uint64_t{16}; },
        .read = [](const void* context, uint64_t at, MutBytes out) -> Status {
            for (byte& b : out) b = static_cast<byte>(*static_cast<const uint8_t*>(context) + at++);
            return {};
        }};
    uint8_t first = 40;
    const StorageRef storage(&first, table);
    std::array<byte, 2> out{};
    REQUIRE(storage.read(2, out));
    CHECK(out[1] == byte{43});
}
