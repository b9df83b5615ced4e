// SPDX-License-Identifier: BSL-1.0
// CRC-32C over pieces as large as a sector of the VHDX log: as the library does it, and without
// the processor's instruction. The baseline copies the same bytes.
#include <vdisk/core/crc32c.hpp>

#include "support.hpp"

namespace {

using namespace bench;

constexpr size_t piece = 4096;

template <class Sum>
void checksum(benchmark::State& state, Sum sum) {
    const std::vector<byte> bytes(64 * piece, byte{7});
    std::vector<byte> copy(piece);
    Pattern pieces{{}, 64};
    for (uint64_t i = 0; i < 31 * 64; ++i) pieces.offsets.push_back(i % 64 * piece);
    const auto at = [&](uint64_t offset) {
        return Bytes(bytes).subspan(static_cast<size_t>(offset), piece);
    };
    compare(
        state, pieces,
        [&](std::span<const uint64_t> batch) {
            for (const uint64_t offset : batch) benchmark::DoNotOptimize(sum(at(offset)));
        },
        [&](std::span<const uint64_t> batch) {
            for (const uint64_t offset : batch) {
                std::memcpy(copy.data(), at(offset).data(), piece);
                benchmark::DoNotOptimize(copy.data());
            }
        });
}

const bool registered = [] {
    const auto whole = [](Bytes bytes) { return crc32c(bytes); };
    const auto portable = [](Bytes bytes) { return ~crc::portable(bytes, ~0u); };
    benchmark::RegisterBenchmark("crc32c/vhdx/memory/4k",
                                 [=](auto& state) { checksum(state, whole); });
    benchmark::RegisterBenchmark("crc32c/vhdx/memory/4k-portable",
                                 [=](auto& state) { checksum(state, portable); });
    return true;
}();

}  // namespace
