// SPDX-License-Identifier: BSL-1.0
// Writing compressed blocks: every fault, every power cut.
#include <vdisk/storage/faulty.hpp>

#include "support/cut.hpp"
#include "support/packed_qcow.hpp"
#include "support/refusals.hpp"

using namespace vdisk;
using namespace vdisk::test;
using namespace vdisk::test::packed_qcow;

TEST_CASE("pack: an I/O error at any call loses nothing that was flushed", "[io][pack][fault]") {
    const auto remains = GENERATE(Remains::nothing, Remains::torn);
    const Piece first{2 * unit, File(unit, byte{0x11})};
    std::vector<Piece> second{{2 * unit, File(unit, byte{0x22})},   // over a packed one
                              {5 * unit, noise(unit)},              // plain
                              {70 * unit, File(unit, byte{0x33})},  // in the second L2 table
                              {5 * unit, File(unit, byte{0x44})}};  // over a plain one
    bool succeeded = false;
    uint64_t tried = 0;
    for (uint64_t n = 1; !succeeded; ++n) {
        CAPTURE(n);
        REQUIRE(n < 500);
        CutLog log;  // only to look at the bytes of the file
        File file = empty_image();
        Fault fault{.countdown = 0, .remains = remains};
        using S = FaultyStorage<PowerCutStorage>;
        auto writer = Writer<S>::open(S(PowerCutStorage(log, file), fault), {.cache = {9, 1}});
        REQUIRE(writer);
        Zlib codec;
        REQUIRE(put_block(*writer, codec, first));
        REQUIRE(writer->flush());
        File before = parent_disk();
        overwrite(before, first);
        File after = before;
        for (const Piece& piece : second) overwrite(after, piece);

        fault.countdown = n;
        Status done;
        for (const Piece& piece : second) {
            if (done) done = put_block(*writer, codec, piece);
        }
        if (done) done = writer->flush();
        succeeded = !fault.fired;
        CHECK(static_cast<bool>(done) == succeeded);
        if (!succeeded) {
            ++tried;
            CHECK(done.error().code == Errc::io);
            const File seen = guest(file);
            for (uint64_t at = 0; at < disk_size; at += unit) {
                const size_t length = std::min<uint64_t>(unit, disk_size - at);
                const auto is = [&](const File& disk) {
                    return std::memcmp(&seen[at], &disk[at], length) == 0;
                };
                File between = before;
                overwrite(between, second[1]);
                if (!is(before) && !is(after) && !is(between)) FAIL(at);
            }
            for (const Piece& piece : second) REQUIRE(put_block(*writer, codec, piece));
            REQUIRE(writer->flush());
        }
        REQUIRE(guest(file) == after);
    }
    tell_faults("I/O, qcow pack", tried);
    CHECK(tried > 15);
}

namespace {

struct PackOutcome {
    Status verdict;
    uint64_t states;
};

// Six random steps on one L2 table or both, packed blocks mostly, written again and again; flushes
// after some. Judges every sector of every state.
PackOutcome cut(unsigned seed, uint64_t forgotten) {
    CutLog log;
    File file = empty_image();
    const CacheShape shape = seed % 2 == 0 ? CacheShape{12, 8} : CacheShape{9, 0};
    auto writer =
        Writer<ForgetfulStorage>::open(ForgetfulStorage(log, file, forgotten), {.cache = shape});
    REQUIRE(writer);
    Zlib codec;
    std::vector<File> history{parent_disk()};        // the disk after each step
    std::vector<size_t> begun{0};                    // events before each step
    std::vector<std::pair<size_t, size_t>> flushed;  // events, and the step they made safe
    std::mt19937 random(seed);
    for (size_t step = 1; step <= 6; ++step) {
        Piece piece = random_block(random);
        if (random() % 2 == 0) piece.at = random() % 3 * unit;  // rewrites
        piece.bytes.resize(std::min<uint64_t>(unit, disk_size - piece.at), byte{7});
        begun.push_back(log.events.size());
        if (step % 3 == 0) REQUIRE(put(*writer, {piece.at, File(512, byte(seed + step))}));
        else REQUIRE(put_block(*writer, codec, piece));
        if (step % 3 == 0) piece.bytes = File(512, byte(seed + step));
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
        File seen(disk_size);
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

TEST_CASE("pack: after any power cut every sector is old or new", "[io][pack][power_cut]") {
    uint64_t states = 0;
    for (unsigned seed = 0; seed < of_share(300); ++seed) {
        CAPTURE(seed);
        const PackOutcome outcome = cut(seed, 0);
        if (!outcome.verdict) UNSCOPED_INFO(outcome.verdict.error().what);
        CHECK(outcome.verdict);
        states += outcome.states;
    }
    CAPTURE(states);
    CHECK(states > 10000 / share());
}

TEST_CASE("pack: a barrier that is left out is seen", "[io][pack][power_cut]") {
    // The first two stand before a new L2 table and its link: nobody can see what they protect
    // before the third has made it durable.
    for (uint64_t forgotten = 3; forgotten <= 6; ++forgotten) {
        CAPTURE(forgotten);
        unsigned caught = 0;
        for (unsigned seed = 0; seed < 30; ++seed) caught += !cut(seed, forgotten).verdict;
        CHECK(caught > 0);
    }
}
