// SPDX-License-Identifier: BSL-1.0
// Writing qcow2 images whose tables lie: what is written lands on nothing else.
#include "catch.hpp"
#include "support/cut_qcow2.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

// One guest cluster of 512 bytes after the other, from the first on.
Qcow2Files written(qcow2::CreateOptions options, uint64_t sectors) {
    Qcow2AtWork<KeptInMemory> image(new_qcow2(options), {});
    File model = value_of(whole_disk(image.writer(), {}));
    REQUIRE(perform(image.writer(), Op::write(0, sectors * sector, 3), model, {}));
    REQUIRE(image.writer().flush());
    return image.files();
}

constexpr qcow2::CreateOptions tiny{.size = 60 * 512, .cluster_bits = 9};

uint64_t l2_table(const File& image) {
    return get_be64(image, get_be64(image, 40)) & 0x00FFFFFFFFFFFE00;
}
bool is_marked(const GrowableMemory& image) {
    return (get_be64(bytes_of(image), 72) & qcow2::incompatible::corrupt) != 0;
}

Status write_at(Qcow2Writer<Borrowed<GrowableMemory>>& writer, uint64_t sector_number,
                uint64_t count = 1) {
    File model(static_cast<size_t>(writer.size()));
    return perform(writer, Op::write(sector_number * sector, count * sector, 5), model, {});
}

}  // namespace

TEST_CASE("qcow2: a cluster that held the refcount table may be written", "[qcow2][write][guard]") {
    constexpr qcow2::CreateOptions options{
        .size = 60 * 512, .cluster_bits = 9, .refcount_order = 6};
    Qcow2Files files = written(options, 5);
    fill_up(files.image);
    GrowableMemory memory(files.image);
    auto writer = Qcow2Writer<Borrowed<GrowableMemory>>::open(Borrowed<GrowableMemory>(memory));
    REQUIRE(writer);
    const uint64_t table = get_be64(files.image, 48);
    for (int round = 0; round < 3; ++round) {
        for (uint64_t i = 0; i < 40; ++i) REQUIRE(write_at(*writer, i));
        REQUIRE(writer->flush());
    }
    REQUIRE(get_be64(bytes_of(memory), 48) != table);
    CHECK(value_of(check_file(bytes_of(memory))).corruptions == 0);
    CHECK_FALSE(is_marked(memory));
}

TEST_CASE("qcow2: a table whose refcount is 0 is not written over", "[qcow2][write][guard]") {
    Qcow2Files files = written(tiny, 5);
    const uint64_t table = l2_table(files.image);
    const File before(files.image.begin() + static_cast<std::ptrdiff_t>(table),
                      files.image.begin() + static_cast<std::ptrdiff_t>(table + 512));
    for (const bool packed : {false, true}) {
        CAPTURE(packed);
        GrowableMemory memory(files.image);
        REQUIRE(memory.write(get_be64(files.image, get_be64(files.image, 48)) + table / 512 * 2,
                             File(2)));
        auto writer = Qcow2Writer<Borrowed<GrowableMemory>>::open(Borrowed<GrowableMemory>(memory));
        REQUIRE(writer);
        Status done;
        if (packed) done = pack_cluster(*writer, 20 * 512, contents(20 * 512, 512, 1));
        else done = write_at(*writer, 20);
        REQUIRE_FALSE(done);
        CHECK(done.error().code == Errc::corrupt);
        CHECK(is_marked(memory));
        const File after = bytes_of(memory);
        CHECK(std::equal(before.begin(), before.end(),
                         after.begin() + static_cast<std::ptrdiff_t>(table)));
        CHECK_FALSE(write_at(*writer, 0));  // nothing more
    }
}

TEST_CASE("qcow2: a cluster that is metadata, too, is not overwritten in place",
          "[qcow2][write][guard]") {
    const Qcow2Files files = written(tiny, 5);
    const uint64_t table = l2_table(files.image);
    const uint64_t targets[] = {table, get_be64(files.image, get_be64(files.image, 48))};
    for (const uint64_t target : targets) {
        CAPTURE(target);
        File image = files.image;
        set_be64(image, table + 2 * 8, target | qcow2::entry::copied);
        GrowableMemory memory(image);
        auto writer = Qcow2Writer<Borrowed<GrowableMemory>>::open(Borrowed<GrowableMemory>(memory));
        REQUIRE(writer);
        const Status done = write_at(*writer, 2);
        REQUIRE_FALSE(done);
        CHECK(done.error().code == Errc::corrupt);
        CHECK(is_marked(memory));
    }
}

TEST_CASE("qcow2: a table is not given up as data", "[qcow2][write][guard]") {
    const Qcow2Files files = written(tiny, 5);
    const uint64_t table = l2_table(files.image);
    for (const uint64_t flag : {uint64_t{0}, qcow2::entry::copied}) {
        CAPTURE(flag);
        File image = files.image;
        set_be64(image, table + 2 * 8, table | flag);
        GrowableMemory memory(image);
        auto writer = Qcow2Writer<Borrowed<GrowableMemory>>::open(Borrowed<GrowableMemory>(memory));
        REQUIRE(writer);
        CHECK_FALSE(discard(*writer, 2 * 512, 512));
        CHECK(is_marked(memory));
    }
}

TEST_CASE("qcow2: what cannot be read is not given up", "[qcow2][write][guard]") {
    const Qcow2Files files = written(tiny, 5);
    const uint64_t table = l2_table(files.image);
    const uint64_t entries[] = {uint64_t{1} << 40, 512, 0x300,
                                qcow2::entry::compressed | uint64_t{1} << 40};
    for (const uint64_t e : entries) {
        CAPTURE(e);
        File image = files.image;
        set_be64(image, table + 2 * 8, e);
        GrowableMemory memory(image);
        auto writer = Qcow2Writer<Borrowed<GrowableMemory>>::open(Borrowed<GrowableMemory>(memory));
        REQUIRE(writer);
        File model(tiny.size), scratch(512);
        CHECK_FALSE(discard(*writer, 0, 5 * 512));
        CHECK(value_of(writer->lookup(512, 512)).kind == Kind::zero);  // so far it came
        CHECK_FALSE(vdisk::zero(*writer, 2 * 512, 512, scratch));
        CHECK_FALSE(pack_cluster(*writer, 2 * 512, contents(2 * 512, 512, 1)));
        CHECK(write_at(*writer, 10));
        CHECK(writer->flush());  // it does not stand in the way of the rest
        CHECK(get_be64(bytes_of(memory), table + 2 * 8) == e);
    }
}

TEST_CASE("qcow2: without its external data file nothing is written", "[qcow2][write][guard]") {
    const Qcow2Files files = new_qcow2({.size = 64_KiB, .cluster_bits = 12, .data_file = "d"});
    GrowableMemory memory(files.image);
    auto writer = Qcow2Writer<Borrowed<GrowableMemory>>::open(Borrowed<GrowableMemory>(memory));
    REQUIRE(writer);
    CHECK(write_at(*writer, 0, 8).error().code == Errc::not_found);
    CHECK(writer->zero(0, 4096).error().code == Errc::not_found);
    CHECK(writer->flush());
    CHECK(bytes_of(memory) == files.image);
}
