// SPDX-License-Identifier: BSL-1.0
// Writing qcow2 to storages that fail: at any call, or because the medium is full. What was flushed
// stays, the error is told, and once the storage works again, so does the image.
#include <iostream>

#include <vdisk/storage/counting.hpp>
#include <vdisk/storage/faulty.hpp>

#include "catch.hpp"
#include "support/cut_qcow2.hpp"
#include "support/legal.hpp"
#include "support/refusals.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

// Opens, has no damage but leaks, keeps its snapshot; what the guest sees.
File sound(const CutWork& work, const Qcow2Files& files) {
    const auto report = check_file(files.image);
    REQUIRE(report);
    REQUIRE(report->corruptions == 0);
    REQUIRE(report->check_errors == 0);
    if (work.start.image[63] != byte{0}) {
        const bool kept = value_of(read_files(files, work.below, "1")) ==
                          value_of(read_files(work.start, work.below, "1"));
        REQUIRE(kept);
    }
    return value_of(read_files(files, work.below));
}

void repair_leaks(Qcow2Files& files) {
    GrowableMemory memory(files.image);
    const auto report = qcow2::repair(memory, qcow2::Repair::leaks, Heap{});
    REQUIRE(report);
    REQUIRE(report->after.is_clean());
    files.image = bytes_of(memory);
}

// Works until something fails, looks at what is left, heals the storage and works on. `wrap` makes
// the storage that fails of a good one; `heal` mends it. The error, if there was one.
template <class S, class Wrap, class Heal>
Status fail_and_go_on(const CutWork& work, const Wrap& wrap, const Heal& heal) {
    GrowableMemory image(work.start.image), data(work.start.data);
    const auto files = [&] { return Qcow2Files{bytes_of(image), bytes_of(data)}; };
    auto writer = Qcow2Writer<S>::open(wrap(Borrowed(image)), {.cache = work.cache});
    REQUIRE(writer);
    if (writer->layout().has_data_file) REQUIRE(writer->attach_data_file(wrap(Borrowed(data))));
    File model = value_of(read_files(work.start, work.below));
    Legal legal(model);
    Status failed;
    for (const Op& op : work.ops) {
        Status done = perform(*writer, op, model, work.below);
        if (!done) {
            REQUIRE(failed);  // it worked again
            failed = done;
            legal.attempt(op);
            REQUIRE(legal.allows(sound(work, files())));
            heal();
            REQUIRE(writer->flush());
            REQUIRE(legal.allows(sound(work, files())));
            REQUIRE(perform(*writer, op, model, work.below));
        }
        legal.add(model);
        if (op.kind == Op::Kind::flush) legal.flushed();
    }
    Qcow2Files end = files();
    const bool same = sound(work, end) == model;
    REQUIRE(same);
    repair_leaks(end);
    const bool still = value_of(read_files(end, work.below)) == model;
    REQUIRE(still);
    return failed;
}

void every_fault(const CutKind& kind, uint64_t seed, uint64_t& faults) {
    CutWork work = make_cut(kind, seed);
    work.ops = without_reopening(work.ops);
    bool fired = true;
    for (uint64_t n = 1 + first_of_share(); fired; n += share()) {
        CAPTURE(kind.name, seed, n);
        REQUIRE(n < 5000);
        Fault fault;
        using S = FaultyStorage<Borrowed<GrowableMemory>>;
        bool opened = false;
        const Status failed = fail_and_go_on<S>(
            work,
            [&](Borrowed<GrowableMemory> good) {
                if (!opened)
                    fault = {.countdown = n + 4, .remains = remains_of(seed, n)};  // opening reads
                opened = true;
                return S(good, fault);
            },
            [] {});
        fired = fault.fired;
        // Looking ahead may fail in silence: it is done again when it matters.
        if (fault.hit_change) CHECK_FALSE(failed);
        if (!fired) CHECK(failed);
        if (failed) continue;
        CHECK(failed.error().code == Errc::io);
        ++faults;
    }
}

}  // namespace

TEST_CASE("qcow2: an I/O error at any call of any work loses nothing that was flushed",
          "[qcow2][write][fault]") {
    uint64_t faults = 0;
    for (const CutKind& kind : qcow2_cut_kinds) {
        const bool is_large = kind.start == CutKind::Start::nearly_full;
        for (uint64_t seed = 1; seed <= of_share(is_large ? 1 : 3); ++seed) {
            every_fault(kind, seed, faults);
        }
    }
    tell_faults("I/O, qcow2 writer", faults);
    CHECK(faults > 5000 / (share() * share()));
}

TEST_CASE("qcow2: a full disk loses nothing that was flushed", "[qcow2][write][fault]") {
    uint64_t full = 0;
    for (const CutKind& kind : qcow2_cut_kinds) {
        for (uint64_t seed = 1; seed <= of_share(3); ++seed) {
            CutWork work = make_cut(kind, seed);
            work.ops = without_reopening(work.ops);
            const uint64_t cluster = uint64_t{1} << kind.options.cluster_bits;
            bool failed = true;
            for (uint64_t room = first_of_share() * cluster; failed; room += share() * cluster) {
                CAPTURE(kind.name, seed, room);
                REQUIRE(room < 400 * cluster);
                using S = FullStorage<Borrowed<GrowableMemory>>;
                uint64_t limit = work.start.image.size() + room;
                const Status done = fail_and_go_on<S>(
                    work, [&](Borrowed<GrowableMemory> good) { return S(good, limit); },
                    [&] { limit = ~uint64_t{0}; });
                failed = !done;
                if (!failed) continue;
                CHECK(done.error().code == Errc::no_space);
                ++full;
            }
        }
    }
    std::cout << "qcow2 writer: " << full << " times full\n";
    CHECK(full > 300 / (share() * share()));
}
