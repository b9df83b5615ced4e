// SPDX-License-Identifier: BSL-1.0
// What is done to closed VHD images: their results, and what a cut or an error leaves of them.
#include <iostream>
#include <map>
#include <set>

#include <vdisk/format/vhd/change.hpp>
#include <vdisk/format/vhd/resize.hpp>
#include <vdisk/storage/faulty.hpp>
#include <vdisk/storage/power_cut_replay.hpp>

#include "catch.hpp"
#include "support/refusals.hpp"
#include "support/vhd_work.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

/// What is done, to what.
struct Operation {
    const char* name;
    File before;
    ParentDisk below;
    std::function<Status(PowerCutStorage&)> run;
    std::function<Status(FaultyStorage<PowerCutStorage>&)> run_faulty;
    File old = value_of(read_vhd(before, below)), fresh = {};
};

template <class Run>
Operation operation(const char* name, File before, ParentDisk below, Run run) {
    Operation out{name, std::move(before), below, [run](auto& s) { return run(s); },
                  [run](auto& s) { return run(s); }};
    CutLog log;
    File file = out.before;
    PowerCutStorage storage(log, file);
    const Status done = run(storage);
    INFO(name << ": " << done.error().what);
    REQUIRE(done);
    out.fresh = value_of(read_vhd(file, below));
    REQUIRE(at_most_leaks_in_vhd(file));
    return out;
}

/// An image after random work, with what its guest dropped or overwrote still in the file.
File lively(const vhd::CreateOptions& options, uint64_t seed, unsigned zeros = 3) {
    const ParentDisk below{options.type == vhd::Type::differencing};
    GrowableMemory memory(new_vhd(options));
    auto writer = value_of(VhdWriter<Borrowed<GrowableMemory>>::open(Borrowed(memory)));
    File model = value_of(whole_disk(writer, below));
    RandomWork random(options.size, {.zero = zeros, .pack = 0, .most = 6000}, seed);
    for (int i = 0; i < 12; ++i) REQUIRE(perform(writer, random.next(), model, below));
    REQUIRE(writer.drop(2 * (uint64_t{1} << options.block_bits), options.size / 4));
    REQUIRE(writer.flush());
    return bytes_of(memory);
}

template <class S>
Status compacted(S& storage, ParentDisk below) {
    const auto done = vhd::compact(storage, Heap{}, vhd::Compaction::drop, below);
    return done ? Status{} : Status(done.error());
}

std::vector<Operation> operations() {
    using enum vhd::Type;
    std::vector<Operation> all;
    const auto add = [&](const char* name, const vhd::CreateOptions& o, auto run) {
        const ParentDisk below{o.type == differencing};
        for (uint64_t seed = 1; seed <= of_share(12); ++seed) {
            all.push_back(operation(name, lively(o, seed), below, run));
        }
    };
    // While the header stands at the end, what is free before it stays free: none of it is here,
    // and old paths are less than a block.
    const auto add_parent = [&](const vhd::CreateOptions& o, auto run) {
        for (uint64_t seed = 1; seed <= of_share(12); ++seed) {
            GrowableMemory memory(lively(o, seed));
            REQUIRE(compacted(memory, {true}));
            all.push_back(operation("set the parent", bytes_of(memory), {true}, run));
        }
    };
    const auto small = vhd_options(101 * sector, 12), tiny = vhd_options(60 * sector, 9);
    const auto child = vhd_options(101 * sector, 12, differencing);
    const auto heap = Heap{};
    const auto grow = [=](uint64_t sectors) {
        return [=](auto& s) { return vhd::grow(s, sectors * sector, heap); };
    };
    const auto shrink = [=](uint64_t sectors) {
        return [=](auto& s) { return vhd::shrink(s, sectors * sector, heap); };
    };
    add("grow", small, grow(150));
    add("grow, child", child, grow(150));
    add("grow, the table moves", tiny, grow(400));
    add("shrink", small, shrink(50));
    add("shrink, child", child, shrink(51));
    add("compact", small, [](auto& s) { return compacted(s, {}); });
    add("compact, tiny", tiny, [](auto& s) { return compacted(s, {}); });
    add("compact, child", child, [](auto& s) { return compacted(s, {true}); });
    add("repair leaks", small, [=](auto& s) {
        const auto done = vhd::repair(s, Repair::leaks, heap);
        return done ? Status{} : Status(done.error());
    });
    add("set the id", small, [=](auto& s) { return vhd::set_unique_id(s, guid(7), heap); });
    add("set the geometry", small, [=](auto& s) { return vhd::set_geometry(s, {9, 4, 17}, heap); });
    add("set the parent's id", child,
        [=](auto& s) { return vhd::set_parent_id(s, guid(7), 5, heap); });
    add_parent(vhd_options(500 * sector, 15, differencing), [=](auto& s) {
        return vhd::set_parent(
            s, {.unique_id = guid(7), .relative_path = "a/b", .absolute_path = "/b"}, heap);
    });
    return all;
}

/// Takes flush number `forgotten` out of the record, if there is one; tells how many there are.
void forget(CutLog& log, uint64_t forgotten, uint64_t& flushes) {
    flushes = 0;
    std::erase_if(log.events, [&](const CutEvent& event) {
        return event.kind == CutEvent::Kind::flush && ++flushes == forgotten;
    });
}

uint64_t cut_everywhere(const Operation& op, Status& verdict, uint64_t forgotten = 0,
                        uint64_t* flushes = nullptr) {
    CutLog log;
    File file = op.before;
    PowerCutStorage storage(log, file);
    verdict = op.run(storage);
    if (!verdict) return 0;
    if (flushes != nullptr) forget(log, forgotten, *flushes);
    CutReplay replay(log, {.exhaustive = 8, .random = 64, .pairs = 10});
    verdict = replay.run([&](const CutState& state) -> Status {
        const auto seen = read_vhd(state.files[0], op.below);
        if (!seen) return seen.error();
        if (*seen != op.old && *seen != op.fresh) return corrupt("neither old nor new");
        if (state.events == log.events.size() && *seen != op.fresh) return corrupt("not durable");
        GrowableMemory memory(state.files[0]);
        if (Status recovered = vhd::recover(memory, Heap{}); !recovered) return recovered;
        if (Status sound = at_most_leaks_in_vhd(bytes_of(memory)); !sound) return sound;
        const auto again = read_vhd(bytes_of(memory), op.below);
        if (!again || *again != *seen) return corrupt("recovery changed the disk");
        const auto report = vhd::repair(memory, Repair::leaks, Heap{});
        if (!report) return report.error();
        if (!report->after.is_clean()) return corrupt("leaks stay");
        const auto last = read_vhd(bytes_of(memory), op.below);
        return last && *last == *seen ? Status{} : Status(corrupt("repair changed the disk"));
    });
    return replay.states();
}

}  // namespace

TEST_CASE("vhd: an operation that was cut leaves the old image or the new one",
          "[vhd][operations][power_cut]") {
    uint64_t states = 0;
    for (const Operation& op : operations()) {
        Status verdict;
        states += cut_everywhere(op, verdict);
        INFO(op.name << ": " << verdict.error().what);
        CHECK(verdict);
    }
    std::cout << "vhd operations: " << states << " states\n";
    CHECK(states > 2000 / share());
}

TEST_CASE("vhd: operations that leave out a flush are found", "[vhd][operations][power_cut]") {
    std::map<std::string, std::pair<uint64_t, std::set<uint64_t>>> found;
    for (const Operation& op : operations()) {
        uint64_t flushes = 1;
        for (uint64_t n = 1; n <= flushes; ++n) {
            Status verdict;
            cut_everywhere(op, verdict, n, &flushes);
            auto& [all, seen] = found[op.name];
            all = std::max(all, flushes);
            if (!verdict) seen.insert(n);
        }
    }
    for (const auto& [name, score] : found) {
        std::cout << name << ": of " << score.first << " flushes found when left out:";
        for (const uint64_t n : score.second) std::cout << ' ' << n;
        std::cout << '\n';
        // The others are made up for by the next, or by the other footer.
        const bool sees = name.starts_with("compact") || name.starts_with("grow") ||
                          name.starts_with("shrink") || name == "repair leaks" ||
                          name == "set the parent";
        CHECK(score.second.empty() != sees);
    }
}

TEST_CASE("vhd: an I/O error in an operation is told and harms nothing",
          "[vhd][operations][fault]") {
    uint64_t faults = 0;
    for (const Operation& op : operations()) {
        for (uint64_t n = 1 + first_of_share();; n += share()) {
            CAPTURE(op.name, n);
            REQUIRE(n < 5000);
            CutLog log;  // only to look at the bytes of the file
            File file = op.before;
            Fault fault{.countdown = n, .remains = n % 3 == 0 ? Remains::torn : Remains::nothing};
            FaultyStorage<PowerCutStorage> storage(PowerCutStorage(log, file), fault);
            const Status done = op.run_faulty(storage);
            if (!fault.fired) {
                CHECK(done);
                break;
            }
            ++faults;
            REQUIRE_FALSE(done);
            CHECK(done.error().code == Errc::io);
            REQUIRE(at_most_leaks_in_vhd(file));
            const auto seen = read_vhd(file, op.below);
            REQUIRE(seen);
            REQUIRE((*seen == op.old || *seen == op.fresh));
            if (*seen != op.old) continue;
            REQUIRE(vhd::recover(storage, Heap{}));
            REQUIRE(op.run_faulty(storage));
            const bool same = value_of(read_vhd(file, op.below)) == op.fresh;
            REQUIRE(same);
        }
    }
    tell_faults("I/O, vhd operations", faults);
    CHECK(faults > 500 / (share() * share()));
}
