// SPDX-License-Identifier: BSL-1.0
// Power cuts under a qcow2 image: workloads, and the judge of the states they leave.
#pragma once

#include <vdisk/format/qcow2/repair.hpp>
#include <vdisk/format/qcow2/snapshots.hpp>

#include "support/cut.hpp"
#include "support/workload_qcow2.hpp"

namespace vdisk::test {

/// An image to begin with, and what a guest then does to it.
struct CutWork {
    Qcow2Files start;
    ParentDisk below;
    std::vector<Op> ops;
    CacheShape cache;
    uint64_t seed = 1;
    uint64_t recover_each = 1;  ///< of so many states one is written to again
    CutOptions options{.exhaustive = 8, .random = 96, .pairs = 10, .seed = 1};
};

/// One run of a workload, and the judge of its states. `S` records, `Tables` is how tables are
/// written: tests plant their faults there.
template <class S = PowerCutStorage, class Tables = StagedMetadata<S, Heap>>
class CutQcow2 {
    using Recorded = qcow2::Writer<S, Heap, SystemCodecs, Tables>;

public:
    explicit CutQcow2(const CutWork& work)
        : work_(work),
          image_(work.start.image),
          data_(work.start.data),
          journal_(value_of(read_files(work.start, work.below))) {
        has_snapshot_ = snapshots_of(work.start) > 0;
        if (has_snapshot_) snapshot_ = value_of(read_files(work.start, work.below, "1"));
        autoclear_ = get_be64(work.start.image, 88) & ~qcow2::autoclear::data_file_raw;
        if (work.start.image[7] == byte{2}) autoclear_ = 0;
    }

    /// Works, recording.
    Status record() {
        S image(log_, image_), data(log_, data_);
        auto opened = Recorded::open(image, {.cache = work_.cache});
        if (!opened) return opened.error();
        std::optional writer{*std::move(opened)};
        const auto attach = [&]() -> Status {
            return writer->layout().has_data_file ? writer->attach_data_file(data) : Status{};
        };
        if (Status attached = attach(); !attached) return attached;
        File model = journal_.now();
        for (const Op& op : work_.ops) {
            journal_.begin(log_.events.size());
            Status done = perform(*writer, op, model, work_.below);
            if (!done) return done;
            journal_.end(model);
            const bool reopens = op.kind == Op::Kind::reopen;
            if (op.kind == Op::Kind::flush || reopens) journal_.flushed(log_.events.size());
            if (!reopens) continue;
            auto again = Recorded::open(image, {.cache = work_.cache});
            if (!again) return again.error();
            writer.emplace(*std::move(again));
            if (Status attached = attach(); !attached) return attached;
        }
        return {};
    }

    /// Judges every state.
    Status replay(CutTally& tally) {
        CutReplay replay(log_, work_.options);
        return replay.run([&](const CutState& state) -> Status {
            tally.add(state.hash);
            return judge(state);
        });
    }

private:
    static uint64_t snapshots_of(const Qcow2Files& files) {
        return static_cast<uint64_t>(files.image[63]);
    }

    Status judge(const CutState& state) const {
        const Qcow2Files files{state.files[0], state.files[1]};
        const auto seen = sound(files);
        if (!seen) return seen.error();
        if (Status legal = journal_.judge(state.events, *seen); !legal) return legal;
        if ((get_be64(files.image, 88) & autoclear_) != 0 && *seen != journal_.version(0)) {
            return corrupt("judge: data changed under an autoclear feature");
        }
        if (state.hash % work_.recover_each != 0) return {};
        if (Status recovered = recover(files, *seen, state.hash); !recovered) return recovered;
        if (state.hash % (256 * work_.recover_each) != 0) return {};
        return cut_recovery(files, *seen, state.hash);
    }

    // The disk, if the image opens, is damaged by nothing but leaks and keeps its snapshot.
    [[nodiscard]] Result<File> sound(const Qcow2Files& files) const {
        const auto report = check_file(files.image);
        if (!report) return report.error();
        if (report->corruptions > 0) return corrupt("judge: check finds corruption");
        if (report->check_errors > 0) return corrupt("judge: check cannot look everywhere");
        if (has_snapshot_) {
            const auto kept = read_files(files, work_.below, "1");
            if (!kept) return kept.error();
            if (*kept != snapshot_) return corrupt("judge: the snapshot changed");
        }
        return read_files(files, work_.below);
    }

    // What a guest does after the power is back.
    [[nodiscard]] Op after(const File& disk, uint64_t hash) const {
        const uint64_t at = hash / 7 % (disk.size() / sector) * sector;
        return Op::write(at, std::min<uint64_t>(disk.size() - at, 3 * sector), 200);
    }

    // Leaks are repaired first, or afterwards.
    template <class Handle>
    Status go_on(Handle image, Handle data, const Op& op, bool repair_first, File& model) const {
        if (repair_first) {
            if (Status clean = repair(image); !clean) return clean;
        }
        auto writer = Qcow2Writer<Handle>::open(image, {.cache = {9, 3}});
        if (!writer) return writer.error();
        if (writer->layout().has_data_file) {
            if (Status attached = writer->attach_data_file(data); !attached) return attached;
        }
        if (Status done = perform(*writer, op, model, work_.below); !done) return done;
        if (Status done = writer->flush(); !done) return done;
        return repair_first ? Status{} : repair(image);
    }

    template <class Handle>
    static Status repair(Handle image) {
        const auto report = qcow2::repair(image, qcow2::Repair::leaks, Heap{});
        if (!report) return report.error();
        return report->after.is_clean() ? Status{} : Status(corrupt("judge: leaks stay"));
    }

    Status recover(const Qcow2Files& files, const File& seen, uint64_t hash) const {
        GrowableMemory image(files.image), data(files.data);
        File model = seen;
        Status done =
            go_on(Borrowed(image), Borrowed(data), after(seen, hash), hash / 3 % 2 == 0, model);
        if (!done) return done;
        const auto again = sound({bytes_of(image), bytes_of(data)});
        if (!again) return again.error();
        return *again == model ? Status{} : Status(corrupt("judge: written after, read wrong"));
    }

    // The power goes a second time while that happens.
    Status cut_recovery(const Qcow2Files& files, const File& seen, uint64_t hash) const {
        CutLog log;
        Qcow2Files now = files;
        PowerCutStorage image(log, now.image), data(log, now.data);
        const Op op = after(seen, hash);
        File model = seen;
        GuestJournal journal(seen);
        if (Status done = go_on(image, data, op, hash / 5 % 2 == 0, model); !done) return done;
        journal.end(model);
        journal.flushed(log.events.size());
        CutReplay replay(log, {.exhaustive = 6, .random = 16, .pairs = 4, .seed = hash});
        return replay.run([&](const CutState& state) -> Status {
            const auto again = sound({state.files[0], state.files[1]});
            if (!again) return again.error();
            return journal.judge(state.events, *again);
        });
    }

    const CutWork& work_;
    CutLog log_;
    File image_, data_;
    GuestJournal<> journal_;
    bool has_snapshot_ = false;
    File snapshot_;
    uint64_t autoclear_ = 0;
};

/// Runs and judges one workload.
template <class S = PowerCutStorage, class Tables = StagedMetadata<S, Heap>>
Status cut(const CutWork& work, CutTally& tally) {
    CutQcow2<S, Tables> subject(work);
    if (Status recorded = subject.record(); !recorded) return recorded;
    return subject.replay(tally);
}

/// A kind of workload: cases are made of it by seed.
struct CutKind {
    const char* name;
    qcow2::CreateOptions options;
    Mix mix;
    unsigned ops = 8;
    unsigned before = 0;  ///< operations done, and flushed, before the recording begins
    enum class Start : uint8_t {
        plain,
        snapshot,         ///< by take_snapshot, whose snapshots have tables of their own
        shared_snapshot,  ///< one that shares its L2 tables with the disk
        nearly_full,      ///< refcount table and all
        autoclear,        ///< features set that a writer must clear first
    } start = Start::plain;
    uint64_t filled = 0;  ///< sectors from the first on that are written before
};

extern const std::vector<CutKind> qcow2_cut_kinds;

/// Takes all clusters but the last four that the refcount table can reach; clusters of 512 bytes,
/// refcounts of 64 bits. Nobody uses them: leaks.
void fill_up(File& image);

/// Takes a snapshot as QEMU does: it gets a copy of the L1 table, and shares what that leads to.
/// Refcounts of 16 bits in one block.
void share_snapshot(File& image);

/// Case number `seed` of a kind.
CutWork make_cut(const CutKind& kind, uint64_t seed);

}  // namespace vdisk::test
