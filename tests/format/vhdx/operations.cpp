// SPDX-License-Identifier: BSL-1.0
// What is done to closed VHDX images, and the use of space that is given up.
#include <vdisk/format/vhdx/change.hpp>
#include <vdisk/format/vhdx/compact.hpp>
#include <vdisk/format/vhdx/repair.hpp>
#include <vdisk/format/vhdx/resize.hpp>

#include "catch.hpp"
#include "support/cut_vhdx.hpp"
#include "support/vhdx_builder.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

using MemoryWriter = VhdxWriter<Borrowed<GrowableMemory>>;

MemoryWriter writer_of(GrowableMemory& memory) {
    return value_of(VhdxSubject::open(Borrowed(memory), {12, 6}));
}

File disk_of(const GrowableMemory& memory, ParentDisk below = {}) {
    return value_of(VhdxSubject::read(bytes_of(memory), below));
}

Guid identity_of(const GrowableMemory& memory) {
    return value_of(VhdxReader::open(MemoryStorage(memory.bytes()))).identity();
}

vhdx::CheckReport check_of(GrowableMemory& memory) {
    return value_of(vhdx::check_image(memory, Heap{}));
}

// Blocks 0, 2 and 3 of 1 MiB, of five, with contents.
GrowableMemory lively(bool is_child = false, uint64_t size = 5_MiB - 8 * sector) {
    GrowableMemory memory(new_vhdx(vhdx_options(size, is_child)));
    auto writer = writer_of(memory);
    File model = value_of(whole_disk(writer, {is_child}));
    for (const uint64_t block : {0, 2, 3}) {
        REQUIRE(perform(writer, Op::write(block * 1_MiB + 3 * sector, 9000, 5), model, {is_child}));
    }
    REQUIRE(writer.close());
    return memory;
}

bool begins_with(const File& whole, const File& part) {
    return whole.size() >= part.size() && std::equal(part.begin(), part.end(), whole.begin());
}

bool is_zero_from(const File& disk, uint64_t at) {
    return std::all_of(disk.begin() + static_cast<std::ptrdiff_t>(at), disk.end(),
                       [](byte b) { return b == byte{0}; });
}

}  // namespace

TEST_CASE("vhdx: what is given up is used again, once that is durable", "[vhdx][write]") {
    GrowableMemory memory = lively();
    auto writer = writer_of(memory);
    File model = value_of(whole_disk(writer, {}));
    const uint64_t size = memory.size();
    REQUIRE(perform(writer, Op::zero(2_MiB, 1_MiB), model, {}));
    // Not yet: a cut might bring it back.
    REQUIRE(perform(writer, Op::write(4_MiB, 512, 7), model, {}));
    CHECK(memory.size() == size + 1_MiB);
    REQUIRE(writer.flush());
    REQUIRE(perform(writer, Op::write(1_MiB + 700, 512, 8), model, {}));
    CHECK(memory.size() == size + 1_MiB);
    REQUIRE(writer.close());
    const bool same = disk_of(memory) == model;
    CHECK(same);
    CHECK(check_of(memory).is_clean());
}

TEST_CASE("vhdx: table pages may be smaller than logged sectors", "[vhdx][write]") {
    GrowableMemory memory = lively(true);
    auto writer = value_of(VhdxSubject::open(Borrowed(memory), {.page_bits = 9, .count_bits = 0}));
    File model = value_of(whole_disk(writer, {true}));
    for (uint64_t i = 0; i < 40; ++i) {
        const uint64_t at = i * 7919 % (5 * 2048 - 16) * sector;
        REQUIRE(perform(writer, Op::write(at, 3 * sector, 9), model, {true}));
        if (i % 5 == 0) REQUIRE(writer.flush());
    }
    bool same = value_of(whole_disk(writer, {true})) == model;
    CHECK(same);
    REQUIRE(writer.close());
    same = disk_of(memory, {true}) == model;
    CHECK(same);
}

TEST_CASE("vhdx: a write into two chunks of a child is in two bitmaps", "[vhdx][write]") {
    constexpr uint64_t edge = 4096_MiB;  // of 4096 blocks
    GrowableMemory memory(new_vhdx(vhdx_options(edge + 8_MiB, true)));
    const auto put = [&](uint64_t at, uint64_t length, uint32_t tag) {
        auto writer = writer_of(memory);
        std::array<byte, 512> scratch;
        REQUIRE(write(writer, at, contents(at, length, tag), scratch, ParentDisk{true}));
        REQUIRE(writer.close());
    };
    const auto holds = [&](uint64_t at, uint64_t length, uint32_t tag) {
        const auto image = value_of(VhdxReader::open(MemoryStorage(memory.bytes())));
        File seen(static_cast<size_t>(length));
        REQUIRE(read(image, at, seen, ParentDisk{true}));
        return seen == contents(at, length, tag);
    };
    // So that the blocks on both sides are neighbours in the file.
    put(edge + 1_MiB, sector, 2);
    put(edge - 1_MiB, sector, 3);
    put(edge + 64 * sector, sector, 4);
    put(edge - 64_KiB, 128_KiB, 5);
    CHECK(holds(edge - 64_KiB, 128_KiB, 5));
    CHECK(holds(edge - 1_MiB, sector, 3));
    CHECK(holds(edge + 1_MiB, sector, 2));
    CHECK(holds(edge - 1_MiB + sector, 20 * sector, 0));
    CHECK(check_of(memory).is_clean());
}

TEST_CASE("vhdx: space that is free when an image is opened is used", "[vhdx][write]") {
    GrowableMemory memory = lively();
    const uint64_t size = memory.size();
    {
        auto writer = writer_of(memory);
        REQUIRE(writer.discard(0, 1_MiB));
    }
    auto writer = writer_of(memory);
    File model = value_of(whole_disk(writer, {}));
    REQUIRE(perform(writer, Op::write(1_MiB, 512, 8), model, {}));
    REQUIRE(writer.close());
    CHECK(memory.size() == size);
    const bool same = disk_of(memory) == model;
    CHECK(same);
}

TEST_CASE("vhdx: a block that the file cuts short keeps its data when it is written",
          "[vhdx][write]") {
    GrowableMemory memory = lively();
    const File disk = disk_of(memory);
    REQUIRE(memory.resize(memory.size() - 1_MiB + 32 * sector));
    auto writer = writer_of(memory);
    File model = disk;
    REQUIRE(perform(writer, Op::write(3_MiB + 512_KiB, 512, 8), model, {}));
    REQUIRE(writer.close());
    const bool same = disk_of(memory) == model;
    CHECK(same);
    CHECK(check_of(memory).is_clean());
}

TEST_CASE("vhdx: a disk grows with zeros", "[vhdx][resize]") {
    for (const bool is_child : {false, true}) {
        CAPTURE(is_child);
        const ParentDisk below{is_child};
        GrowableMemory memory = lively(is_child);
        const File disk = disk_of(memory, below);
        const Guid id = identity_of(memory);
        REQUIRE(vhdx::grow(memory, 9_MiB, Heap{}, SeededIds(8)));
        const File grown = disk_of(memory, below);
        CHECK(grown.size() == 9_MiB);
        CHECK(begins_with(grown, disk));
        CHECK(is_zero_from(grown, disk.size()));
        CHECK(identity_of(memory) != id);
        CHECK(check_of(memory).is_clean());
    }
}

TEST_CASE("vhdx: what was behind the end does not come back", "[vhdx][resize]") {
    for (const bool is_child : {false, true}) {
        CAPTURE(is_child);
        GrowableMemory memory = lively(is_child);
        const uint64_t size = 2_MiB + 4 * sector;
        const File disk = disk_of(memory, {is_child});
        REQUIRE(vhdx::shrink(memory, size, Heap{}, SeededIds(8)));
        CHECK(disk_of(memory, {is_child}).size() == size);
        CHECK(check_of(memory).is_clean());
        REQUIRE(vhdx::grow(memory, 4_MiB, Heap{}, SeededIds(9)));
        const File again = disk_of(memory, {is_child});
        CHECK(std::equal(again.begin(), again.begin() + size, disk.begin()));
        CHECK(is_zero_from(again, size));
    }
}

TEST_CASE("vhdx: a table that is too short moves when the disk grows", "[vhdx][resize]") {
    GrowableMemory memory = lively();
    const File disk = disk_of(memory);
    const uint64_t size = 200000_MiB;
    REQUIRE(vhdx::grow(memory, size, Heap{}, SeededIds(8)));
    const auto image = value_of(VhdxReader::open(MemoryStorage(memory.bytes())));
    CHECK(image.size() == size);
    CHECK(image.layout().bat_length == 2_MiB);
    File front(disk.size());
    REQUIRE(read(image, 0, front));
    const bool same = front == disk;
    CHECK(same);
    CHECK(check_of(memory).is_clean());
    auto writer = writer_of(memory);
    const File tail = contents(0, 4096, 3);
    std::array<byte, 512> scratch;
    REQUIRE(write(writer, size - 4096, tail, scratch));
    REQUIRE(writer.close());
    CHECK(check_of(memory).is_clean());
}

TEST_CASE("vhdx: a fixed disk has all its blocks after it grows", "[vhdx][resize]") {
    auto options = vhdx_options(2_MiB);
    options.fixed = true;
    GrowableMemory memory(new_vhdx(options));
    for (const uint64_t mibs : {4u, 64u}) {
        REQUIRE(vhdx::grow(memory, mibs << 20, Heap{}, SeededIds(8)));
        const auto report = check_of(memory);
        CHECK(report.is_clean());
        CHECK(report.allocated_blocks == mibs);
    }
    REQUIRE(vhdx::shrink(memory, 1_MiB, Heap{}, SeededIds(8)));
    CHECK(check_of(memory).allocated_blocks == 1);
    CHECK(memory.size() == 5_MiB);
}

TEST_CASE("vhdx: an item may lie in two logged sectors", "[vhdx][resize]") {
    File file = bytes_of(lively());
    const vhdx::Layout layout = value_of(VhdxReader::open(MemoryStorage(file))).layout();
    // The size is the second item.
    const auto entry =
        layout.metadata_at + sizeof(vhdx::MetadataTableHeader) + sizeof(vhdx::MetadataTableEntry);
    constexpr uint32_t offset = 65536 + 4094;
    store_le32(&file[entry + 16], offset);
    store_le64(&file[layout.metadata_at + offset], layout.size);
    GrowableMemory memory(file);
    const uint64_t size = 9_MiB;
    REQUIRE(vhdx::grow(memory, size, Heap{}, SeededIds(8)));
    CHECK(load_le64(memory.bytes().data() + layout.metadata_at + offset) == size);
    CHECK(disk_of(memory).size() == size);
    CHECK(check_of(memory).is_clean());
}

TEST_CASE("vhdx: sizes that cannot be are refused, and nothing is written", "[vhdx][resize]") {
    GrowableMemory memory = lively();
    const File before = bytes_of(memory);
    CHECK(vhdx::grow(memory, 5_MiB + 100, Heap{}, SeededIds(8)).error().code == Errc::invalid);
    CHECK(vhdx::grow(memory, 1_MiB, Heap{}, SeededIds(8)).error().code == Errc::invalid);
    CHECK(vhdx::shrink(memory, 0, Heap{}, SeededIds(8)).error().code == Errc::invalid);
    CHECK(vhdx::shrink(memory, 1_GiB, Heap{}, SeededIds(8)).error().code == Errc::invalid);
    CHECK(vhdx::grow(memory, (uint64_t{1} << 46) + 512, Heap{}, SeededIds(8)).error().code ==
          Errc::invalid);
    const bool same = bytes_of(memory) == before;
    CHECK(same);
}

TEST_CASE("vhdx: images that cannot be made", "[vhdx][create]") {
    const vhdx::CreateOptions good = vhdx_options(5_MiB);
    const auto refused = [&](auto change) {
        vhdx::CreateOptions bad = good;
        change(bad);
        GrowableMemory memory;
        const Status made = vhdx::create(memory, bad, SeededIds(1));
        CHECK(made.error().code == Errc::invalid);
        CHECK(memory.size() == 0);
    };
    using Options = vhdx::CreateOptions;
    refused([](Options& o) { o.sector_bits = 10; });
    refused([](Options& o) { o.physical_bits = 10; });
    refused([](Options& o) { o.block_bits = 19; });
    refused([](Options& o) { o.block_bits = 29; });
    refused([](Options& o) { o.size = 0; });
    refused([](Options& o) { o.size = (uint64_t{64} << 40) + 1; });
    refused([](Options& o) { o.log_length = 0; });
    refused([](Options& o) { o.log_length = (1 << 20) + 4096; });
    refused([](Options& o) { o.log_length = uint32_t{1025} << 20; });
    refused([](Options& o) { o.is_child = o.fixed = true; });
}

TEST_CASE("vhdx: a header whose number cannot grow is not written", "[vhdx][write][hostile]") {
    File file = bytes_of(lively());
    for (const uint64_t at : vhdx::header_places)
        store_le64(&file[at + 8], ~uint64_t{0} - (at >> 17));
    seal_vhdx(file);
    GrowableMemory memory(file);
    auto writer = writer_of(memory);
    const File before = value_of(whole_disk(writer, {}));
    File model = before;
    const Status put = perform(writer, Op::write(1_MiB, 512, 9), model, {});
    CHECK((!put || !writer.close()));
    CHECK(vhdx::grow(memory, 9_MiB, Heap{}, SeededIds(8)).error().code == Errc::limit);
    CHECK(std::ranges::equal(Bytes(memory.bytes()).first(1_MiB), Bytes(file).first(1_MiB)));
    const bool same = disk_of(memory) == before;
    CHECK(same);
}

TEST_CASE("vhdx: a session that begins with a high number ends", "[vhdx][write][hostile]") {
    File file = bytes_of(lively());
    for (const uint64_t at : vhdx::header_places) {
        store_le64(&file[at + 8], (~uint64_t{0} >> 1) - (at >> 17));
    }
    seal_vhdx(file);
    GrowableMemory memory(file);
    auto writer = writer_of(memory);
    File model = value_of(whole_disk(writer, {}));
    REQUIRE(perform(writer, Op::write(1_MiB, 512, 9), model, {}));
    REQUIRE(writer.close());
    const bool same = disk_of(memory) == model;
    CHECK(same);
    CHECK(check_of(memory).is_clean());
}

TEST_CASE("vhdx: links that cannot be", "[vhdx][parent]") {
    const Guid parent = SeededIds(3)();
    for (const bool is_child : {false, true}) {
        GrowableMemory memory(new_vhdx(vhdx_options(5_MiB, is_child)));
        const File before = bytes_of(memory);
        const auto link = [&](std::string_view path) {
            return vhdx::set_parent(memory, {.data_write_guid = parent, .relative_path = path},
                                    Heap{}, SeededIds(8))
                .error()
                .code;
        };
        CHECK(link("") == Errc::invalid);
        CHECK(link("not\xffUTF-8") == Errc::invalid);
        if (!is_child) {
            CHECK(link("x.vhdx") == Errc::invalid);
            CHECK(vhdx::set_parent_id(memory, parent, {}, Heap{}, SeededIds(8)).error().code ==
                  Errc::invalid);
        }
        const bool same = bytes_of(memory) == before;
        CHECK(same);
    }
}

TEST_CASE("vhdx: compacting drops what says nothing and closes the holes", "[vhdx][compact]") {
    GrowableMemory memory = lively();
    {
        auto writer = writer_of(memory);
        File model = value_of(whole_disk(writer, {}));
        REQUIRE(perform(writer, Op::write(1_MiB, 512, 9), model, {}));
        REQUIRE(perform(writer, Op::zero(2_MiB, 512_KiB), model, {}));
        REQUIRE(perform(writer, Op::zero(2_MiB + 512_KiB, 512_KiB), model, {}));
        REQUIRE(writer.drop(0, 1_MiB));
        REQUIRE(writer.close());
    }
    const File disk = disk_of(memory);
    const Guid id = identity_of(memory);
    const auto done = value_of(vhdx::compact(memory, Heap{}, SeededIds(8)));
    CHECK(done.dropped == 1);
    CHECK(done.moved == 2);
    CHECK(memory.size() == 6_MiB);
    const bool same = disk_of(memory) == disk;
    CHECK(same);
    CHECK(identity_of(memory) == id);
    CHECK(check_of(memory).is_clean());
}

TEST_CASE("vhdx: compacting a child drops what its parent has, and bitmaps", "[vhdx][compact]") {
    GrowableMemory memory = lively(true);
    {
        auto writer = writer_of(memory);
        File model = value_of(whole_disk(writer, {true}));
        // The parent's own bytes.
        for (const uint64_t block : {0, 2, 3}) {
            REQUIRE(perform(writer, Op::write(block * 1_MiB, 32 * sector, 0), model, {true}));
        }
        REQUIRE(writer.close());
    }
    CHECK(vhdx::compact(memory, Heap{}, SeededIds(8)).error().code == Errc::invalid);
    const auto done =
        value_of(vhdx::compact(memory, Heap{}, SeededIds(8), Compaction::drop, ParentDisk{true}));
    CHECK(done.dropped == 3);
    CHECK(memory.size() == 4_MiB);
    CHECK(check_of(memory).is_clean());
    const bool same = disk_of(memory, {true}) == contents(0, 5_MiB - 8 * sector, 0);
    CHECK(same);
}

TEST_CASE("vhdx: a table that moved away comes back", "[vhdx][compact]") {
    GrowableMemory memory = lively();
    REQUIRE(vhdx::grow(memory, 200000_MiB, Heap{}, SeededIds(8)));
    REQUIRE(vhdx::shrink(memory, 5_MiB, Heap{}, SeededIds(9)));
    const File disk = disk_of(memory);
    REQUIRE(vhdx::compact(memory, Heap{}, SeededIds(8)));
    const bool same = disk_of(memory) == disk;
    CHECK(same);
    CHECK(check_of(memory).is_clean());
    // First MiB, log, metadata, table, three blocks.
    CHECK(memory.size() == 7_MiB);
}

TEST_CASE("vhdx: a table that moves is not read where it stood", "[vhdx][compact]") {
    // A bitmap that looks like entries of a table, then goes, and the table comes to its place.
    GrowableMemory memory(new_vhdx(vhdx_options(10240_MiB, true)));
    const auto put = [&](uint64_t at, uint64_t length, uint32_t tag) {
        auto writer = writer_of(memory);
        std::array<byte, 512> scratch;
        REQUIRE(write(writer, at, contents(at, length, tag), scratch, ParentDisk{true}));
        REQUIRE(writer.close());
    };
    put(5120_MiB, 4096, 1);
    put(sector, 2 * sector, 0);
    put(23 * sector, sector, 0);
    REQUIRE(vhdx::grow(memory, 204800_MiB, Heap{}, SeededIds(8)));
    put(5121_MiB, 1_MiB, 3);
    REQUIRE(vhdx::shrink(memory, 10240_MiB, Heap{}, SeededIds(9)));
    const auto part = [&](uint64_t at) {
        const auto image = value_of(VhdxReader::open(MemoryStorage(memory.bytes())));
        File seen(2_MiB);
        REQUIRE(read(image, at, seen, ParentDisk{true}));
        return seen;
    };
    const File front = part(0), middle = part(5120_MiB);
    REQUIRE(vhdx::compact(memory, Heap{}, SeededIds(8), Compaction::drop, ParentDisk{true}));
    CHECK((part(0) == front));
    CHECK((part(5120_MiB) == middle));
    CHECK(check_of(memory).is_clean());
}

TEST_CASE("vhdx: a child that keeps its blocks shows its parent again", "[vhdx][write]") {
    GrowableMemory memory = lively(true);
    // Leave blocks allocated, which means nothing with a parent.
    const auto image = value_of(VhdxReader::open(MemoryStorage(memory.bytes())));
    File file = bytes_of(memory);
    file[image.layout().metadata_at + 65536 + 4] |= byte{1};
    GrowableMemory odd(file);
    auto writer = writer_of(odd);
    REQUIRE(writer.drop(0, writer.size()));
    REQUIRE(writer.close());
    const bool same = disk_of(odd, {true}) == contents(0, 5_MiB - 8 * sector, 0);
    CHECK(same);
}

TEST_CASE("vhdx: a parent gets other names, or another id", "[vhdx][parent]") {
    GrowableMemory memory = lively(true);
    const File disk = disk_of(memory, {true});
    const Guid old = SeededIds(9)(), fresh = SeededIds(10)(), next = SeededIds(11)();
    const auto open = [&] { return value_of(VhdxReader::open(MemoryStorage(memory.bytes()))); };
    const auto names = [&] {
        std::vector<std::string> all;
        std::array<char, 512> buffer;
        for (unsigned i = 0;; ++i) {
            const auto name = open().parent_name(i, buffer);
            if (!name) return all;
            all.emplace_back(*name);
        }
    };
    const Guid id = identity_of(memory);
    REQUIRE(vhdx::set_parent(
        memory, {.data_write_guid = old, .relative_path = "a/b.vhdx", .absolute_path = "/c/d.vhdx"},
        Heap{}, SeededIds(8)));
    CHECK(names() == std::vector<std::string>{"a/b.vhdx", "/c/d.vhdx"});
    CHECK(identity_of(memory) == id);

    REQUIRE(vhdx::set_parent_id(memory, old, next, Heap{}, SeededIds(8)));
    CHECK(open().is_child_of(old));
    CHECK(open().is_child_of(next));
    REQUIRE(vhdx::set_parent_id(memory, next, Guid{}, Heap{}, SeededIds(8)));
    CHECK_FALSE(open().is_child_of(old));
    CHECK(open().is_child_of(next));
    CHECK(names() == std::vector<std::string>{"a/b.vhdx", "/c/d.vhdx"});
    CHECK(identity_of(memory) == id);

    REQUIRE(vhdx::set_parent(memory,
                             {.data_write_guid = fresh, .relative_path = std::string(3000, 'x')},
                             Heap{}, SeededIds(8)));
    CHECK(open().is_child_of(fresh));
    CHECK(identity_of(memory) != id);
    const bool same = disk_of(memory, {true}) == disk;
    CHECK(same);
    CHECK(check_of(memory).is_clean());

    GrowableMemory base = lively();
    CHECK(vhdx::set_parent_id(base, old, {}, Heap{}, SeededIds(8)).error().code == Errc::invalid);
    CHECK(vhdx::set_parent(memory, {.data_write_guid = old}, Heap{}, SeededIds(8)).error().code ==
          Errc::invalid);
}

TEST_CASE("vhdx: the ids of disk and contents can be set", "[vhdx][ids]") {
    GrowableMemory memory = lively();
    const Guid id = SeededIds(20)();
    REQUIRE(vhdx::set_identity(memory, id, Heap{}, SeededIds(8)));
    CHECK(identity_of(memory) == id);
    REQUIRE(vhdx::set_virtual_disk_id(memory, id, Heap{}, SeededIds(8)));
    CHECK(value_of(VhdxReader::open(MemoryStorage(memory.bytes()))).layout().virtual_disk_id == id);
    CHECK(check_of(memory).is_clean());
}
