// SPDX-License-Identifier: BSL-1.0
// Writing VHD: random work against a plain vector, over kinds of images, storages and caches.
#include <vdisk/storage/counting.hpp>

#include "catch.hpp"
#include "support/share.hpp"
#include "support/vhd_work.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

struct Sort {
    const char* name;
    vhd::CreateOptions options;
    Mix mix;
};

std::vector<Sort> sorts() {
    using enum vhd::Type;
    const Mix usual{.pack = 0}, large{.pack = 0, .most = 40000};
    return {
        {"dynamic, 4 KiB", vhd_options(199 * sector, 12), usual},
        {"dynamic, 512 bytes", vhd_options(77 * sector, 9), usual},
        {"dynamic, 64 KiB", vhd_options(1000 * sector, 16), large},
        {"dynamic, 2 MiB", vhd_options(9000 * sector, 21), large},
        {"dynamic, 4 MiB: bitmaps of two sectors", vhd_options(9000 * sector, 22), large},
        {"differencing, 4 KiB", vhd_options(199 * sector, 12, differencing), usual},
        {"differencing, 512 bytes", vhd_options(77 * sector, 9, differencing), usual},
        {"differencing, 4 MiB", vhd_options(9000 * sector, 22, differencing), large},
        {"fixed", vhd_options(199 * sector, 12, fixed), usual},
    };
}

constexpr CacheShape caches[] = {{9, 0}, {9, 3}, {12, 8}};

template <class Place>
void work(const Sort& kind, CacheShape cache, uint64_t seed) {
    CAPTURE(kind.name, cache.page_bits, cache.count_bits, seed);
    const ParentDisk below{kind.options.type == vhd::Type::differencing};
    Place place(new_vhd(kind.options));
    using Handle = typename Place::Handle;
    auto writer = VhdWriter<Handle>::open(place.open(), {.cache = cache});
    REQUIRE(writer);
    File model = value_of(whole_disk(*writer, below));
    RandomWork random(kind.options.size, kind.mix, seed);
    for (int step = 0; step < 80; ++step) {
        const Status done = perform(*writer, random.next(), model, below);
        INFO(done.error().what);
        REQUIRE(done);
        if (step % 8 != 7) continue;
        const bool same = value_of(whole_disk(*writer, below)) == model;
        REQUIRE(same);
        REQUIRE(writer->flush());
        const auto report = value_of(check_vhd(place.bytes()));
        REQUIRE(report.is_clean());
        const bool still = value_of(read_vhd(place.bytes(), below)) == model;
        REQUIRE(still);
    }
}

}  // namespace

TEST_CASE("vhd: random work reads back, and the image is sound", "[vhd][write][model]") {
    size_t turn = 0;
    for (const Sort& kind : sorts()) {
        for (uint64_t seed = 0; seed < of_share(6); ++seed) {
            work<KeptInMemory>(kind, caches[turn++ % 3], seed);
        }
        work<KeptOnDisk>(kind, caches[2], 7);
    }
}

TEST_CASE("vhd: a child takes the sectors that were written, and no others", "[vhd][write]") {
    GrowableMemory memory(new_vhd(vhd_options(64 * sector, 14, vhd::Type::differencing)));
    const ParentDisk below{true};
    auto writer = VhdWriter<Borrowed<GrowableMemory>>::open(Borrowed(memory));
    REQUIRE(writer);
    File model = value_of(whole_disk(*writer, below));
    REQUIRE(perform(*writer, Op::write(5 * sector + 100, 2 * sector, 3), model, below));
    const auto before = writer->lookup(0, 32 * sector);
    REQUIRE(before);
    CHECK(before->kind == Kind::absent);
    CHECK(before->length == 5 * sector);
    const auto written = writer->lookup(5 * sector, 27 * sector);
    REQUIRE(written);
    CHECK(written->kind == Kind::data);
    CHECK(written->length == 3 * sector);
    const bool same = value_of(whole_disk(*writer, below)) == model;
    CHECK(same);
}

TEST_CASE("vhd: zeros take no space in a base image, and hide the parent in a child",
          "[vhd][write]") {
    for (const auto type : {vhd::Type::dynamic, vhd::Type::differencing}) {
        const bool child = type == vhd::Type::differencing;
        GrowableMemory memory(new_vhd(vhd_options(64 * sector, 12, type)));
        const uint64_t size = memory.size();
        auto writer = VhdWriter<Borrowed<GrowableMemory>>::open(Borrowed(memory));
        REQUIRE(writer);
        File scratch(512);
        REQUIRE(zero(*writer, 8 * sector, 16 * sector, scratch, ParentDisk{child}));
        REQUIRE(writer->flush());
        CHECK((memory.size() > size) == child);
        File seen(16 * sector, byte{1});
        REQUIRE(read(*writer, 8 * sector, seen, ParentDisk{child}));
        CHECK(is_zero(seen));
    }
}

TEST_CASE("vhd: many blocks share the flushes of one", "[vhd][write]") {
    GrowableMemory memory(new_vhd(vhd_options(640 * sector, 12)));
    Counters counters;
    using S = CountingStorage<Borrowed<GrowableMemory>>;
    auto writer = VhdWriter<S>::open(S(Borrowed(memory), counters));
    REQUIRE(writer);
    File model(640 * sector);
    REQUIRE(perform(*writer, Op::write(0, 640 * sector, 1), model, {}));
    CHECK(counters.flushes == 0);
    REQUIRE(writer->flush());
    CHECK(counters.flushes == 2);
}

TEST_CASE("vhd: dropped blocks show the parent again", "[vhd][write]") {
    GrowableMemory memory(new_vhd(vhd_options(64 * sector, 12, vhd::Type::differencing)));
    const ParentDisk below{true};
    auto writer = VhdWriter<Borrowed<GrowableMemory>>::open(Borrowed(memory));
    REQUIRE(writer);
    const File parent = value_of(whole_disk(*writer, below));
    File model = parent;
    REQUIRE(perform(*writer, Op::write(0, 64 * sector, 1), model, below));
    REQUIRE(writer->drop(0, writer->size()));
    REQUIRE(writer->flush());
    const bool same = value_of(read_vhd(bytes_of(memory), below)) == parent;
    CHECK(same);
    CHECK(vhd::compact(memory, Heap{}).error().code == Errc::invalid);  // its parent has to tell
    REQUIRE(vhd::compact(memory, Heap{}, vhd::Compaction::drop, below));
    CHECK(memory.size() <= new_vhd(vhd_options(64 * sector, 12, vhd::Type::differencing)).size());
}
