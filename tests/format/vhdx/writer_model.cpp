// SPDX-License-Identifier: BSL-1.0
// Writing VHDX: random work against a plain vector, over kinds of images, storages and caches.
#include <vdisk/storage/counting.hpp>

#include "catch.hpp"
#include "support/cut_vhdx.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

struct Sort {
    const char* name;
    vhdx::CreateOptions options;
};

vhdx::CreateOptions shaped(vhdx::CreateOptions options, uint8_t block_bits, uint8_t sector_bits) {
    options.block_bits = block_bits;
    options.sector_bits = sector_bits;
    return options;
}

std::vector<Sort> sorts() {
    auto fixed = vhdx_options(3_MiB + 5 * sector);
    fixed.fixed = true;
    const auto plain = vhdx_options(5_MiB + 8 * sector),
               differencing = vhdx_options(plain.size, true);
    return {
        {"dynamic, 1 MiB", plain},
        {"dynamic, 2 MiB", shaped(plain, 21, 9)},
        {"dynamic, 16 MiB", shaped(plain, 24, 9)},
        {"dynamic, sectors of 4096", shaped(plain, 20, 12)},
        {"differencing, 1 MiB", differencing},
        {"differencing, 2 MiB", shaped(differencing, 21, 9)},
        {"differencing, 16 MiB", shaped(differencing, 24, 9)},
        {"differencing, sectors of 4096", shaped(differencing, 20, 12)},
        {"differencing, 8 MiB, sectors of 4096", shaped(differencing, 23, 12)},
        {"fixed", fixed},
    };
}

constexpr CacheShape caches[] = {{9, 0}, {9, 3}, {12, 0}, {12, 6}, {16, 2}};

template <class Place>
void work(const Sort& kind, CacheShape cache, uint64_t seed) {
    CAPTURE(kind.name, cache.page_bits, cache.count_bits, seed);
    const ParentDisk below{kind.options.is_child};
    Place place(new_vhdx(kind.options));
    using Handle = typename Place::Handle;
    std::optional writer{value_of(VhdxSubject::open<Handle>(place.open(), cache))};
    File model = value_of(whole_disk(*writer, below));
    RandomWork random(kind.options.size,
                      {.pack = 0, .reopen = 1, .most = seed % 2 == 0 ? 9000u : 400000u}, seed);
    for (int step = 0; step < 80; ++step) {
        const Op op = random.next();
        const Status done = perform(*writer, op, model, below);
        INFO(done.error().what);
        REQUIRE(done);
        if (op.kind == Op::Kind::reopen && step % 2 == 0) {
            writer.emplace(value_of(VhdxSubject::open<Handle>(place.open(), cache)));
        }
        if (step % 16 != 15) continue;
        bool same = value_of(whole_disk(*writer, below)) == model;
        REQUIRE(same);
        REQUIRE(writer->close());
        GrowableMemory closed(place.bytes());
        REQUIRE(value_of(vhdx::check_image(closed, Heap{})).is_clean());
        same = value_of(VhdxSubject::read(bytes_of(closed), below)) == model;
        REQUIRE(same);
    }
}

}  // namespace

TEST_CASE("vhdx: random work reads back, and the image is sound", "[vhdx][write][model]") {
    size_t turn = 0;
    for (const Sort& kind : sorts()) {
        for (uint64_t seed = 0; seed < of_share(5); ++seed) {
            work<KeptInMemory>(kind, caches[turn++ % 5], seed);
        }
        work<KeptOnDisk>(kind, caches[3], 7);
    }
}

TEST_CASE("vhdx: a block that is new in a child leaves its neighbours alone", "[vhdx][write]") {
    for (const uint8_t sector_bits : {uint8_t{9}, uint8_t{12}}) {
        GrowableMemory memory(new_vhdx(shaped(vhdx_options(9_MiB, true), 20, sector_bits)));
        const ParentDisk below{true};
        auto writer = value_of(VhdxSubject::open(Borrowed(memory), {12, 3}));
        File model = value_of(whole_disk(writer, below));
        for (const uint64_t block : {8, 3, 1, 2, 0}) {
            REQUIRE(perform(writer, Op::write(block * 1_MiB, 8192, 3), model, below));
            bool same = value_of(whole_disk(writer, below)) == model;
            CHECK(same);
        }
        // What the bitmap says of a block from before does not count.
        REQUIRE(perform(writer, Op::zero(1_MiB, 1_MiB), model, below));
        REQUIRE(writer.drop(1_MiB, 1_MiB));
        const File parent = contents(1_MiB, 1_MiB, 0);
        std::copy(parent.begin(), parent.end(), model.begin() + 1_MiB);
        REQUIRE(perform(writer, Op::write(1_MiB + 4096, 4096, 4), model, below));
        bool same = value_of(whole_disk(writer, below)) == model;
        CHECK(same);
    }
}

TEST_CASE("vhdx: every chunk has a bitmap of its own", "[vhdx][write]") {
    const uint64_t chunk = uint64_t{4} << 30;
    GrowableMemory memory(new_vhdx(vhdx_options(2 * chunk + 2_MiB, true)));
    const ParentDisk below{true};
    File scratch(1024);
    File model = contents(chunk - 2_MiB, 4_MiB, 0);
    {
        auto writer = value_of(VhdxSubject::open(Borrowed(memory), {12, 3}));
        for (const uint64_t at : {chunk - 700, chunk + 1_MiB + 5, 2 * chunk + 512}) {
            const File bytes = contents(at, 3000, 6);
            REQUIRE(write(writer, at, bytes, scratch, below));
            if (at > chunk + 2_MiB) continue;
            std::copy(bytes.begin(), bytes.end(),
                      model.begin() + static_cast<std::ptrdiff_t>(at - (chunk - 2_MiB)));
        }
    }
    const auto image = value_of(VhdxReader::open(MemoryStorage(memory.bytes())));
    File seen(model.size());
    REQUIRE(read(image, chunk - 2_MiB, seen, below));
    bool same = seen == model;
    CHECK(same);
    seen.resize(3000);
    REQUIRE(read(image, 2 * chunk + 512, seen, below));
    same = seen == contents(2 * chunk + 512, 3000, 6);
    CHECK(same);
    CHECK(value_of(vhdx::check_image(memory, Heap{})).is_clean());
    // First MiB, log, table, metadata; four blocks and three bitmaps.
    CHECK(memory.size() == 11_MiB);
}

TEST_CASE("vhdx: many blocks share the flushes of one", "[vhdx][write]") {
    GrowableMemory memory(new_vhdx(vhdx_options(40_MiB)));
    Counters counters;
    using S = CountingStorage<Borrowed<GrowableMemory>>;
    auto writer = value_of(VhdxSubject::open<S>(S(Borrowed(memory), counters), {12, 3}));
    File model(40_MiB);
    REQUIRE(perform(writer, Op::write(0, sector, 1), model, {}));
    REQUIRE(writer.flush());
    const uint64_t before = counters.flushes;
    for (uint64_t i = 1; i < 40; ++i) {
        REQUIRE(perform(writer, Op::write(i * 1_MiB, sector, 1), model, {}));
    }
    CHECK(counters.flushes == before);
    REQUIRE(writer.flush());
    // Data, log, places.
    CHECK(counters.flushes == before + 3);
}
