// SPDX-License-Identifier: BSL-1.0
// What a power cut or an I/O error leaves of operations on closed VHDX images: the old image or the
// new one, and nothing that check finds.
#include <functional>
#include <iostream>
#include <map>
#include <set>

#include <vdisk/format/vhdx/change.hpp>
#include <vdisk/format/vhdx/compact.hpp>
#include <vdisk/format/vhdx/repair.hpp>
#include <vdisk/format/vhdx/resize.hpp>
#include <vdisk/storage/faulty.hpp>

#include "catch.hpp"
#include "support/cut_vhdx.hpp"
#include "support/refusals.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

/// What can be seen of an image: its disk, as far as there ever is something, ids and names.
struct Seen {
    uint64_t size = 0;
    CutFiles::Ids ids;
    Guid disk_id;
    bool has_some_id = false;
    bool is_child_of_old = false, is_child_of_new = false;
    std::vector<std::string> names;
    bool operator==(const Seen&) const = default;
};

const Guid old_parent = SeededIds(9)(), new_parent = SeededIds(10)(), some_id = SeededIds(11)();

Result<Seen> see(const OverFile& file, ParentDisk below) {
    const auto image = VhdxSubject::open_to_look(file);
    if (!image) return image.error();
    const auto ids = sector_ids(*image, file, below, std::min(image->size(), 10_MiB));
    if (!ids) return ids.error();
    Seen seen;
    seen.size = image->size();
    seen.ids = *ids;
    seen.disk_id = image->layout().virtual_disk_id;
    seen.has_some_id = image->identity() == some_id;
    seen.is_child_of_old = image->is_child_of(old_parent);
    seen.is_child_of_new = image->is_child_of(new_parent);
    std::array<char, 512> buffer;
    for (unsigned i = 0; image->has_parent(); ++i) {
        const auto name = image->parent_name(i, buffer);
        if (!name) break;
        seen.names.emplace_back(*name);
    }
    return seen;
}

/// Reads do not fail, and are not counted.
template <class S>
struct FaultyChanges : FaultyStorage<S> {
    FaultyChanges(S storage, Fault& fault) : FaultyStorage<S>(storage, fault), good(storage) {}
    Status read(uint64_t at, MutBytes out) const { return good.read(at, out); }
    S good;
};
using FaultyReads = FaultyStorage<Borrowed<OverFile>>;
using FaultyWrites = FaultyChanges<Borrowed<OverFile>>;

/// What is done, to what.
struct Operation {
    const char* name;
    File before;
    ParentDisk below;
    bool repairs = false;  ///< check is not content with the image before
    std::function<Status(PowerCutStorage&)> record;
    std::function<Status(OverFile&)> run;
    std::function<Status(FaultyReads&)> run_reads;
    std::function<Status(FaultyWrites&)> run_writes;
    CutFiles::Ids ids = CutFiles::ids_of(before);
    Seen old = value_of(see(OverFile(before, ids), below)), fresh = {};
};

template <class Run>
Operation operation(const char* name, File before, ParentDisk below, bool repairs, Run run) {
    Operation out{name,
                  std::move(before),
                  below,
                  repairs,
                  [run](auto& s) { return run(s); },
                  [run](auto& s) { return run(s); },
                  [run](auto& s) { return run(s); },
                  [run](auto& s) { return run(s); }};
    OverFile file(out.before, out.ids);
    const Status done = run(file);
    INFO(name << ": " << done.error().what);
    REQUIRE(done);
    out.fresh = value_of(see(file, below));
    const Status sound = VhdxSubject::check(file);
    INFO(name << ": " << sound.error().what);
    REQUIRE(sound);
    return out;
}

/// An image after random work, with what its guest gave up still in the file.
File lively(const vhdx::CreateOptions& options, uint64_t seed, bool trims = true) {
    const ParentDisk below{options.is_child};
    GrowableMemory memory(new_vhdx(options));
    auto writer = value_of(VhdxSubject::open(Borrowed(memory), {12, 6}));
    File model = value_of(whole_disk(writer, below));
    RandomWork random(options.size,
                      {.zero = trims ? 1u : 0u,
                       .discard = trims ? 1u : 0u,
                       .pack = 0,
                       .flush = 2,
                       .most = 9000,
                       .align = sector,
                       .trim_align = 1_MiB},
                      seed);
    for (int i = 0; i < 14; ++i) REQUIRE(perform(writer, random.next(), model, below));
    if (trims) REQUIRE(writer.drop(seed % 3 * 1_MiB, 1_MiB));
    REQUIRE(writer.close());
    return bytes_of(memory);
}

/// Blocks of which two are one, a place that means nothing, a region table and a header that are
/// lost.
File damaged(uint64_t seed) {
    File file = lively(vhdx_options(5_MiB), seed, false);
    const auto image = value_of(VhdxReader::open(MemoryStorage(file)));
    const uint64_t first = load_le64(&file[image.layout().entry_at(0)]);
    store_le64(&file[image.layout().entry_at(3)], (first & ~7ull) | (7_MiB + 6));
    store_le64(&file[image.layout().entry_at(4)], (first & ~7ull) | (7_MiB + 6));
    store_le64(&file[image.layout().entry_at(1)], 5_MiB + 2);
    file.resize(std::max<size_t>(file.size(), 9_MiB));
    file[vhdx::region_table_places[seed % 2] + 20] ^= byte{1};
    file[vhdx::header_places[seed / 2 % 2] + 90] ^= byte{1};
    return file;
}

const uint64_t operation_seeds = of_share(3);

auto grow(uint64_t size) {
    return [=](auto& s) { return vhdx::grow(s, size, Heap{}, SeededIds(5)); };
}
auto shrink(uint64_t size) {
    return [=](auto& s) { return vhdx::shrink(s, size, Heap{}, SeededIds(5)); };
}
auto compact(ParentDisk below) {
    return [=](auto& s) {
        const auto done = vhdx::compact(s, Heap{}, SeededIds(5), Compaction::drop, below);
        return done ? Status{} : Status(done.error());
    };
}
auto mend() {
    return [](auto& s) {
        const auto done = vhdx::repair(s, Repair::all, Heap{}, SeededIds(5));
        return done ? Status{} : Status(done.error());
    };
}

template <class Run>
void add(std::vector<Operation>& all, const char* name, const vhdx::CreateOptions& o, Run run) {
    for (uint64_t seed = 1; seed <= operation_seeds; ++seed) {
        all.push_back(operation(name, lively(o, seed, !o.fixed), {o.is_child}, false, run));
    }
}

const auto base = vhdx_options(4_MiB + 24 * sector), child = vhdx_options(base.size, true);

void add_sizes(std::vector<Operation>& all) {
    auto fixed = vhdx_options(2_MiB + 8 * sector);
    fixed.fixed = true;
    add(all, "grow", base, grow(7_MiB));
    add(all, "grow, child", child, grow(7_MiB));
    add(all, "grow, fixed", fixed, grow(4_MiB));
    add(all, "grow, the table moves", base, grow(200000_MiB));
    add(all, "shrink", base, shrink(2_MiB + 8 * sector));
    add(all, "shrink, child", child, shrink(2_MiB + 8 * sector));
    add(all, "compact", base, compact({}));
    add(all, "compact, child", child, compact({true}));
    for (uint64_t seed = 1; seed <= operation_seeds; ++seed) {
        GrowableMemory memory(lively(base, seed));
        REQUIRE(grow(200000_MiB)(memory));
        REQUIRE(shrink(4_MiB)(memory));
        all.push_back(
            operation("compact, the table moves", bytes_of(memory), {}, false, compact({})));
    }
}

void add_others(std::vector<Operation>& all) {
    add(all, "set the id of the disk", base,
        [](auto& s) { return vhdx::set_virtual_disk_id(s, some_id, Heap{}, SeededIds(5)); });
    add(all, "set the id", base,
        [](auto& s) { return vhdx::set_identity(s, some_id, Heap{}, SeededIds(5)); });
    add(all, "set the parent's id", child, [](auto& s) {
        return vhdx::set_parent_id(s, new_parent, old_parent, Heap{}, SeededIds(5));
    });
    add(all, "set the parent", child, [](auto& s) {
        const std::string name(2500, 'x');
        return vhdx::set_parent(s, {.data_write_guid = new_parent, .relative_path = name}, Heap{},
                                SeededIds(5));
    });
    for (uint64_t seed = 1; seed <= operation_seeds; ++seed) {
        all.push_back(operation("repair", damaged(seed), {}, true, mend()));
    }
}

std::vector<Operation> operations() {
    std::vector<Operation> all;
    add_sizes(all);
    add_others(all);
    return all;
}

// What a cut may leave. `ended`: the operation had said that it was done.
Status judge(const Operation& op, OverFile file, bool ended, bool again) {
    const auto seen = see(file, op.below);
    if (!seen) return seen.error();
    if (*seen != op.old && *seen != op.fresh) return corrupt("neither old nor new");
    if (ended && *seen != op.fresh) return corrupt("not durable");
    if (Status recovered = VhdxSubject::recover(file); !recovered) return recovered;
    const auto recovered = see(file, op.below);
    if (!recovered) return recovered.error();
    if (*recovered != *seen) return corrupt("recovery changed the disk");
    if (!op.repairs || ended) {
        if (Status sound = VhdxSubject::check(file); !sound) return sound;
    }
    if (!again) return {};
    if (Status done = op.run(file); !done) return done;
    const auto last = see(file, op.below);
    if (!last) return last.error();
    if (*last != op.fresh) return corrupt("done again, it is not what it was");
    return VhdxSubject::check(file);
}

/// Takes flush number `forgotten` out of the record, if there is one; tells how many there are.
void forget(CutLog& log, uint64_t forgotten, uint64_t& flushes) {
    flushes = 0;
    std::erase_if(log.events, [&](const CutEvent& event) {
        return event.kind == CutEvent::Kind::flush && ++flushes == forgotten;
    });
}

Status cut_everywhere(const Operation& op, CutTally& tally, uint64_t forgotten = 0,
                      uint64_t* flushes = nullptr) {
    CutLog log;
    File file = op.before;
    PowerCutStorage storage(log, file);
    if (Status done = op.record(storage); !done) return done;
    if (flushes != nullptr) forget(log, forgotten, *flushes);
    CutReplay replay(log, {.exhaustive = 8, .random = 64, .pairs = 10, .fine = 192_KiB});
    return replay.run([&](const CutState& state) -> Status {
        tally.add(state.hash);
        const bool ended = state.events == log.events.size();
        return judge(op, OverFile(state.files[0], state.ids[0]), ended, state.hash % 8 == 0);
    });
}

}  // namespace

TEST_CASE("vhdx: an operation that was cut leaves the old image or the new one",
          "[vhdx][operations][power_cut]") {
    const auto all = operations();
    CutTally tally;
    std::vector<Status> verdicts(all.size());
    in_parallel(all.size(), [&](size_t i) { verdicts[i] = cut_everywhere(all[i], tally); });
    for (size_t i = 0; i < all.size(); ++i) {
        INFO(all[i].name << ": " << verdicts[i].error().what);
        CHECK(verdicts[i]);
    }
    std::cout << "vhdx operations: " << tally.distinct() << " distinct states, " << tally.judged()
              << " judged\n";
    CHECK(tally.distinct() > 2000 / share());
}

TEST_CASE("vhdx: operations that leave out a flush are found", "[vhdx][operations][power_cut]") {
    std::map<std::string, std::pair<uint64_t, std::set<uint64_t>>> found;
    std::mutex mutex;
    const auto all = operations();
    CutTally tally;
    in_parallel(all.size(), [&](size_t i) {
        uint64_t flushes = 1;
        for (uint64_t n = 1; n <= flushes; ++n) {
            const Status verdict = cut_everywhere(all[i], tally, n, &flushes);
            const std::lock_guard lock(mutex);
            auto& [count, seen] = found[all[i].name];
            count = std::max(count, flushes);
            if (!verdict) seen.insert(n);
        }
    });
    for (const auto& [name, score] : found) {
        std::cout << name << ": of " << score.first << " flushes found when left out:";
        for (const uint64_t n : score.second) std::cout << ' ' << n;
        std::cout << '\n';
        CHECK(score.second.size() >= 3);
    }
}

namespace {

// Fails at every n-th call in turn, with `step` between them; the number of faults.
template <class S>
uint64_t fail_everywhere(const Operation& op, uint64_t step, const std::function<Status(S&)>& run) {
    uint64_t faults = 0;
    for (uint64_t n = 1 + first_of_share() * step;; n += step * share()) {
        CAPTURE(op.name, n);
        REQUIRE(n < 50000);
        OverFile file(op.before, op.ids);
        Fault fault{.countdown = n, .remains = n % 3 == 0 ? Remains::torn : Remains::nothing};
        S storage(Borrowed<OverFile>(file), fault);
        const Status done = run(storage);
        if (!fault.fired) {
            CHECK(done);
            return faults;
        }
        ++faults;
        REQUIRE_FALSE(done);
        CHECK(done.error().code == Errc::io);
        const Status verdict = judge(op, file, false, n / step / share() % 8 == 0);
        INFO(verdict.error().what);
        REQUIRE(verdict);
    }
}

}  // namespace

TEST_CASE("vhdx: an I/O error in an operation is told and harms nothing",
          "[vhdx][operations][fault]") {
    uint64_t reads = 0, writes = 0;
    for (const Operation& op : operations()) {
        writes += fail_everywhere<FaultyWrites>(op, 1, op.run_writes);
        reads += fail_everywhere<FaultyReads>(op, 37, op.run_reads);
    }
    tell_faults("I/O, vhdx operations", writes + reads);
    CHECK(writes > 500 / (share() * share()));
    CHECK(reads > 200 / (share() * share()));
}
