// SPDX-License-Identifier: BSL-1.0
// Reading guest data. The baseline moves the same bytes: in memory two dependent loads (the
// tables) and a memcpy, in a file a bare pread of the place.
#include "support.hpp"

namespace {

using namespace bench;

template <class Disk>
void baseline_memory(const byte* file, uint64_t at, MutBytes out) {
    while (!out.empty()) {
        const uint64_t rest = Disk::run - at % Disk::run;
        const MutBytes piece = out.first(std::min<size_t>(out.size(), rest));
        std::memcpy(piece.data(), file + Disk::home(file, at), piece.size());
        at += piece.size();
        out = out.subspan(piece.size());
    }
}

template <class Disk>
void baseline_file(int descriptor, const byte* file, uint64_t at, MutBytes out) {
    while (!out.empty()) {
        const uint64_t rest = Disk::run - at % Disk::run;
        const MutBytes piece = out.first(std::min<size_t>(out.size(), rest));
        const auto home = static_cast<off_t>(Disk::home(file, at));
        benchmark::DoNotOptimize(::pread(descriptor, piece.data(), piece.size(), home));
        at += piece.size();
        out = out.subspan(piece.size());
    }
}

template <class Disk, Storage S>
void read_disk(benchmark::State& state, size_t length, const Pattern& offsets) {
    const S storage = storage_of<Disk, S>();
    const auto image = must(open_image<Disk>(storage));
    std::vector<byte> buffer(length);
    const MutBytes out(buffer);
    const auto measured = [&](std::span<const uint64_t> batch) {
        for (const uint64_t at : batch) {
            if (!read(image, at, out)) state.SkipWithError("read failed");
            benchmark::DoNotOptimize(buffer.data());
        }
    };
    if constexpr (is_memory<S>) {
        const byte* const file = must(storage.view(0, storage.size())).data();
        compare(state, offsets, measured, [&](std::span<const uint64_t> batch) {
            for (const uint64_t at : batch) {
                baseline_memory<Disk>(file, at, out);
                benchmark::DoNotOptimize(buffer.data());
            }
        });
    } else {
        const auto file = must(PreadStorage::open(Store::show<Disk>().path(), Access::read));
        const byte* const tables = Store::show<Disk>().bytes().data();
        compare(state, offsets, measured, [&](std::span<const uint64_t> batch) {
            for (const uint64_t at : batch) {
                baseline_file<Disk>(file.descriptor(), tables, at, out);
            }
        });
    }
}

struct Task {
    const char* name;
    size_t length;
    Pattern (*pattern)();
};

constexpr Task tasks[] = {
    // 8 MiB per batch: more than the L2 cache holds, and gone from the L3 when it is its turn again
    {"4k-random", 4096, [] { return random_reads(disk_size, 4096, 2048); }},
    {"4k-hot", 4096, [] { return random_reads(256_KiB, 4096, 2048); }},
    {"64k-sequential", 64_KiB, [] { return sequential_reads(64_KiB, 128); }},
    {"1m-sequential", 1_MiB, [] { return sequential_reads(1_MiB, 8); }},
};

const bool registered = each_combination([]<class Disk, class S>() {
    for (const Task& task : tasks) {
        const auto run = [&task](benchmark::State& state) {
            read_disk<Disk, S>(state, task.length, task.pattern());
        };
        benchmark::RegisterBenchmark(name_of<Disk, S>("read", task.name).c_str(), run);
    }
});

}  // namespace
