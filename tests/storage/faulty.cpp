// SPDX-License-Identifier: BSL-1.0
#include <array>

#include <vdisk/storage/borrowed.hpp>
#include <vdisk/storage/faulty.hpp>
#include <vdisk/storage/growable.hpp>
#include <vdisk/storage/pread.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"

using namespace vdisk;

namespace {

using Faulty = FaultyStorage<Borrowed<GrowableMemory>>;
static_assert(ViewableStorage<Faulty> && WritableStorage<Faulty> && !SparseStorage<Faulty>);
static_assert(!ViewableStorage<FaultyStorage<PreadStorage>>);
static_assert(SparseStorage<FaultyStorage<PreadStorage>>);

// Six calls over two copies; how many worked before one failed.
int work(Faulty file) {
    Faulty copy = file;
    std::array<byte, 8> bytes = {};
    if (!file.resize(64)) return 0;
    if (!copy.write(0, bytes)) return 1;
    if (!file.flush()) return 2;
    if (!copy.read(8, bytes)) return 3;
    if (!file.view(0, 8)) return 4;
    if (!copy.read(0, bytes)) return 5;
    return 6;
}

}  // namespace

TEST_CASE("faulty: the n-th call fails, whichever it is", "[faulty]") {
    for (int n = 1;; ++n) {
        GrowableMemory file;
        Fault fault{.countdown = static_cast<uint64_t>(n)};
        const int worked = work(Faulty(Borrowed(file), fault));
        if (!fault.fired) {
            CHECK(worked == 6);
            CHECK(n == 7);
            break;
        }
        CHECK(worked == n - 1);
        CHECK(work(Faulty(Borrowed(file), fault)) == 6);  // once only
    }
}

TEST_CASE("faulty: a torn transfer leaves half of something", "[faulty]") {
    GrowableMemory file(std::vector<byte>(4, byte{7}));
    Fault fault{.countdown = 1, .remains = Remains::torn};
    Faulty faulty{Borrowed(file), fault};
    std::array<byte, 4> out = {};
    CHECK(faulty.read(0, out).error().code == Errc::io);
    CHECK(out == std::array{byte{0xA5}, byte{0xA5}, byte{0}, byte{0}});

    fault.countdown = 1;
    CHECK(faulty.write(0, std::array{byte{1}, byte{2}, byte{3}, byte{4}}).error().code == Errc::io);
    REQUIRE(faulty.read(0, out));
    CHECK(out == std::array{byte{1}, byte{2}, byte{7}, byte{7}});
}
