// SPDX-License-Identifier: BSL-1.0
// Writing VHD to storages that fail: at any call, or because the medium is full. What was flushed
// stays, the error is told, and once the storage works again, so does the image.
#include <iostream>

#include <vdisk/storage/faulty.hpp>

#include "catch.hpp"
#include "support/cut_vhd.hpp"
#include "support/legal.hpp"
#include "support/refusals.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

// Opens, has no damage but leaks; what the guest sees.
File sound(const ImageCutWork& work, const File& file) {
    REQUIRE(at_most_leaks_in_vhd(file));
    return value_of(read_vhd(file, work.below));
}

// Works until something fails, looks at what is left, heals the storage and works on. `wrap` makes
// the storage of a good one, `arm` makes it fail, `heal` mends it. The error, if there was one.
template <class S, class Wrap, class Arm, class Heal>
Status fail_and_go_on(const ImageCutWork& work, const Wrap& wrap, const Arm& arm,
                      const Heal& heal) {
    GrowableMemory memory(work.start);
    auto writer = VhdWriter<S>::open(wrap(Borrowed(memory)), {.cache = work.cache});
    REQUIRE(writer);
    arm();
    File model = value_of(read_vhd(work.start, work.below));
    Legal legal(model);
    Status failed;
    for (const Op& op : work.ops) {
        Status done = perform(*writer, op, model, work.below);
        if (!done) {
            REQUIRE(failed);  // it worked again
            failed = done;
            legal.attempt(op);
            REQUIRE(legal.allows(sound(work, bytes_of(memory))));
            heal();
            REQUIRE(writer->flush());
            REQUIRE(legal.allows(sound(work, bytes_of(memory))));
            REQUIRE(perform(*writer, op, model, work.below));
        }
        legal.add(model);
        if (op.kind == Op::Kind::flush) legal.flushed();
    }
    const bool same = sound(work, bytes_of(memory)) == model;
    REQUIRE(same);
    return failed;
}

}  // namespace

TEST_CASE("vhd: an I/O error at any call of any work loses nothing that was flushed",
          "[vhd][write][fault]") {
    uint64_t faults = 0;
    for (const VhdCutKind& kind : vhd_cut_kinds()) {
        for (uint64_t seed = 1; seed <= 4; ++seed) {
            ImageCutWork work = make_cut(kind, seed);
            work.ops = without_reopening(work.ops);
            bool fired = true;
            for (uint64_t n = 1 + first_of_share(); fired; n += share()) {
                CAPTURE(kind.name, seed, n);
                REQUIRE(n < 5000);
                Fault fault;
                using S = FaultyStorage<Borrowed<GrowableMemory>>;
                const Status failed = fail_and_go_on<S>(
                    work, [&](Borrowed<GrowableMemory> good) { return S(good, fault); },
                    [&] { fault = {.countdown = n, .remains = remains_of(seed, n)}; }, [] {});
                fired = fault.fired;
                if (fault.hit_change) CHECK_FALSE(failed);
                if (!fired) CHECK(failed);
                if (failed) continue;
                CHECK(failed.error().code == Errc::io);
                ++faults;
            }
        }
    }
    tell_faults("I/O, vhd writer", faults);
    CHECK(faults > 500 / share());
}

TEST_CASE("vhd: a full disk loses nothing that was flushed", "[vhd][write][fault]") {
    uint64_t full = 0;
    for (const VhdCutKind& kind : vhd_cut_kinds()) {
        for (uint64_t seed = 1; seed <= 4; ++seed) {
            ImageCutWork work = make_cut(kind, seed);
            work.ops = without_reopening(work.ops);
            bool failed = true;
            for (uint64_t room = first_of_share() * 3 * sector; failed;
                 room += share() * 3 * sector) {
                CAPTURE(kind.name, seed, room);
                REQUIRE(room < 4000 * sector);
                using S = FullStorage<Borrowed<GrowableMemory>>;
                uint64_t limit = work.start.size() + room;
                const Status done = fail_and_go_on<S>(
                    work, [&](Borrowed<GrowableMemory> good) { return S(good, limit); }, [] {},
                    [&] { limit = ~uint64_t{0}; });
                failed = !done;
                if (!failed) continue;
                CHECK(done.error().code == Errc::no_space);
                ++full;
            }
        }
    }
    std::cout << "vhd writer: " << full << " times full\n";
    CHECK(full > 300 / share());
}

TEST_CASE("vhd: a block that finds no room leaves the file as it was", "[vhd][write][fault]") {
    GrowableMemory memory(new_vhd(vhd_options(64 * sector, 12)));
    const File before = bytes_of(memory);
    uint64_t limit = before.size();
    using S = FullStorage<Borrowed<GrowableMemory>>;
    auto writer = VhdWriter<S>::open(S(Borrowed(memory), limit));
    REQUIRE(writer);
    File model(64 * sector);
    CHECK_FALSE(perform(*writer, Op::write(0, sector, 1), model, {}));
    REQUIRE(writer->flush());
    const bool same = bytes_of(memory) == before;
    CHECK(same);
}
