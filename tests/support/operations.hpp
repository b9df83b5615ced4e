// SPDX-License-Identifier: BSL-1.0
// Operations on closed qcow2 images under power cuts and I/O errors: after each the guest sees the
// old state or the new one, and check finds at most leaks.
#pragma once

#include <vdisk/format/qcow2/repair.hpp>
#include <vdisk/storage/faulty.hpp>
#include <vdisk/storage/power_cut_replay.hpp>

#include "support/qemu.hpp"
#include "support/refusals.hpp"
#include "support/storages.hpp"

namespace vdisk::test {

/// What a guest can see of an image: the disk, then its snapshots.
using Contents = std::vector<File>;

inline Result<Contents> contents(const File& file) {
    using Reader = qcow2::Image<MemoryStorage, Heap, SystemCodecs>;
    Contents all;
    std::vector<std::string> ids{""};
    for (size_t i = 0; i < ids.size(); ++i) {
        auto image = Reader::open(MemoryStorage(file));
        if (!image) return image.error();
        if (i == 0) {
            const Status walked = qcow2::each_snapshot(
                MemoryStorage(file), image->layout(), [&](const qcow2::Snapshot& s) -> Status {
                    std::array<char, 64> text{};
                    const auto id = read_text(MemoryStorage(file), s.id, text);
                    if (!id) return id.error();
                    ids.emplace_back(*id);
                    return {};
                });
            if (!walked) return walked.error();
        } else if (Status chosen = image->select_snapshot(ids[i]); !chosen) {
            return chosen.error();
        }
        all.emplace_back(static_cast<size_t>(image->size()));
        if (Status got = read(*image, 0, all.back()); !got) return got.error();
    }
    return all;
}

/// Repairs `file`, which must not fail.
inline qcow2::RepairReport mend(File& file, qcow2::Repair what) {
    GrowableMemory memory(file);
    const auto report = qcow2::repair(memory, what, Heap{});
    INFO(report.error().what);
    REQUIRE(report);
    file.assign(memory.bytes().begin(), memory.bytes().end());
    return *report;
}

/// Nothing is wrong but what leaks.
inline Status at_most_leaks(const File& file) {
    const MemoryStorage storage(file);
    const char* what = nullptr;
    const auto report = qcow2::check_image(storage, Heap{}, [&](const qcow2::Problem& p) {
        if (p.flaw != qcow2::Flaw::leak) what = p.what;
    });
    if (!report) return report.error();
    if (what != nullptr) return corrupt(what);
    return {};
}

inline bool is_clean(const File& file) {
    const MemoryStorage storage(file);
    const auto report = qcow2::check_image(storage, Heap{});
    return report && report->is_clean();
}

/// After `operation(storage)` was cut anywhere. Returns the number of states.
template <class Operation>
uint64_t cut_everywhere(const File& before, const Operation& operation) {
    const auto old = contents(before);
    REQUIRE(old);
    CutLog log;
    File file = before;
    PowerCutStorage storage(log, file);
    const Status done = operation(storage);
    INFO(done.error().what);
    REQUIRE(done);
    CHECK(is_clean(file));
    const auto fresh = contents(file);
    REQUIRE(fresh);
    CutReplay replay(log, {.exhaustive = 9, .random = 96, .pairs = 12});
    const Status verdict = replay.run([&](const CutState& state) -> Status {
        if (Status sound = at_most_leaks(state.files[0]); !sound) return sound;
        const auto seen = contents(state.files[0]);
        if (!seen) return seen.error();
        if (*seen != *old && *seen != *fresh) return corrupt("a state between old and new");
        GrowableMemory mended(state.files[0]);
        const auto report = qcow2::repair(mended, qcow2::Repair::leaks, Heap{});
        if (!report) return report.error();
        const File after(mended.bytes().begin(), mended.bytes().end());
        if (!is_clean(after)) return corrupt("repair left something");
        const auto again = contents(after);
        if (!again || *again != *seen) return corrupt("repair changed the disk");
        return {};
    });
    INFO(verdict.error().what);
    CHECK(verdict);
    return replay.states();
}

/// With an I/O error at every call in turn; the operation says so and succeeds when tried again.
/// Returns the number of calls.
template <class Operation>
uint64_t fail_everywhere(const File& before, const Operation& operation) {
    const auto old = contents(before);
    REQUIRE(old);
    for (uint64_t n = 1;; ++n) {
        CAPTURE(n);
        REQUIRE(n < 20000);
        CutLog log;  // only to look at the bytes of the file
        File file = before;
        Fault fault{.countdown = n, .remains = n % 3 == 0 ? Remains::torn : Remains::nothing};
        FaultyStorage<PowerCutStorage> storage(PowerCutStorage(log, file), fault);
        const Status done = operation(storage);
        if (!fault.fired) {
            REQUIRE(done);
            tell_faults("I/O, qcow2 operations", n - 1);
            return n - 1;
        }
        // What fails after the switch (giving back what is behind the image) may be passed over.
        if (!done) REQUIRE(done.error().code == Errc::io);
        REQUIRE(at_most_leaks(file));
        const auto seen = contents(file);
        REQUIRE(seen);
        if (*seen == *old) {
            REQUIRE(operation(storage));
            REQUIRE(is_clean(file));
        }
    }
}

/// A small image that has everything: clusters of all kinds, streams, snapshots.
inline Qcow2Spec lively(unsigned cluster_bits, uint32_t version = 3, bool extended_l2 = false) {
    const uint64_t size = (uint64_t{96} << cluster_bits) + 1024;
    const bool zeros = version == 3;
    std::vector<Fill> ways{Fill::data, Fill::packed};
    if (zeros) ways.insert(ways.end(), {Fill::zero, Fill::zero_kept});
    return {.size = size,
            .cluster_bits = cluster_bits,
            .version = version,
            .extended_l2 = extended_l2,
            .clusters = mixture(96, 3, ways),
            .snapshots = {{"1", "first", mixture(96, 4, ways)},
                          {"7", "second", mixture(96, 5, {Fill::data})}}};
}

}  // namespace vdisk::test
