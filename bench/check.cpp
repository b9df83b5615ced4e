// SPDX-License-Identifier: BSL-1.0
// Checking an image of 64 MiB with 1024 places written. The baseline reads as many bytes as the
// check does, from the front of the same file in one go.
#include <vdisk/format/qcow2/check.hpp>
#include <vdisk/format/vhd/check.hpp>
#include <vdisk/format/vhdx/check.hpp>
#include <vdisk/storage/counting.hpp>

#include "new_image.hpp"

namespace {

using namespace bench;

template <class New, class Check>
void check(benchmark::State& state, Check check_image) {
    const std::vector<byte> block(length, byte{1});
    std::vector<byte> scratch(cluster_size);
    InFile place;
    {
        auto image = new_image<New>(place.handle());
        for (const uint64_t at : shuffled()) must(write(image, at, block, scratch));
        must(image.flush());
        if constexpr (requires { image.close(); }) must(image.close());
    }
    Counters counters;
    CountingStorage counted(place.handle(), counters);
    if (!must(check_image(counted)).is_clean()) return state.SkipWithError("not clean");

    auto file = place.handle();
    std::vector<byte> bytes(counters.read_bytes);
    const auto measured = [&](std::span<const uint64_t> batch) {
        for (size_t i = 0; i < batch.size(); ++i) {
            benchmark::DoNotOptimize(must(check_image(file)));
        }
    };
    compare(state, Pattern{std::vector<uint64_t>(16), 16}, measured,
            [&](std::span<const uint64_t> batch) {
                for (size_t i = 0; i < batch.size(); ++i) must(file.read(0, bytes));
            });
}

template <class New, class Check>
void add(Check check_image) {
    const std::string name = std::string("check/") + New::name + "/pread/64m";
    benchmark::RegisterBenchmark(name.c_str(), check<New, Check>, check_image);
}

const bool registered = [] {
    const auto qcow2 = [](auto& file) { return qcow2::check_image(file, Heap{}); };
    add<NewQcow2<false>>(qcow2);
    add<NewQcow2<true>>(qcow2);
    add<NewVhd>([](auto& file) { return vhd::check_image(file, Heap{}); });
    add<NewVhdx>([](auto& file) { return vhdx::check_image(file, Heap{}); });
    return true;
}();

}  // namespace
