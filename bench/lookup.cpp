// SPDX-License-Identifier: BSL-1.0
// Where is a block? The baseline: two dependent loads and byte swaps, nothing checked, on a copy
// of the tables in memory, whatever the storage.
#include "support.hpp"

namespace {

using namespace bench;

template <class Disk, Storage S>
void lookup_random(benchmark::State& state) {
    const auto image = must(open_image<Disk>(storage_of<Disk, S>()));
    const byte* const file = Store::show<Disk>().bytes().data();
    const auto measured = [&](std::span<const uint64_t> batch) {
        for (const uint64_t at : batch) {
            const Result<Extent> extent = image.lookup(at, 4096);
            if (!extent) return state.SkipWithError("lookup failed");
            benchmark::DoNotOptimize(extent->at);
        }
    };
    compare(state, random_reads(disk_size, 4096, 4096), measured,
            [file](std::span<const uint64_t> batch) {
                for (const uint64_t at : batch) {
                    benchmark::DoNotOptimize(Disk::home(file, at));
                }
            });
}

const bool registered = each_combination([]<class Disk, class S>() {
    benchmark::RegisterBenchmark(name_of<Disk, S>("lookup", "random").c_str(),
                                 lookup_random<Disk, S>);
});

}  // namespace
