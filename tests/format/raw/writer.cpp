// SPDX-License-Identifier: BSL-1.0
// Writing raw images: every byte in its place, zeros as holes where there can be any.
#include <vdisk/format/raw/writer.hpp>
#include <vdisk/io/zero.hpp>
#include <vdisk/storage/borrowed.hpp>
#include <vdisk/storage/counting.hpp>
#include <vdisk/storage/faulty.hpp>
#include <vdisk/storage/growable.hpp>
#include <vdisk/storage/power_cut.hpp>
#include <vdisk/storage/pread.hpp>

#include "catch.hpp"
#include "support/temp.hpp"
#include "support/workload.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

using Memory = Borrowed<GrowableMemory>;

// Everything a guest may do, against a vector.
template <class W>
void work(W& writer, uint64_t seed) {
    File model = contents(0, writer.size(), 7);
    REQUIRE(perform(writer, Op::write(0, writer.size(), 7), model, {}));
    RandomWork random(writer.size(), {.pack = 0, .most = 3000}, seed);
    for (int step = 0; step < 200; ++step) {
        REQUIRE(perform(writer, random.next(), model, {}));
        REQUIRE(*whole_disk(writer, {}) == model);
    }
}

}  // namespace

static_assert(ErasableImage<raw::Writer<Memory>>);

TEST_CASE("raw: random work reads back, with holes and without", "[raw][write]") {
    GrowableMemory memory(File(20000));
    auto plain = raw::Writer<Memory>::open(Memory(memory));
    REQUIRE(plain);
    work(*plain, 1);

    CutLog log;
    File bytes(20000);
    auto punching = raw::Writer<PowerCutStorage>::open(PowerCutStorage(log, bytes));
    REQUIRE(punching);
    work(*punching, 2);

    const TempDir folder;
    auto file = PreadStorage::open((folder / "disk").c_str(), Access::create);
    REQUIRE(file);
    REQUIRE(file->resize(20000));
    auto on_disk = raw::Writer<PreadStorage>::open(*file);
    REQUIRE(on_disk);
    work(*on_disk, 3);
}

TEST_CASE("raw: a file that ends inside a sector grows when that sector is written",
          "[raw][write]") {
    GrowableMemory memory(File(1000, byte{7}));
    auto writer = raw::Writer<Memory>::open(Memory(memory));
    REQUIRE(writer);
    CHECK(writer->size() == 1024);
    File scratch(512);
    REQUIRE(write(*writer, 0, File(512, byte{1}), scratch));
    CHECK(memory.size() == 1000);
    REQUIRE(write(*writer, 1020, File(4, byte{2}), scratch));
    CHECK(memory.size() == 1024);
    const File seen = *whole_disk(*writer, {});
    CHECK(seen[511] == byte{1});
    CHECK(seen[999] == byte{7});
    CHECK(seen[1000] == byte{0});
    CHECK(seen[1020] == byte{2});
    CHECK(write(*writer, 1024, File(1), scratch).error().code == Errc::invalid);
}

TEST_CASE("raw: zeros are not stored where holes can be made", "[raw][write]") {
    CutLog log;
    File bytes(64 * 512, byte{9});
    Counters counters;
    using S = CountingStorage<PowerCutStorage>;
    auto writer = raw::Writer<S>::open(S(PowerCutStorage(log, bytes), counters));
    REQUIRE(writer);
    File scratch(512);
    REQUIRE(zero(*writer, 100, 20 * 512, scratch));
    CHECK(counters.punches == 1);
    CHECK(counters.punched_bytes == 19 * 512);
    CHECK(counters.written_bytes == 512);  // the two ends
    REQUIRE(discard(*writer, 30 * 512, 10 * 512));
    CHECK(counters.punches == 2);
    const File seen = *whole_disk(*writer, {});
    CHECK(seen[99] == byte{9});
    CHECK(seen[100] == byte{0});
    CHECK(seen[100 + 20 * 512 - 1] == byte{0});
    CHECK(seen[100 + 20 * 512] == byte{9});
    CHECK(seen[30 * 512] == byte{0});
    CHECK(seen[40 * 512] == byte{9});
}

TEST_CASE("raw: a hole that cannot be made for another reason is told", "[raw][write]") {
    CutLog log;
    File bytes(64 * 512, byte{9});
    Fault fault;
    using S = FaultyStorage<PowerCutStorage>;
    auto writer = raw::Writer<S>::open(S(PowerCutStorage(log, bytes), fault));
    REQUIRE(writer);
    fault.countdown = 1;
    CHECK(writer->zero(512, 1024).error().code == Errc::io);
    fault.countdown = 1;
    CHECK(discard(*writer, 512, 1024).error().code == Errc::io);
    CHECK(writer->zero(65 * 512, 512).error().code == Errc::invalid);
}

TEST_CASE("raw: a file of more than 2^63 bytes", "[raw]") {
    struct Endless {
        [[nodiscard]] uint64_t size() const { return ~uint64_t{0}; }
        Status read(uint64_t, MutBytes) const { return {}; }
    };
    CHECK(raw::Image<Endless>::open({}).error().code == Errc::limit);
}

TEST_CASE("raw: discard without holes keeps what is there", "[raw][write]") {
    GrowableMemory memory(File(4096, byte{9}));
    auto writer = raw::Writer<Memory>::open(Memory(memory));
    REQUIRE(writer);
    REQUIRE(discard(*writer, 0, 4096));
    CHECK(File(memory.bytes().begin(), memory.bytes().end()) == File(4096, byte{9}));
}
