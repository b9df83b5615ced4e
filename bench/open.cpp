// SPDX-License-Identifier: BSL-1.0
// Opening an image on a storage that is open already. The baseline reads the longest header, 112
// bytes, and does nothing with it.
#include "support.hpp"

namespace {

using namespace bench;

template <class Disk, Storage S>
void open_again(benchmark::State& state) {
    const S storage = storage_of<Disk, S>();
    const auto measured = [&](std::span<const uint64_t> batch) {
        for (size_t i = 0; i < batch.size(); ++i) {
            const auto image = open_image<Disk>(storage);
            if (!image) return state.SkipWithError("open failed");
            benchmark::DoNotOptimize(image->size());
        }
    };
    const auto baseline = [&](std::span<const uint64_t> batch) {
        for (size_t i = 0; i < batch.size(); ++i) {
            std::array<byte, sizeof(qcow2::Header)> header;
            if (!storage.read(0, header)) return state.SkipWithError("read failed");
            benchmark::DoNotOptimize(header);
        }
    };
    compare(state, Pattern{std::vector<uint64_t>(256), 256}, measured, baseline);
}

const bool registered = each_combination([]<class Disk, class S>() {
    benchmark::RegisterBenchmark(name_of<Disk, S>("open", "again").c_str(), open_again<Disk, S>);
});

}  // namespace
