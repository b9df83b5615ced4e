// SPDX-License-Identifier: BSL-1.0
// Power cuts under an image of one file: workloads, and the judge of the states they leave.
#pragma once

#include <optional>

#include "support/cut.hpp"
#include "support/over_file.hpp"
#include "support/places.hpp"
#include "support/share.hpp"

namespace vdisk::test {

/// An image to begin with, and what a guest then does to it.
struct ImageCutWork {
    File start;
    ParentDisk below;
    std::vector<Op> before;  ///< done by the same writer, and flushed, before the power may go
    std::vector<Op> ops;
    CacheShape cache;
    CutOptions options{.exhaustive = 8, .random = 96, .pairs = 10, .seed = 1};
};

/// One run of a workload, and the judge of its states. `Subject` says how images of a format are
/// opened, read, recovered and judged; `S` records, `Tables` is how tables are written: tests plant
/// their faults in all of them.
template <class Subject, class S, class Tables>
class CutImage {
    using Recorded = typename Subject::template Writer<S, Tables>;
    using Disk = CutFiles::Ids;

public:
    explicit CutImage(const ImageCutWork& work)
        : work_(work),
          file_(work.start),
          model_(value_of(Subject::read(work.start, work.below))),
          journal_(CutFiles::ids_of(model_)) {}

    /// Works, recording.
    Status record() {
        S storage(log_, file_);
        std::optional<Recorded> writer;
        if (!work_.before.empty()) {
            auto opened = Subject::template open<S, Tables>(storage, work_.cache);
            if (!opened) return opened.error();
            writer.emplace(*std::move(opened));
            for (const Op& op : work_.before) {
                if (Status done = perform(*writer, op, model_, work_.below); !done) return done;
            }
            log_.before[0] = file_;
            log_.events.clear();
            journal_ = GuestJournal<Disk>(CutFiles::ids_of(model_));
        }
        for (const Op& op : work_.ops) {
            if (!writer) {
                auto opened = Subject::template open<S, Tables>(storage, work_.cache);
                if (!opened) return opened.error();
                writer.emplace(*std::move(opened));
            }
            journal_.begin(log_.events.size());
            if (Status done = perform(*writer, op, model_, work_.below); !done) return done;
            note(journal_, op, model_);
            const bool reopens = op.kind == Op::Kind::reopen;
            if (op.kind == Op::Kind::flush || reopens) journal_.flushed(log_.events.size());
            if (reopens) writer.reset();
        }
        return {};
    }

    /// Judges every state.
    Status replay(std::initializer_list<CutTally*> tallies) {
        CutReplay replay(log_, work_.options);
        return replay.run([&](const CutState& state) -> Status {
            for (CutTally* tally : tallies) tally->add(state.hash);
            return judge(state);
        });
    }

private:
    // `op` made the disk what `model` is.
    static void note(GuestJournal<Disk>& journal, const Op& op, const File& model) {
        Disk disk = journal.now();
        for (uint64_t s = op.at / sector; s * sector < op.at + op.length; ++s) {
            disk[s] = CutFiles::id_of(Bytes(model).subspan(s * sector, sector));
        }
        journal.end(std::move(disk));
    }

    // The disk, if the image opens as it is, and is damaged by nothing but leaks once recovered,
    // which `file` then is.
    [[nodiscard]] Result<Disk> sound(OverFile& file) const {
        const auto seen = Subject::look(file, work_.below);
        if (!seen) return seen;
        if (Status recovered = Subject::recover(file); !recovered) return recovered.error();
        const auto again = Subject::judge(file, work_.below);
        if (!again) return again;
        if (*again != *seen) return corrupt("judge: another disk once recovered");
        return seen;
    }

    Status judge(const CutState& state) const {
        OverFile file(state.files[0], state.ids[0]);
        const auto seen = sound(file);
        if (!seen) return seen.error();
        if (Status legal = journal_.judge(state.events, *seen); !legal) return legal;
        if (state.hash % Subject::goes_on == 0) {
            if (Status went = work_on(file, *seen, state.hash); !went) return went;
        }
        return state.hash / 3 % Subject::recoveries == 0 ? cut_recovery(state, *seen) : Status{};
    }

    // What a guest does after the power is back.
    static Op after(const Disk& disk, uint64_t hash) {
        const uint64_t at = hash / 7 % disk.size();
        const uint64_t length = std::min<uint64_t>(disk.size() - at, 3);
        return Op::write(at * sector, length * sector, 200);
    }

    template <class Handle>
    Status go_on(Handle storage, const Op& op, File& model) const {
        if (Status recovered = Subject::recover(storage); !recovered) return recovered;
        auto writer = Subject::template open<Handle>(storage, CacheShape{12, 3});
        if (!writer) return writer.error();
        if (Status done = perform(*writer, op, model, work_.below); !done) return done;
        return writer->flush();
    }

    // The bytes of the disk are what was seen, and are written to again.
    Status work_on(OverFile file, const Disk& seen, uint64_t hash) const {
        auto bytes = Subject::read(Borrowed<const OverFile>(file), work_.below);
        if (!bytes) return bytes.error();
        if (CutFiles::ids_of(*bytes) != seen) return corrupt("judge: the disk reads as another");
        if (Status done = go_on(Borrowed(file), after(seen, hash), *bytes); !done) return done;
        const auto written = CutFiles::ids_of(*bytes);
        const auto again = sound(file);
        if (!again) return again.error();
        if (Status checked = Subject::check(file); !checked) return checked;
        return *again == written ? Status{} : Status(corrupt("judge: written after, read wrong"));
    }

    // The power goes a second time while that happens.
    Status cut_recovery(const CutState& state, const Disk& seen) const {
        CutLog log;
        File now = state.files[0];
        File model = value_of(Subject::read(now, work_.below));
        GuestJournal<Disk> journal(seen);
        const Op op = after(seen, state.hash);
        if (Status done = go_on(PowerCutStorage(log, now), op, model); !done) return done;
        note(journal, op, model);
        journal.flushed(log.events.size());
        CutOptions options{.exhaustive = 6, .random = 16, .pairs = 4, .seed = state.hash};
        options.fine = work_.options.fine;
        CutReplay replay(log, options);
        return replay.run([&](const CutState& second) -> Status {
            OverFile file(second.files[0], second.ids[0]);
            const auto again = sound(file);
            return again ? journal.judge(second.events, *again) : Status(again.error());
        });
    }

    const ImageCutWork& work_;
    CutLog log_;
    File file_, model_;
    GuestJournal<Disk> journal_;
};

/// Runs and judges one workload.
template <class Subject, class S, class Tables>
Status cut_image(const ImageCutWork& work, std::initializer_list<CutTally*> tallies) {
    CutImage<Subject, S, Tables> subject(work);
    if (Status recorded = subject.record(); !recorded) return recorded;
    return subject.replay(tallies);
}

/// What comes of each of so many cases of each kind, or of a share of them: `run(kind, work)`.
template <class Kind, class Run>
std::vector<std::pair<const Kind*, Status>> all_cases(const std::vector<Kind>& kinds,
                                                      uint64_t count, const Run& run) {
    const uint64_t seeds = of_share(count);
    std::vector<std::pair<const Kind*, Status>> out(kinds.size() * seeds);
    in_parallel(out.size(), [&](size_t i) {
        const Kind& kind = kinds[i / seeds];
        out[i] = {&kind, run(kind, make_cut(kind, 1 + i % seeds))};
    });
    return out;
}

}  // namespace vdisk::test
