// SPDX-License-Identifier: BSL-1.0
// Copying: exact, sparse, with buffers of odd sizes.
#include <algorithm>

#include <vdisk/io/copy.hpp>
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

constexpr byte untouched{0xEE};

// Zeros of every alignment and length, between noise.
File patchy() {
    File bytes = noise(400000, 6);
    size_t at = 100;
    for (const size_t hole : {1u, 511u, 512u, 4095u, 4096u, 8191u, 8192u, 65536u, 100000u}) {
        std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(at), hole, byte{0});
        at += hole + 3001;
    }
    std::fill_n(bytes.begin() + 40960, 12288, byte{0});  // aligned
    bytes.resize(399872);                                // sectors
    return bytes;
}

GrowableMemory copied(const File& source, size_t buffer_size, CopyOptions options) {
    GrowableMemory target(File(source.size(), untouched));
    File buffer(buffer_size);
    const auto image = value_of(raw::Image<MemoryStorage>::open(MemoryStorage(source)));
    REQUIRE(copy(image, 0, image.size(), target, buffer, options));
    return target;
}

}  // namespace

TEST_CASE("copy: every format, through buffers of any size", "[copy]") {
    for (const Subject& s : subjects()) {
        DYNAMIC_SECTION(s.name) {
            const InMemory place{s.image.file};
            const auto image = open(place, s.format);
            const File& model = s.image.guest.bytes;
            for (const size_t size : {1000u, 4096u, 70001u, 1u << 20, 3u << 20}) {
                CAPTURE(size);
                GrowableMemory target{File(model.size())};
                File buffer(size);
                REQUIRE(copy(image, 0, image.size(), target, buffer));
                CHECK(std::ranges::equal(target.bytes(), model));
            }
        }
    }
}

TEST_CASE("copy: a part goes to the same place and touches nothing else", "[copy]") {
    const Subject& s = subjects().back();
    const InMemory place{s.image.file};
    const auto image = open(place, s.format);
    const File& model = s.image.guest.bytes;
    for (const auto& [at, length] :
         {std::pair<size_t, size_t>(0, 0), {1, 1}, {70000, 200001}, {model.size() - 5, 5}}) {
        CAPTURE(at, length);
        GrowableMemory target(File(model.size(), untouched));
        File buffer(9999), wanted(model.size(), untouched);
        REQUIRE(copy(image, at, length, target, buffer, {.target_is_zero = false}));
        std::copy_n(model.begin() + static_cast<ptrdiff_t>(at), length,
                    wanted.begin() + static_cast<ptrdiff_t>(at));
        CHECK(std::ranges::equal(target.bytes(), wanted));
    }
}

TEST_CASE("copy: zeros are left out, everything else is written", "[copy][sparse]") {
    const File source = patchy();
    for (const uint32_t sparse : {512u, 4096u, 65536u}) {
        CAPTURE(sparse);
        const GrowableMemory target = copied(source, 1 << 20, {.sparse = sparse});
        size_t wrong = 0, missed = 0;
        for (size_t at = 0; at < source.size(); at += 512) {
            for (size_t i = at; i != at + 512; ++i) {
                const bool left_out = target.bytes()[i] == untouched && source[i] == byte{0};
                wrong += target.bytes()[i] != source[i] && !left_out;
            }
        }
        const uint32_t block = std::min(sparse, 4096u);
        for (size_t at = 0; at + sparse <= source.size(); at += block) {
            const Bytes zeros = Bytes(source).subspan(at, sparse);
            if (!is_zero(zeros)) continue;
            missed += !std::ranges::all_of(target.bytes().subspan(at, sparse),
                                           [](byte b) { return b == untouched; });
        }
        CHECK(wrong == 0);
        CHECK(missed == 0);
    }
}

TEST_CASE("copy: all bytes are written where that is asked for", "[copy][sparse]") {
    const File source = patchy();
    for (const size_t size : {777u, 65536u}) {
        CHECK(std::ranges::equal(copied(source, size, {.sparse = 0}).bytes(), source));
        CHECK(std::ranges::equal(copied(source, size, {.target_is_zero = false}).bytes(), source));
    }
    // Holes of the source, too.
    const Built qcow2 =
        build(Qcow2Spec{.size = 1_MiB, .cluster_bits = 12, .clusters = {{7}, {9, Fill::zero}}});
    const InMemory place{qcow2.file};
    const auto image = open(place, "qcow2");
    GrowableMemory target(File(1_MiB, untouched));
    File buffer(5000);
    REQUIRE(copy(image, 0, 1_MiB, target, buffer, {.target_is_zero = false}));
    CHECK(std::ranges::equal(target.bytes(), qcow2.guest.bytes));
}

TEST_CASE("copy: holes of the source file stay holes", "[copy][sparse]") {
    const TempDir folder;
    auto source = value_of(PreadStorage::open((folder / "source").c_str(), Access::create));
    auto target = value_of(PreadStorage::open((folder / "target").c_str(), Access::create));
    REQUIRE(source.resize(8_MiB));
    REQUIRE(target.resize(8_MiB));
    const File piece = noise(64_KiB);
    REQUIRE(source.write(3_MiB, piece));
    if (!value_of(source.hole(0, 8_MiB)).is_hole) return;  // this file system has none
    const auto image = value_of(raw::Image<PreadStorage>::open(source));
    File buffer(64_KiB);
    REQUIRE(copy(image, 0, image.size(), target, buffer));
    File out(64_KiB);
    REQUIRE(target.read(3_MiB, out));
    CHECK(out == piece);
    CHECK(value_of(target.hole(0, 8_MiB)).length == 3_MiB);
    CHECK(value_of(target.hole(4_MiB, 4_MiB)).length == 4_MiB);
}

TEST_CASE("copy: what cannot be done is refused", "[copy]") {
    const File source = noise(8192);
    const auto image = value_of(raw::Image<MemoryStorage>::open(MemoryStorage(source)));
    GrowableMemory target{File(8192)};
    File buffer(1024);
    CHECK(copy(image, 0, 8192, target, MutBytes{}).error().code == Errc::invalid);
    CHECK(copy(image, 0, 8193, target, buffer).error().code == Errc::invalid);
    CHECK(copy(image, ~uint64_t{0}, 2, target, buffer).error().code == Errc::invalid);
    GrowableMemory small{File(8000)};
    CHECK(copy(image, 0, 8192, small, buffer).error().code == Errc::invalid);
}

TEST_CASE("copy: every failure of the target is reported", "[copy][fault]") {
    const File source = patchy();
    const auto image = value_of(raw::Image<MemoryStorage>::open(MemoryStorage(source)));
    for (const bool is_zero : {true, false}) {
        for (uint64_t n = 1;; ++n) {
            GrowableMemory memory{File(source.size())};
            Fault fault{.countdown = n};
            FaultyStorage<Borrowed<GrowableMemory>> target(Borrowed<GrowableMemory>(memory), fault);
            File buffer(30000);
            const Status status =
                copy(image, 0, image.size(), target, buffer, {.target_is_zero = is_zero});
            CHECK(static_cast<bool>(status) == !fault.fired);
            if (fault.fired) continue;
            tell_faults("I/O, copy", n - 1);
            CHECK(n > 10);
            break;
        }
    }
}

TEST_CASE("copy: every failure of the source is reported", "[copy][fault]") {
    using Source = FaultyStorage<PagedMemory>;
    for (const Subject& s : subjects()) {
        uint64_t faults = 0;
        bool fired = true;
        for (uint64_t n = 1 + first_of_share(); fired; n += share()) {
            CAPTURE(s.name, n);
            REQUIRE(n < 5000);
            Fault fault;
            const auto image = value_of(SystemImage<Source>::open(
                s.format, Source(PagedMemory(s.image.file), fault), {.cache = tiny_cache}));
            fault = {.countdown = n, .remains = Remains::torn};
            GrowableMemory target{File(image.size())};
            File buffer(30000);
            const Status done = copy(image, 0, image.size(), target, buffer);
            fired = fault.fired;
            faults += fired;
            if (!fired) REQUIRE(done);
            // A run of extents may end earlier instead; what is copied is right.
            if (!done) REQUIRE(done.error().code == Errc::io);
            else REQUIRE(std::ranges::equal(target.bytes(), s.image.guest.bytes));
        }
        tell_faults("I/O, copy", faults);
        CHECK((faults > 5 || share() > 1));
    }
}

TEST_CASE("copy: a run of zeros exactly as long as asked for is left out", "[copy][sparse]") {
    constexpr size_t size = 65536;
    for (const uint32_t sparse : {512u, 4096u, 8192u}) {
        for (const size_t zeros : {size_t{sparse} - 512, size_t{sparse}}) {
            for (const size_t at : {size_t{0}, size_t{16384}, size - zeros}) {
                CAPTURE(sparse, zeros, at);
                File bytes(size, byte{1});
                std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(at), zeros, byte{0});
                GrowableMemory memory{File(size)};
                Counters counters;
                CountingStorage target(Borrowed<GrowableMemory>(memory), counters);
                REQUIRE(io::write_sparse(target, 0, bytes, sparse));
                CHECK(std::ranges::equal(memory.bytes(), bytes));
                CHECK(counters.written_bytes == (zeros == sparse ? size - zeros : size));
            }
        }
    }
}
