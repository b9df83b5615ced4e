// SPDX-License-Identifier: BSL-1.0
// 4 KiB reads all over the qcow2 file that VDISK_BENCH_IMAGE names, against bare preads of some
// bytes of the same file. Made for random_read.sh, which runs other tools over the same offsets.
#include "support.hpp"

namespace {

using namespace bench;

constexpr uint64_t length = 4096;
constexpr uint64_t step = 25717 * length;  ///< an odd number of pages: meets all of them

void read_file(benchmark::State& state, const char* path) {
    const auto file = must(PreadStorage::open(path, Access::read));
    const auto image = must(Qcow2::open(file, {}, Heap{}, NoCodec{}));
    Pattern offsets{std::vector<uint64_t>(31 * size_t{2048}), 2048};
    for (size_t i = 0; i < offsets.offsets.size(); ++i) {
        offsets.offsets[i] = i * step % align_down(image.size(), 12);
    }
    std::array<byte, length> buffer;
    const auto measured = [&](std::span<const uint64_t> batch) {
        for (const uint64_t at : batch) {
            if (!read(image, at, buffer)) return state.SkipWithError("read failed");
        }
    };
    const auto baseline = [&](std::span<const uint64_t> batch) {
        for (const uint64_t at : batch) {
            const auto from = static_cast<off_t>(at);
            benchmark::DoNotOptimize(::pread(file.descriptor(), buffer.data(), length, from));
        }
    };
    compare(state, offsets, measured, baseline);
}

const bool registered = [] {
    const char* const path = std::getenv("VDISK_BENCH_IMAGE");
    if (path == nullptr) return false;
    const auto run = [path](benchmark::State& state) { read_file(state, path); };
    benchmark::RegisterBenchmark("read/qcow2/file/4k-strided", run);
    return true;
}();

}  // namespace
