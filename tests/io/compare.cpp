// SPDX-License-Identifier: BSL-1.0
// Comparing: the first byte that differs, whatever the formats, holes and buffers.
#include <vdisk/io/compare.hpp>
#include <vdisk/storage/counting.hpp>
#include <vdisk/storage/faulty.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"
#include "support/refusals.hpp"
#include "support/storages.hpp"
#include "support/subjects.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

auto raw_image(const File& bytes) {
    return value_of(raw::Image<MemoryStorage>::open(MemoryStorage(bytes)));
}

constexpr uint64_t equal = ~uint64_t{0};

// Where two disks differ; both ways round must agree.
template <class L, class R>
uint64_t difference(const L& left, const R& right, uint64_t at, uint64_t length, size_t size) {
    File buffer(size);
    const auto forth = compare(left, right, at, length, buffer);
    const auto back = compare(right, left, at, length, buffer);
    REQUIRE(forth);
    REQUIRE(back);
    CHECK(*forth == *back);
    return forth->value_or(equal);
}

}  // namespace

TEST_CASE("compare: an image and its contents are equal", "[compare]") {
    for (const Subject& s : subjects()) {
        DYNAMIC_SECTION(s.name) {
            const InMemory place{s.image.file};
            const auto image = open(place, s.format);
            const auto model = raw_image(s.image.guest.bytes);
            for (const size_t size : {2000u, 8191u, 1u << 20}) {
                CHECK(difference(image, model, 0, image.size(), size) == equal);
            }
        }
    }
}

TEST_CASE("compare: the exact byte that differs", "[compare]") {
    const Subject& s = subjects()[6];
    const InMemory place{s.image.file};
    const auto image = open(place, s.format);
    File other = s.image.guest.bytes;
    for (const size_t at :
         {size_t{0}, size_t{511}, size_t{16384}, size_t{100001}, other.size() - 1}) {
        CAPTURE(at);
        other[at] ^= byte{1};
        const auto changed = raw_image(other);
        for (const size_t size : {1001u, 4096u, 1u << 20}) {
            CHECK(difference(image, changed, 0, image.size(), size) == at);
            CHECK(difference(image, changed, at, 1, size) == at);
            CHECK(difference(image, changed, at + 1, image.size() - at - 1, size) == equal);
            CHECK(difference(image, changed, 0, at, size) == equal);
        }
        other[at] ^= byte{1};
    }
    const auto two_of_them = [&] {
        other[90000] ^= byte{1};
        other[100] ^= byte{1};
        return raw_image(other);
    }();
    CHECK(difference(image, two_of_them, 0, image.size(), 4096) == 100);
}

TEST_CASE("compare: past the end of the shorter disk there are zeros", "[compare]") {
    const File shorter = noise(8192);
    File longer = shorter;
    longer.resize(20480);
    CHECK(difference(raw_image(shorter), raw_image(longer), 0, 20480, 1000) == equal);
    longer[20479] = byte{1};
    CHECK(difference(raw_image(shorter), raw_image(longer), 0, 20480, 1000) == 20479);
    CHECK(difference(raw_image(shorter), raw_image(longer), 0, 20479, 1000) == equal);
    CHECK(difference(raw_image(shorter), raw_image(shorter), 0, 99999, 1000) == equal);
}

TEST_CASE("compare: what is empty on both sides is not read", "[compare]") {
    const Built left = build(Qcow2Spec{
        .size = 1_GiB, .cluster_bits = 16, .clusters = {{5}, {9000}, {16000, Fill::zero}}});
    const Built right = build(
        Qcow2Spec{.size = 1_GiB, .cluster_bits = 16, .clusters = {{5}, {9000}}, .shuffle = 7});
    using Image = SystemImage<CountingStorage<MemoryStorage>>;
    Counters counters;
    const auto a = value_of(Image::open("qcow2", {MemoryStorage(left.file), counters}));
    const auto b = value_of(Image::open("qcow2", {MemoryStorage(right.file), counters}));
    counters = {};
    File buffer(1_MiB);
    const auto result = compare(a, b, 0, 1_GiB, buffer);
    REQUIRE(result);
    CHECK_FALSE(*result);
    CHECK(counters.read_bytes == 4 * 64_KiB);
}

TEST_CASE("compare: calls that cannot be", "[compare]") {
    const File bytes = noise(4096);
    const auto image = raw_image(bytes);
    File buffer(512);
    CHECK(compare(image, image, 0, 4096, MutBytes(buffer).first(1)).error().code == Errc::invalid);
    CHECK(compare(image, image, 2, ~uint64_t{0}, buffer).error().code == Errc::invalid);
    CHECK(compare(image, image, 4096, 0, buffer));
    CHECK_FALSE(io::first_difference({}, {}));
}

TEST_CASE("compare: failures are reported", "[compare][fault]") {
    const File bytes = noise(50000);
    const auto good = raw_image(bytes);
    for (const size_t size : {2u, 4096u, 8192u, 1u << 20}) {
        File buffer(size);
        for (uint64_t n = 1;; ++n) {
            CAPTURE(size, n);
            Fault fault{.countdown = n};
            const auto bad = value_of(raw::Image<FaultyStorage<MemoryStorage>>::open(
                FaultyStorage<MemoryStorage>(MemoryStorage(bytes), fault)));
            const auto result = compare(good, bad, 0, size < 10 ? 100 : 40000, buffer);
            if (!fault.fired) {
                tell_faults("I/O, compare", n - 1);
                CHECK(result);
                CHECK(n > 1);
                break;
            }
            REQUIRE_FALSE(result);
            CHECK(result.error().code == Errc::io);
        }
    }
    File buffer(1);
    CHECK(compare(good, good, 0, 10, buffer).error().code == Errc::invalid);
}
