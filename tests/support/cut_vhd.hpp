// SPDX-License-Identifier: BSL-1.0
// Power cuts under a VHD image: workloads, and the judge of the states they leave.
#pragma once

#include "support/cut.hpp"
#include "support/vhd_work.hpp"

namespace vdisk::test {

/// An image to begin with, and what a guest then does to it.
struct VhdCutWork {
    File start;
    ParentDisk below;
    std::vector<Op> ops;
    CacheShape cache;
    CutOptions options{.exhaustive = 8, .random = 96, .pairs = 10, .seed = 1};
};

/// One run of a workload, and the judge of its states. `S` records, `Tables` is how tables are
/// written: tests plant their faults there.
template <class S = PowerCutStorage, class Tables = StagedMetadata<S, Heap>>
class CutVhd {
    using Recorded = VhdWriter<S, Tables>;

public:
    explicit CutVhd(const VhdCutWork& work)
        : work_(work), file_(work.start), journal_(value_of(read_vhd(work.start, work.below))) {}

    /// Works, recording.
    Status record() {
        S storage(log_, file_);
        std::optional<Recorded> writer;
        File model = journal_.now();
        for (const Op& op : work_.ops) {
            if (!writer) {
                auto opened = Recorded::open(storage, {.cache = work_.cache});
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
    // Behind what is linked there is a footer at all times, though the file may be longer.
    [[nodiscard]] static Status ends_with_footer(const File& file) {
        const MemoryStorage storage(file);
        const auto image = vhd::open_closed(storage, Heap{});
        if (!image) return image.error();
        if (image->layout.is_fixed()) return {};
        const auto end = vhd::end_of_data(*image);
        if (!end) return end.error();
        const auto footer = load<vhd::Footer>(storage, *end);
        if (!footer) return footer.error();
        const bool right = vhd::has_cookie(*footer) && vhd::footer::checksum_right(*footer);
        return right ? Status{} : Status(corrupt("judge: no footer behind the last block"));
    }

    // The disk, if the image opens as it is and is damaged by nothing but leaks once recovered.
    [[nodiscard]] Result<File> sound(const File& file) const {
        const auto seen = read_vhd(file, work_.below);
        if (!seen) return seen;
        if (Status ends = ends_with_footer(file); !ends) return ends.error();
        if (Status leaks = at_most_leaks_in_vhd(file); !leaks) return leaks.error();
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
        return state.hash % 64 == 0 ? cut_recovery(file, *seen, op) : Status{};
    }

    // What a guest does after the power is back.
    [[nodiscard]] static Op after(const File& disk, uint64_t hash) {
        const uint64_t at = hash / 7 % (disk.size() / sector) * sector;
        return Op::write(at, std::min<uint64_t>(disk.size() - at, 3 * sector), 200);
    }

    template <class Handle>
    Status go_on(Handle storage, const Op& op, File& model) const {
        if (Status recovered = vhd::recover(storage, Heap{}); !recovered) return recovered;
        auto writer = VhdWriter<Handle>::open(storage, {.cache = {9, 3}});
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

    const VhdCutWork& work_;
    CutLog log_;
    File file_;
    GuestJournal journal_;
};

/// A kind of workload: cases are made of it by seed.
struct VhdCutKind {
    const char* name;
    vhd::CreateOptions options;
    Mix mix;
    unsigned ops = 8;
    unsigned before = 0;  ///< operations done, and flushed, before the recording begins
};

inline std::vector<VhdCutKind> vhd_cut_kinds() {
    using enum vhd::Type;
    // In whole sectors: the medium tears no finer.
    const Mix writes{.zero = 0, .discard = 0, .pack = 0, .flush = 2, .most = 9000, .align = sector};
    const Mix usual{.pack = 0, .flush = 2, .reopen = 1, .most = 9000, .align = sector};
    const Mix small{.pack = 0, .flush = 2, .most = 2000, .align = sector};
    return {
        {"allocating writes", vhd_options(160 * sector, 12), writes},
        {"allocating writes, 512 bytes", vhd_options(60 * sector, 9), small},
        {"rewrites", vhd_options(60 * sector, 13), usual, 10, 20},
        {"all sorts", vhd_options(160 * sector, 12), usual, 10, 6},
        {"child, allocating", vhd_options(160 * sector, 12, differencing), writes},
        {"child, rewrites", vhd_options(60 * sector, 13, differencing), usual, 10, 12},
        {"child, all sorts", vhd_options(160 * sector, 14, differencing), usual, 10, 3},
        {"fixed", vhd_options(60 * sector, 12, fixed), usual},
    };
}

/// Case number `seed` of a kind.
inline VhdCutWork make_cut(const VhdCutKind& kind, uint64_t seed) {
    constexpr CacheShape caches[] = {{9, 0}, {9, 2}, {12, 8}};
    VhdCutWork work;
    work.below.exists = kind.options.type == vhd::Type::differencing;
    work.cache = caches[seed % 3];
    work.options.seed = seed;
    GrowableMemory memory(new_vhd(kind.options));
    if (kind.before > 0) {
        auto writer = value_of(VhdWriter<Borrowed<GrowableMemory>>::open(Borrowed(memory)));
        File model = value_of(whole_disk(writer, work.below));
        RandomWork random(kind.options.size, kind.mix, seed + 1000);
        for (unsigned i = 0; i < kind.before; ++i) {
            const Status done = perform(writer, random.next(), model, work.below);
            if (!done) throw std::runtime_error(done.error().what);
        }
        if (!writer.flush()) throw std::runtime_error("flush");
    }
    work.start = bytes_of(memory);
    RandomWork random(kind.options.size, kind.mix, seed * 31 + kind.options.block_bits);
    for (unsigned i = 0; i < kind.ops; ++i) work.ops.push_back(random.next());
    work.ops.push_back(Op::flush());
    return work;
}

/// Runs and judges one workload.
template <class S = PowerCutStorage, class Tables = StagedMetadata<S, Heap>>
Status cut(const VhdCutWork& work, CutTally& tally) {
    CutVhd<S, Tables> subject(work);
    if (Status recorded = subject.record(); !recorded) return recorded;
    return subject.replay(tally);
}

}  // namespace vdisk::test
