// SPDX-License-Identifier: BSL-1.0
// Writing qcow: random work against a plain vector, every fault, every power cut.
#include <random>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/zlib.hpp>
#include <vdisk/format/qcow/create.hpp>
#include <vdisk/format/qcow/writer.hpp>
#include <vdisk/io/write.hpp>
#include <vdisk/storage/faulty.hpp>
#include <vdisk/storage/growable.hpp>
#include <vdisk/storage/memory.hpp>

#include "catch.hpp"
#include "support/cut.hpp"
#include "support/refusals.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

template <class S>
using Writer = qcow::Writer<S, Heap, Zlib>;
using Reader = qcow::Image<MemoryStorage, Heap, Zlib>;

constexpr uint64_t disk_size = 99 * 512;  // its last cluster is not whole
constexpr qcow::CreateOptions small{.size = disk_size, .cluster_bits = 10, .l2_bits = 6};

// The byte the guest finds below a base image, or in the parent of the tests.
byte parent_byte(uint64_t at) { return byte(at / 512 * 7 + 1); }
struct Striped {
    Status operator()(uint64_t at, MutBytes out) const {
        for (size_t i = 0; i < out.size(); ++i) out[i] = parent_byte(at + i);
        return {};
    }
};

std::vector<byte> parent_disk() {
    std::vector<byte> disk(disk_size);
    REQUIRE(Striped{}(0, disk));
    return disk;
}

std::vector<byte> guest(const std::vector<byte>& file) {
    const auto image = Reader::open(MemoryStorage(file));
    REQUIRE(image);
    std::vector<byte> disk(static_cast<size_t>(image->size()));
    REQUIRE(read(*image, 0, disk, Striped{}));
    return disk;
}

struct Piece {
    uint64_t at;
    std::vector<byte> bytes;
};

Piece random_piece(std::mt19937& random) {
    const uint64_t at = random() % disk_size;
    const uint64_t length = 1 + random() % std::min<uint64_t>(disk_size - at, 5000);
    return {at, std::vector<byte>(length, byte(random() % 255 + 1))};
}

void overwrite(std::vector<byte>& disk, const Piece& piece) {
    std::copy(piece.bytes.begin(), piece.bytes.end(),
              disk.begin() + static_cast<std::ptrdiff_t>(piece.at));
}

template <class W>
Status put(W& writer, const Piece& piece, size_t scratch_size = 700) {
    std::vector<byte> scratch(scratch_size);
    return write(writer, piece.at, piece.bytes, scratch, Striped{});
}

}  // namespace

TEST_CASE("qcow: random writes read back, whatever the cache", "[qcow][write]") {
    for (const CacheShape shape : {CacheShape{12, 8}, CacheShape{9, 0}, CacheShape{9, 3}}) {
        for (const size_t scratch : {1u, 512u, 100000u}) {
            CAPTURE(shape.page_bits, shape.count_bits, scratch);
            GrowableMemory memory;
            REQUIRE(qcow::create(memory, small));
            auto writer = Writer<GrowableMemory>::open(std::move(memory), {.cache = shape});
            REQUIRE(writer);
            std::vector<byte> model = parent_disk();
            std::mt19937 random(5);
            for (int step = 0; step < 150; ++step) {
                const Piece piece = random_piece(random);
                REQUIRE(put(*writer, piece, scratch));
                overwrite(model, piece);
                if (step % 10 == 0) REQUIRE(writer->flush());
                std::vector<byte> seen(disk_size);
                REQUIRE(read(*writer, 0, seen, Striped{}));
                REQUIRE(seen == model);
            }
            REQUIRE(writer->flush());
            std::vector<byte> file(static_cast<size_t>(writer->storage().size()));
            REQUIRE(writer->storage().read(0, file));
            CHECK(guest(file) == model);
        }
    }
}

TEST_CASE("qcow: a compressed cluster is unpacked before it is overwritten", "[qcow][write]") {
    const Built built =
        build(QcowSpec{.size = 64_KiB, .clusters = {{0, Fill::packed}, {3, Fill::packed}}});
    GrowableMemory memory;
    REQUIRE(memory.resize(built.file.size()));
    REQUIRE(memory.write(0, built.file));
    std::vector<byte> model = guest(built.file);
    auto writer = Writer<GrowableMemory>::open(std::move(memory));
    REQUIRE(writer);
    const Piece piece{100, std::vector<byte>(17, byte{0xEE})};
    REQUIRE(put(*writer, piece));
    overwrite(model, piece);
    REQUIRE(writer->flush());
    std::vector<byte> file(static_cast<size_t>(writer->storage().size()));
    REQUIRE(writer->storage().read(0, file));
    CHECK(guest(file) == model);
}

TEST_CASE("qcow: writes past the end and images that cannot be", "[qcow][write]") {
    GrowableMemory memory;
    CHECK(qcow::create(memory, {.size = 0}).error().code == Errc::invalid);
    CHECK(qcow::create(memory, {.size = uint64_t{1} << 62}).error().code == Errc::invalid);
    const std::string long_name(1024, 'n');
    CHECK(qcow::create(memory, {.size = 512, .backing_file = long_name}).error().code ==
          Errc::invalid);
    CHECK(qcow::create(memory, {.size = 512, .cluster_bits = 17}).error().code == Errc::corrupt);
    REQUIRE(qcow::create(memory, small));
    auto writer = Writer<GrowableMemory>::open(std::move(memory));
    REQUIRE(writer);
    CHECK(put(*writer, {disk_size - 1, std::vector<byte>(2)}).error().code == Errc::invalid);
}

TEST_CASE("qcow: an I/O error at any call loses nothing that was flushed", "[qcow][write][fault]") {
    const Piece first{3000, std::vector<byte>(3000, byte{0x11})};
    const Piece second{5000, std::vector<byte>(40000, byte{0x22})};
    bool succeeded = false;
    for (uint64_t n = 1; !succeeded; ++n) {
        CAPTURE(n);
        REQUIRE(n < 500);
        CutLog log;  // only to look at the bytes of the file
        std::vector<byte> file;
        PowerCutStorage storage(log, file);
        REQUIRE(qcow::create(storage, small));
        Fault fault;
        auto writer = Writer<FaultyStorage<PowerCutStorage>>::open(
            FaultyStorage<PowerCutStorage>(storage, fault), {.cache = {9, 1}});
        REQUIRE(writer);
        REQUIRE(put(*writer, first));
        REQUIRE(writer->flush());
        fault.countdown = n;
        Status done = put(*writer, second);
        if (done) done = writer->flush();
        succeeded = static_cast<bool>(done);
        if (succeeded) tell_faults("I/O, qcow writer", n - 1);
        if (!succeeded) {
            CHECK(done.error().code == Errc::io);
            const std::vector<byte> seen = guest(file);
            for (uint64_t at = 0; at < disk_size; ++at) {
                const bool flushed = at >= first.at && at < first.at + first.bytes.size();
                const byte old = flushed ? byte{0x11} : parent_byte(at);
                if (seen[at] != old && (at < second.at || seen[at] != byte{0x22})) FAIL(at);
            }
            REQUIRE(put(*writer, second));
            REQUIRE(writer->flush());
        }
        std::vector<byte> model = parent_disk();
        overwrite(model, first);
        overwrite(model, second);
        REQUIRE(guest(file) == model);
    }
}

namespace {

struct Outcome {
    Status verdict;
    uint64_t states;
};

// Writes four random pieces, flushes after some, and judges every sector of every state.
Outcome cut(unsigned seed, uint64_t forgotten) {
    CutLog log;
    std::vector<byte> file;
    {
        GrowableMemory memory;
        REQUIRE(qcow::create(memory, small));
        file.resize(static_cast<size_t>(memory.size()));
        REQUIRE(memory.read(0, file));
    }
    const CacheShape shape = seed % 2 == 0 ? CacheShape{12, 8} : CacheShape{9, 0};
    auto writer =
        Writer<ForgetfulStorage>::open(ForgetfulStorage(log, file, forgotten), {.cache = shape});
    REQUIRE(writer);
    std::vector<std::vector<byte>> history{parent_disk()};  // the disk after each step
    std::vector<size_t> begun{0};                           // events before each step
    std::vector<std::pair<size_t, size_t>> flushed;         // events, and the step they made safe
    std::mt19937 random(seed);
    for (size_t step = 1; step <= 4; ++step) {
        Piece piece = random_piece(random);  // whole sectors: the medium tears no finer
        piece.at = piece.at / 512 * 512;
        piece.bytes.resize((piece.bytes.size() + 511) / 512 * 512, piece.bytes[0]);
        piece.bytes.resize(std::min<size_t>(piece.bytes.size(), disk_size - piece.at));
        begun.push_back(log.events.size());
        REQUIRE(put(*writer, piece));
        history.push_back(history.back());
        overwrite(history.back(), piece);
        if (random() % 2 == 0) continue;
        REQUIRE(writer->flush());
        flushed.emplace_back(log.events.size(), step);
    }
    CutReplay replay(log, {.exhaustive = 8, .random = 64, .pairs = 8, .seed = seed});
    const Status verdict = replay.run([&](const CutState& state) -> Status {
        const auto image = Reader::open(MemoryStorage(state.files[0]));
        if (!image) return image.error();
        std::vector<byte> seen(disk_size);
        if (const Status got = read(*image, 0, seen, Striped{}); !got) return got;
        size_t oldest = 0;
        for (const auto& [events, step] : flushed) {
            if (events <= state.events) oldest = step;
        }
        for (uint64_t at = 0; at < disk_size; at += 512) {
            bool known = false;
            for (size_t step = oldest; step < history.size() && !known; ++step) {
                if (step > oldest && begun[step] >= state.events) break;
                known = std::memcmp(&seen[at], &history[step][at], 512) == 0;
            }
            if (!known) return corrupt("foreign data in a sector", {at});
        }
        return {};
    });
    return {verdict, replay.states()};
}

}  // namespace

TEST_CASE("qcow: after any power cut every sector is old or new", "[qcow][write][power_cut]") {
    uint64_t states = 0;
    for (unsigned seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        const Outcome outcome = cut(seed, 0);
        CHECK(outcome.verdict);
        states += outcome.states;
    }
    CHECK(states > 3000);
}

TEST_CASE("qcow: a barrier that is left out is seen", "[qcow][write][power_cut]") {
    // The first two stand before a new L2 table and its link: nobody can see what they protect
    // before the third has made it durable.
    for (uint64_t forgotten = 3; forgotten <= 6; ++forgotten) {
        CAPTURE(forgotten);
        unsigned caught = 0;
        for (unsigned seed = 0; seed < 20; ++seed) caught += !cut(seed, forgotten).verdict;
        CHECK(caught > 0);
    }
}
