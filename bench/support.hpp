// SPDX-License-Identifier: BSL-1.0
// What the benchmarks share: the storages, the offsets, and a clock that runs the measured code
// and its physical baseline in turns, so that noise of the machine hits both.
#pragma once

#include <chrono>
#include <cstdio>
#include <limits>

#include <benchmark/benchmark.h>

#include "disk.hpp"

namespace bench {

// --- the disks on every storage
// -------------------------------------------------------------------

template <class Disk, Storage S>
using ImageOf = typename Disk::Format::template Image<S, Heap, NoCodec>;

/// A handle of the file that holds `Disk`.
template <class Disk, Storage S>
S storage_of() {
    const Store& store = Store::show<Disk>();
    if constexpr (std::same_as<S, MemoryStorage>) return S(store.bytes());
    else if constexpr (std::same_as<S, PreadStorage>)
        return must(S::open(store.path(), Access::read));
    else return must(S::open(store.path()));
}

template <class Disk, Storage S>
Result<ImageOf<Disk, S>> open_image(const S& storage) {
    return Disk::Format::template open<S>(storage, {}, Heap{}, NoCodec{});
}

template <class S>
inline constexpr const char* storage_name = "memory";
template <>
inline constexpr const char* storage_name<PreadStorage> = "pread";
template <>
inline constexpr const char* storage_name<MmapStorage> = "mmap";
template <>
inline constexpr const char* storage_name<FrozenMmapStorage> = "frozen_mmap";

/// True if the bytes are there without a system call, so that the baseline is memory as well.
template <class S>
inline constexpr bool is_memory =
    std::same_as<S, MemoryStorage> || std::same_as<S, FrozenMmapStorage>;

/// Calls `f.operator()<Disk, S>()` for every disk on every storage. True, for the initialiser of a
/// variable: that is how benchmarks are registered.
template <class F>
bool each_combination(F f) {
    const auto each_storage = [&]<class Disk>() {
        f.template operator()<Disk, MemoryStorage>();
        f.template operator()<Disk, PreadStorage>();
        f.template operator()<Disk, MmapStorage>();
        f.template operator()<Disk, FrozenMmapStorage>();
    };
    each_storage.template operator()<RawDisk>();
    each_storage.template operator()<QcowDisk>();
    each_storage.template operator()<Qcow2Disk<false>>();
    each_storage.template operator()<Qcow2Disk<true>>();
    each_storage.template operator()<VhdDisk>();
    each_storage.template operator()<VhdxDisk>();
    return true;
}

/// "read/qcow2/mmap/4k-random"
template <class Disk, class S>
std::string name_of(const char* task, const char* how) {
    return std::string(task) + "/" + Disk::name + "/" + storage_name<S> + "/" + how;
}

// --- the offsets
// ----------------------------------------------------------------------------------

/// Where to read: guest offsets, in batches.
struct Pattern {
    std::vector<uint64_t> offsets;
    size_t batch = 0;  ///< an odd number of batches: measured and baseline see all of them in turn

    [[nodiscard]] std::span<const uint64_t> operator[](size_t turn) const {
        return std::span(offsets).subspan(turn % (offsets.size() / batch) * batch, batch);
    }
};

/// 31 batches of offsets below `span`, multiples of `length`, in random order.
inline Pattern random_reads(uint64_t span, uint64_t length, size_t batch) {
    Pattern out{std::vector<uint64_t>(31 * batch), batch};
    std::mt19937_64 any(2);
    for (uint64_t& at : out.offsets) at = any() % (span / length) * length;
    return out;
}

/// 31 batches that run through the disk in steps of `length`, again and again.
inline Pattern sequential_reads(uint64_t length, size_t batch) {
    Pattern out{std::vector<uint64_t>(31 * batch), batch};
    for (size_t i = 0; i < out.offsets.size(); ++i) out.offsets[i] = i * length % disk_size;
    return out;
}

// --- the clock
// ------------------------------------------------------------------------------------

/// Shows nanoseconds per operation of the measured code, of its baseline, and their ratio.
inline void report(benchmark::State& state, double ns, double base_ns) {
    state.counters["ns"] = ns;
    state.counters["base_ns"] = base_ns;
    char ratio[32];
    std::snprintf(ratio, sizeof ratio, "x%.2f", ns / base_ns);
    state.SetLabel(ratio);
}

/// Runs `measured(offsets)` and `baseline(offsets)` in turns, and reports the best time of both.
template <class Measured, class Baseline>
void compare(benchmark::State& state, const Pattern& pattern, Measured measured,
             Baseline baseline) {
    const auto seconds = [&](auto& run, size_t turn) {
        using Clock = std::chrono::steady_clock;
        const auto start = Clock::now();
        run(pattern[turn]);
        benchmark::ClobberMemory();
        return std::chrono::duration<double>(Clock::now() - start).count();
    };
    double best = std::numeric_limits<double>::max();
    double best_baseline = best;
    for (size_t turn = 0; auto _ : state) {
        best = std::min(best, seconds(measured, turn++));
        best_baseline = std::min(best_baseline, seconds(baseline, turn++));
    }
    const double to_ns = 1e9 / static_cast<double>(pattern.batch);
    report(state, best * to_ns, best_baseline * to_ns);
}

}  // namespace bench
