// SPDX-License-Identifier: BSL-1.0
// Writes all over the file that VDISK_BENCH_TARGET names, of format VDISK_BENCH_FORMAT:
// VDISK_BENCH_COUNT of them, each of VDISK_BENCH_LENGTH bytes, VDISK_BENCH_STEP bytes apart, and a
// flush at the end. Made for random_write.sh, which runs qemu-img bench over the same offsets.
#include <vdisk/disk/any_writer.hpp>
#include <vdisk/io/write.hpp>

#include "support.hpp"

namespace {

using namespace bench;

using Writer = AnyWriter<AllFormats, PreadStorage, Heap, NoCodec>;

uint64_t number(const char* variable) {
    const char* const text = std::getenv(variable);
    return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

void write_file(benchmark::State& state, const char* path) {
    const uint64_t count = number("VDISK_BENCH_COUNT"), step = number("VDISK_BENCH_STEP");
    const uint64_t length = number("VDISK_BENCH_LENGTH");
    const char* const format = std::getenv("VDISK_BENCH_FORMAT");
    auto image = must(Writer::open(format == nullptr ? "" : format,
                                   must(PreadStorage::open(path, Access::write))));
    const std::vector<byte> block(static_cast<size_t>(length), byte{1});
    std::vector<byte> scratch(65536);
    for (auto _ : state) {
        using Clock = std::chrono::steady_clock;
        const auto start = Clock::now();
        for (uint64_t i = 0; i < count; ++i) {
            const uint64_t at = i * step % (image.size() / length * length);
            if (!write(image, at, block, scratch)) return state.SkipWithError("write failed");
        }
        if (!image.flush()) return state.SkipWithError("flush failed");
        const std::chrono::duration<double> taken = Clock::now() - start;
        state.counters["ns"] = taken.count() * 1e9 / static_cast<double>(count);
    }
}

const bool registered = [] {
    const char* const path = std::getenv("VDISK_BENCH_TARGET");
    if (path == nullptr) return false;
    const auto run = [path](benchmark::State& state) { write_file(state, path); };
    benchmark::RegisterBenchmark("write/any/file/strided", run)->Iterations(1);
    return true;
}();

}  // namespace
