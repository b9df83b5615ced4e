// SPDX-License-Identifier: BSL-1.0
// Power cuts, for all formats: what a guest was promised, and whether a state keeps it.
//
// A workload runs over PowerCutStorage and tells a GuestJournal what it does. CutReplay then makes
// every state, a judge of the format opens it, and the journal says whether what it reads is legal.
#pragma once

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <unordered_set>

#include <vdisk/storage/power_cut_replay.hpp>

#include "support/image_builder.hpp"

namespace vdisk::test {

/// Leaves out the n-th flush, from 1: what a forgotten barrier does. 0: none.
struct ForgetfulStorage : PowerCutStorage {
    ForgetfulStorage(CutLog& log, File& bytes, uint64_t n)
        : PowerCutStorage(log, bytes), forgotten(n) {}
    Status flush() { return ++flushes == forgotten ? Status{} : PowerCutStorage::flush(); }
    uint64_t flushes = 0;
    uint64_t forgotten;
};

/// What a guest did to a disk, and when, counted in events of a CutLog. Disks are kept whole: as
/// their bytes, or as a number for each sector (CutFiles::Ids).
template <class Disk = File>
class GuestJournal {
    static constexpr size_t step = std::is_same_v<Disk, File> ? sector : 1;  ///< of one sector

public:
    explicit GuestJournal(Disk disk) : versions_{{0, std::move(disk)}} {}

    /// From here on what `end` will say may be on the medium, in whole or in part.
    void begin(size_t events) { begun_ = events; }
    void end(Disk disk) {
        if (disk != versions_.back().disk) versions_.push_back({begun_, std::move(disk)});
    }
    /// The guest was told that all is durable.
    void flushed(size_t events) { flushes_.push_back({events, versions_.size() - 1}); }

    [[nodiscard]] const Disk& now() const { return versions_.back().disk; }
    [[nodiscard]] size_t versions() const { return versions_.size(); }

    /// Promises 1 and 2: each sector of `seen` is what it was when the guest last flushed, or what
    /// it became after. `events` had begun when the power went.
    [[nodiscard]] Status judge(size_t events, const Disk& seen) const {
        const auto [first, end] = legal(events);
        bool known_size = false;
        for (size_t v = first; v < end; ++v) {
            known_size = known_size || versions_[v].disk.size() == seen.size();
        }
        if (!known_size) return corrupt("journal: the disk has another size", {seen.size()});
        for (size_t at = 0; at < seen.size(); at += step) {
            bool is_known = false;
            for (size_t v = end; v-- > first && !is_known;) is_known = same(v, at, seen);
            if (!is_known) return corrupt("journal: foreign data in a sector", {at / step, at});
        }
        return {};
    }

    /// The versions that may be seen: the one that was flushed last, and all begun since.
    [[nodiscard]] std::pair<size_t, size_t> legal(size_t events) const {
        size_t first = 0;
        for (const auto& flush : flushes_) {
            if (flush.events <= events) first = flush.version;
        }
        size_t end = first + 1;
        while (end < versions_.size() && versions_[end].begun < events) ++end;
        return {first, end};
    }
    [[nodiscard]] const Disk& version(size_t v) const { return versions_[v].disk; }

private:
    struct Version {
        size_t begun;
        Disk disk;
    };
    struct Flush {
        size_t events, version;
    };

    [[nodiscard]] bool same(size_t v, size_t at, const Disk& seen) const {
        const Disk& disk = versions_[v].disk;
        const size_t length = std::min(step, seen.size() - at) * sizeof(typename Disk::value_type);
        return at + length / sizeof(typename Disk::value_type) <= disk.size() &&
               std::memcmp(&disk[at], &seen[at], length) == 0;
    }

    std::vector<Version> versions_;
    std::vector<Flush> flushes_;
    size_t begun_ = 0;
};

/// Counts the states that were judged in many replays, and their contents. For several threads.
class CutTally {
public:
    void add(uint64_t hash) {
        const std::lock_guard lock(mutex_);
        seen_.insert(hash);
        ++judged_;
    }
    [[nodiscard]] uint64_t distinct() const { return seen_.size(); }
    [[nodiscard]] uint64_t judged() const { return judged_; }

private:
    std::mutex mutex_;
    std::unordered_set<uint64_t> seen_;
    uint64_t judged_ = 0;
};

/// Calls `job(i)` for all i below `count`, on two threads: assertions are for the caller.
template <class Job>
void in_parallel(size_t count, const Job& job) {
    std::atomic<size_t> next{0};
    const auto work = [&] {
        for (size_t i; (i = next++) < count;) job(i);
    };
    std::thread other(work);
    work();
    other.join();
}

}  // namespace vdisk::test
