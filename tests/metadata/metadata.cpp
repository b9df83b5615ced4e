// SPDX-License-Identifier: BSL-1.0
// Tables in place and through a cache: the same entries, bounded memory, few reads.
#include <algorithm>
#include <random>

#include <vdisk/allocation/limited.hpp>
#include <vdisk/codec/none.hpp>
#include <vdisk/metadata/metadata.hpp>
#include <vdisk/storage/counting.hpp>
#include <vdisk/storage/faulty.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"
#include "support/storages.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

using InPlace = Metadata<MemoryStorage, Heap>;
using Paged = Metadata<PagedMemory, Heap>;
static_assert(InPlace::in_place && !Paged::in_place);

constexpr CacheShape shapes[] = {{9, 0}, {9, 1}, {9, 2}, {9, 3}, {9, 5}, {10, 0}, {12, 8}, {20, 0}};

// What stands at `at`: zeros if the file ends before the entry does.
uint64_t expected(const File& file, uint64_t at) {
    return fits(at, 8, file.size()) ? get_be64(file, at) : 0;
}

}  // namespace

TEST_CASE("metadata: the same entries in place and paged, at all offsets", "[metadata]") {
    for (const size_t size : {7u, 8u, 511u, 1024u, 1029u, 5000u}) {
        const File file = noise(size);
        const InPlace in_place = value_of(InPlace::make(MemoryStorage(file), {}, Heap{}));
        for (const CacheShape shape : shapes) {
            CAPTURE(size, shape.page_bits, shape.count_bits);
            const Paged paged = value_of(Paged::make(PagedMemory(file), shape, Heap{}));
            size_t wrong = 0;
            for (uint64_t at = 0; at != size + 20; ++at) {
                const auto a = in_place.be64(at), b = paged.be64(at);
                wrong += !a || !b || *a != expected(file, at) || *b != *a;
            }
            for (const uint64_t far : {~uint64_t{0}, ~uint64_t{7}, uint64_t{1} << 63}) {
                wrong += *in_place.be64(far) != 0 || *paged.be64(far) != 0;
            }
            CHECK(wrong == 0);
        }
    }
}

TEST_CASE("metadata: random offsets through every cache shape", "[metadata]") {
    const File file = noise(300003);
    for (const CacheShape shape : shapes) {
        CAPTURE(shape.page_bits, shape.count_bits);
        const Paged paged = value_of(Paged::make(PagedMemory(file), shape, Heap{}));
        std::mt19937 random(shape.page_bits);
        size_t wrong = 0;
        for (int i = 0; i != 20000; ++i) {
            const uint64_t at = i % 3 == 0 ? random() % 2048 : random() % (file.size() + 9);
            const auto entry = paged.be64(at);
            wrong += !entry || *entry != expected(file, at);
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("metadata: entries gives at least one and at most what was asked for", "[metadata]") {
    const File file = noise(2000);
    const Paged paged = value_of(Paged::make(PagedMemory(file), tiny_cache, Heap{}));
    const InPlace in_place = value_of(InPlace::make(MemoryStorage(file), {}, Heap{}));
    const auto check = [&](const auto& tables) {
        for (uint64_t at = 0; at + 8 <= file.size(); at += 5) {
            for (const uint64_t length : {8u, 16u, 600u, 10000u}) {
                const auto some = tables.entries(at, length);
                REQUIRE(some);
                REQUIRE(some->size() >= 8);
                REQUIRE(some->size() <= length);
                REQUIRE(std::ranges::equal(*some, Bytes(file).subspan(at, some->size())));
            }
        }
    };
    check(paged);
    check(in_place);
    CHECK(in_place.entries(100, 600)->size() == 600);
    CHECK(paged.entries(1024, 600)->size() == 512);
    CHECK(paged.entries(1536, 600)->size() == 2000 - 1536);
}

TEST_CASE("metadata: a cached page is not read again", "[metadata]") {
    const File file = noise(64_KiB);
    using Counted = Metadata<CountingStorage<PagedMemory>, Heap>;
    const auto reads_of = [&](CacheShape shape, std::initializer_list<uint64_t> pages) {
        Counters counters;
        const auto tables = value_of(Counted::make({PagedMemory(file), counters}, shape, Heap{}));
        for (const uint64_t page : pages) {
            CHECK(*tables.be64(page * 512 + 16) == get_be64(file, page * 512 + 16));
        }
        CHECK(counters.read_bytes == counters.reads << shape.page_bits);
        return counters.reads;
    };
    CHECK(reads_of({9, 0}, {1, 1, 1, 1}) == 1);
    CHECK(reads_of({9, 0}, {1, 2, 1, 2}) == 4);
    CHECK(reads_of({9, 1}, {1, 2, 1, 2, 2, 1}) == 2);
    CHECK(reads_of({9, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6, 5, 4, 3, 2, 1}) == 8);
    CHECK(reads_of({12, 0}, {1, 2, 3, 4, 5, 6, 7, 0}) == 1);
}

TEST_CASE("metadata: a page that could not be read is not taken for read", "[metadata][faults]") {
    const File file = noise(4096);
    using Faulty = Metadata<FaultyStorage<PagedMemory>, Heap>;
    for (const uint64_t at : {16u, 508u}) {  // in a page, across two
        Fault fault;
        const auto tables = value_of(Faulty::make({PagedMemory(file), fault}, tiny_cache, Heap{}));
        REQUIRE(*tables.be64(1024) == get_be64(file, 1024));
        fault = {.countdown = 1, .remains = Remains::torn};
        CHECK(tables.be64(at).error().code == Errc::io);
        CHECK(*tables.be64(at) == get_be64(file, at));
        CHECK(*tables.be64(1024) == get_be64(file, 1024));
    }
}

TEST_CASE("metadata: cache shapes and memory have limits", "[metadata]") {
    const File file(100);
    for (const CacheShape bad : {CacheShape{8, 0}, {21, 0}, {9, 17}, {0, 0}, {255, 255}}) {
        CHECK(Paged::make(PagedMemory(file), bad, Heap{}).error().code == Errc::invalid);
    }
    using Small = Metadata<PagedMemory, Limited<Heap>>;
    Budget budget{.ceiling = 1000};
    CHECK(Small::make(PagedMemory(file), {10, 0}, Limited<Heap>(budget)).error().code ==
          Errc::no_memory);
    CHECK(Small::make(PagedMemory(file), {9, 0}, Limited<Heap>(budget)));
    CHECK(budget.used == 0);
}

namespace {

// 64 TiB of qcow2 without the bytes: a header, one L1 table at 64 KiB whose last entry leads to an
// L2 table near the end of the file, whose last entry leads to the last cluster, full of 0x5A.
class Huge {
public:
    static constexpr uint64_t disk_size = 64_TiB, file_size = 64_TiB + 64_MiB;
    static constexpr uint64_t l1_at = 128_KiB, l1_entries = disk_size >> 29;
    static constexpr uint64_t l2_at = file_size - 128_KiB, data_at = file_size - 64_KiB;

    Huge() {
        Built empty = build(Qcow2Spec{.size = 512_MiB});
        header_ = std::move(empty.file);
        header_.resize(128_KiB);
        set_be64(header_, 24, disk_size);
        set_be32(header_, 36, l1_entries);
        set_be64(header_, 40, l1_at);
    }
    [[nodiscard]] uint64_t size() const { return file_size; }
    Status read(uint64_t at, MutBytes out) const {
        if (!fits(at, out.size(), file_size)) return invalid("huge: past the end");
        for (size_t i = 0; i != out.size(); ++i) out[i] = at_byte(at + i);
        return {};
    }

private:
    [[nodiscard]] byte at_byte(uint64_t at) const {
        if (at < header_.size()) return header_[at];
        if (at >= data_at) return byte{0x5A};
        const uint64_t entry = align_down(at, 3);
        uint64_t value = 0;
        if (entry == l1_at + (l1_entries - 1) * 8) value = l2_at;
        if (entry == l2_at + 8191 * 8) value = data_at;
        return static_cast<byte>(value >> (56 - (at & 7) * 8));
    }

    File header_;
};

}  // namespace

TEST_CASE("metadata: 64 TiB in one page", "[metadata][qcow2]") {
    const Huge huge;
    using Counted = CountingStorage<Borrowed<const Huge>>;
    using Image = qcow2::Image<Counted, Limited<Heap>, NoCodec>;
    Counters counters;
    Budget budget{.ceiling = 1024};
    const auto image = Image::open({Borrowed<const Huge>(huge), counters}, {.cache = tiny_cache},
                                   Limited<Heap>(budget));
    REQUIRE(image);
    CHECK(image->size() == 64_TiB);
    CHECK(counters.read_bytes <= 1024);  // the header, the page with its extensions

    counters = {};
    File out(4096);
    REQUIRE(read(*image, 64_TiB - 4096, out));
    CHECK(out == File(4096, byte{0x5A}));
    CHECK(counters.read_bytes == 4096 + 2 * 512);
    REQUIRE(read(*image, 64_TiB - 64_KiB - 4096, out));
    CHECK(out == File(4096));
    CHECK(image->lookup(1_TiB, 1_GiB)->kind == Kind::absent);
    CHECK(budget.peak <= 1024);
}

TEST_CASE("metadata: a page in use survives scans", "[metadata]") {
    const File file(256 * 512);
    Counters counters;
    using Counted = Metadata<CountingStorage<PagedMemory>, Heap>;
    const auto tables = value_of(Counted::make({PagedMemory(file), counters}, {9, 3}, Heap{}));
    for (uint64_t page = 1; page != 256; ++page) {
        REQUIRE(tables.be64(0));
        REQUIRE(tables.be64(page * 512));
    }
    CHECK(counters.reads <= 255 + 2);  // the hot page once, or twice where the clock began with it
}
