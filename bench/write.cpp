// SPDX-License-Identifier: BSL-1.0
// Writing 4 KiB at a time: over data that is there (rewrite), where nothing is yet (allocate), and
// with a flush after each of these (flush). The baseline writes the same bytes to a bare file or
// memory. Allocating shows what each stage takes per write: place, move, commit, and flush.
#include "new_image.hpp"

namespace {

using namespace bench;

constexpr int turns = 5;  ///< per iteration: making an image takes longer than what is measured

const std::vector<byte> block(length, byte{1});

/// Writes one block to every place of a bare storage of the same size.
template <class S>
double bare(S storage, const std::vector<uint64_t>& order) {
    must(storage.resize(new_size));
    Stopwatch watch;
    for (const uint64_t at : order) must(storage.write(at, block));
    return watch.lap();
}

template <class New, class Place>
void rewrite(benchmark::State& state) {
    std::vector<byte> scratch(cluster_size);
    const auto order = shuffled();
    Place place, other;
    auto image = new_image<New>(place.handle());
    for (const uint64_t at : order) must(write(image, at, block, scratch));
    bare(other.handle(), order);
    Best total, base;
    for (auto _ : state) {
        Stopwatch watch;
        for (const uint64_t at : order) must(write(image, at, block, scratch));
        total.take(watch.lap());
        base.take(bare(other.handle(), order));
    }
    report(state, total.ns(), base.ns());
}

template <class New, class Place>
void allocate(benchmark::State& state) {
    std::vector<byte> scratch(cluster_size);
    const auto order = shuffled();
    Best total, base, stages[4];
    const auto turn = [&] {
        Place place, other;
        auto image = new_image<New>(place.handle());
        double taken[4] = {};
        Stopwatch watch;
        for (const uint64_t at : order) {
            const auto placed = must(image.place(at, length));
            taken[0] += watch.lap();
            must(io::put(image, at, placed, block, scratch, Zeros{}));
            taken[1] += watch.lap();
            must(image.commit(at, placed));
            taken[2] += watch.lap();
        }
        must(image.flush());
        taken[3] = watch.lap();
        for (size_t i = 0; i < 4; ++i) stages[i].take(taken[i]);
        total.take(std::accumulate(taken, taken + 4, 0.0));
        base.take(bare(other.handle(), order));
    };
    for (auto _ : state) {
        for (int i = 0; i < turns; ++i) turn();
    }
    report(state, total.ns(), base.ns());
    constexpr const char* names[] = {"place_ns", "move_ns", "commit_ns", "flush_ns"};
    for (size_t i = 0; i < 4; ++i) state.counters[names[i]] = stages[i].ns();
}

// The baseline flushes after each bare write.
template <class New, class Place>
void flush_each(benchmark::State& state) {
    std::vector<byte> scratch(cluster_size);
    const auto order = shuffled();
    Best total, base;
    const auto turn = [&] {
        Place place, other;
        auto image = new_image<New>(place.handle());
        auto file = other.handle();
        must(file.resize(new_size));
        double flushes = 0, bare_flushes = 0;
        Stopwatch watch;
        for (const uint64_t at : order) {
            must(write(image, at, block, scratch));
            watch.lap();
            must(image.flush());
            flushes += watch.lap();
        }
        for (const uint64_t at : order) {
            watch.lap();
            must(file.write(at, block));
            must(file.flush());
            bare_flushes += watch.lap();
        }
        total.take(flushes);
        base.take(bare_flushes);
    };
    for (auto _ : state) {
        for (int i = 0; i < turns; ++i) turn();
    }
    report(state, total.ns(), base.ns());
}

const bool registered = each_new_image([]<class New, class Place>() {
    const auto add = [](const char* task, const char* how, void (*run)(benchmark::State&)) {
        const std::string name =
            std::string(task) + "/" + New::name + "/" + Place::name + "/" + how;
        benchmark::RegisterBenchmark(name.c_str(), run);
    };
    add("write", "4k-rewrite", rewrite<New, Place>);
    add("write", "4k-allocate", allocate<New, Place>);
    add("flush", "4k-allocate", flush_each<New, Place>);
});

}  // namespace
