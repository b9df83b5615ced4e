// SPDX-License-Identifier: BSL-1.0
// Power cuts under an image of one file: workloads, and the judge of the states they leave.
#pragma once

#include <optional>

#include "support/cut.hpp"
#include "support/places.hpp"
#include "support/workload.hpp"

namespace vdisk::test {

/// An image to begin with, and what a guest then does to it.
struct ImageCutWork {
    File start;
    ParentDisk below;
    std::vector<Op> ops;
    CacheShape cache;
    CutOptions options{.exhaustive = 8, .random = 96, .pairs = 10, .seed = 1};
};

/// One run of a workload, and the judge of its states. `Subject` says how images of a format are
/// opened, read, recovered and judged; `S` records, `Tables` is how tables are written: tests plant
/// their faults in both.
template <class Subject, class S, class Tables>
class CutImage {
    using Recorded = typename Subject::template Writer<S, Tables>;

public:
    explicit CutImage(const ImageCutWork& work)
        : work_(work),
          file_(work.start),
          journal_(value_of(Subject::read(work.start, work.below))) {}

    /// Works, recording.
    Status record() {
        S storage(log_, file_);
        std::optional<Recorded> writer;
        File model = journal_.now();
        for (const Op& op : work_.ops) {
            if (!writer) {
                auto opened = Subject::template open<S, Tables>(storage, work_.cache);
                if (!opened) return opened.error();
                writer.emplace(*std::move(opened));
            }
            journal_.begin(log_.events.size());
            if (Status done = perform(*writer, op, model, work_.below); !done) return done;
            journal_.end(model);
            const bool reopens = op.kind == Op::Kind::reopen;
            if (op.kind == Op::Kind::flush || reopens) journal_.flushed(log_.events.size());
            if (reopens) writer.reset();
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
    // The disk, if the image opens as it is and is damaged by nothing but leaks once recovered.
    [[nodiscard]] Result<File> sound(const File& file) const {
        const auto seen = Subject::read(file, work_.below);
        if (!seen) return seen;
        if (Status well = Subject::judge(file); !well) return well.error();
        return seen;
    }

    Status judge(const CutState& state) const {
        const File& file = state.files[0];
        const auto seen = sound(file);
        if (!seen) return seen.error();
        if (Status legal = journal_.judge(state.events, *seen); !legal) return legal;
        GrowableMemory memory(file);
        File model = *seen;
        const Op op = after(*seen, state.hash);
        if (Status done = go_on(Borrowed(memory), op, model); !done) return done;
        const auto again = sound(bytes_of(memory));
        if (!again) return again.error();
        if (*again != model) return corrupt("judge: written after, read wrong");
        return state.hash % Subject::recoveries == 0 ? cut_recovery(file, *seen, op) : Status{};
    }

    // What a guest does after the power is back.
    [[nodiscard]] static Op after(const File& disk, uint64_t hash) {
        const uint64_t at = hash / 7 % (disk.size() / sector) * sector;
        return Op::write(at, std::min<uint64_t>(disk.size() - at, 3 * sector), 200);
    }

    template <class Handle>
    Status go_on(Handle storage, const Op& op, File& model) const {
        if (Status recovered = Subject::recover(storage); !recovered) return recovered;
        auto writer = Subject::template open<Handle>(storage, CacheShape{12, 3});
        if (!writer) return writer.error();
        if (Status done = perform(*writer, op, model, work_.below); !done) return done;
        return writer->flush();
    }

    // The power goes a second time while that happens.
    Status cut_recovery(const File& file, const File& seen, const Op& op) const {
        CutLog log;
        File now = file;
        File model = seen;
        GuestJournal journal(seen);
        if (Status done = go_on(PowerCutStorage(log, now), op, model); !done) return done;
        journal.end(model);
        journal.flushed(log.events.size());
        CutReplay replay(log, {.exhaustive = 6, .random = 16, .pairs = 4, .seed = seen.size()});
        return replay.run([&](const CutState& state) -> Status {
            const auto again = sound(state.files[0]);
            return again ? journal.judge(state.events, *again) : Status(again.error());
        });
    }

    const ImageCutWork& work_;
    CutLog log_;
    File file_;
    GuestJournal journal_;
};

/// Runs and judges one workload.
template <class Subject, class S, class Tables>
Status cut_image(const ImageCutWork& work, CutTally& tally) {
    CutImage<Subject, S, Tables> subject(work);
    if (Status recorded = subject.record(); !recorded) return recorded;
    return subject.replay(tally);
}

/// What comes of each of `seeds` cases of each kind.
template <class Kind, class Run>
std::vector<std::pair<const Kind*, Status>> all_cases(const std::vector<Kind>& kinds,
                                                      uint64_t seeds, const Run& run) {
    std::vector<std::pair<const Kind*, Status>> out(kinds.size() * seeds);
    in_parallel(out.size(), [&](size_t i) {
        const Kind& kind = kinds[i / seeds];
        out[i] = {&kind, run(make_cut(kind, 1 + i % seeds))};
    });
    return out;
}

}  // namespace vdisk::test
