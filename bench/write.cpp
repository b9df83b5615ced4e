// SPDX-License-Identifier: BSL-1.0
// Writing 4 KiB at a time into a qcow2 image: over data that is there (rewrite), and each time into
// a cluster that is not (allocate). The baseline writes the same bytes to a bare file or memory.
// Allocating shows what each stage takes per write: place, move, commit, and flush.
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/io/write.hpp>
#include <vdisk/storage/borrowed.hpp>
#include <vdisk/storage/growable.hpp>

#include "support.hpp"

namespace {

using namespace bench;

constexpr uint64_t length = 4096;
constexpr uint64_t writes = 1024;  ///< per turn: 64 MiB of clusters

/// Something to write to that is empty at first: memory, or a file that is gone at the end.
struct InMemory {
    static constexpr const char* name = "memory";
    using Handle = Borrowed<GrowableMemory>;
    Handle handle() { return Handle(memory); }
    GrowableMemory memory{touched()};

    // Growing shall not measure the page faults of the heap.
    static std::vector<byte> touched() {
        std::vector<byte> bytes((writes + 64) * cluster_size, byte{1});
        bytes.clear();
        return bytes;
    }
};
struct InFile {
    static constexpr const char* name = "pread";
    using Handle = PreadStorage;
    InFile() : path(std::string(Store::show<RawDisk>().path()) + ".write") {
        std::filesystem::remove(path);
    }
    ~InFile() { std::filesystem::remove(path); }
    InFile(const InFile&) = delete;
    InFile& operator=(const InFile&) = delete;
    Handle handle() { return must(PreadStorage::open(path.c_str(), file_access())); }
    Access file_access() const {
        return std::filesystem::exists(path) ? Access::write : Access::create;
    }
    std::string path;
};

template <class S>
auto new_image(S storage, bool extended) {
    const Status made =
        qcow2::create(storage, {.size = writes * cluster_size, .extended_l2 = extended});
    if (!made) throw std::runtime_error(made.error().what);
    return must(Qcow2::open_writer(std::move(storage), {}, Heap{}, NoCodec{}));
}

class Stopwatch {
public:
    void lap(double& seconds) {
        const auto now = Clock::now();
        seconds += std::chrono::duration<double>(now - last_).count();
        last_ = now;
    }

private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point last_ = Clock::now();
};

/// Best times of all turns, in seconds per turn.
struct Best {
    void take(double seconds) { value = std::min(value, seconds); }
    [[nodiscard]] double ns() const { return value * 1e9 / double{writes}; }
    double value = std::numeric_limits<double>::max();
};

void check(Status status) {
    if (!status) throw std::runtime_error(status.error().what);
}

void report(benchmark::State& state, const Best& total, const Best& base) {
    state.counters["ns"] = total.ns();
    state.counters["base_ns"] = base.ns();
    char ratio[32];
    std::snprintf(ratio, sizeof ratio, "x%.2f", total.value / base.value);
    state.SetLabel(ratio);
}

/// Writes one block to every place of a bare storage of the same size.
template <class S>
double bare(S storage, const std::vector<uint64_t>& order, Bytes block) {
    check(storage.resize(writes * cluster_size));
    double seconds = 0;
    Stopwatch watch;
    for (const uint64_t at : order) check(storage.write(at, block));
    watch.lap(seconds);
    return seconds;
}

std::vector<uint64_t> shuffled() {
    std::vector<uint64_t> order(writes);
    for (size_t i = 0; i < order.size(); ++i) order[i] = i * cluster_size + i % 16 * length;
    std::shuffle(order.begin(), order.end(), std::mt19937_64(3));
    return order;
}

template <class Place, bool extended>
void allocate(benchmark::State& state) {
    const std::vector<byte> block(length, byte{1});
    std::vector<byte> scratch(cluster_size);
    const auto order = shuffled();
    Best total, base;
    Best stages[4];
    for (auto _ : state) {
        double taken[4] = {};
        Place place;
        auto image = new_image(place.handle(), extended);
        Stopwatch watch;
        for (const uint64_t at : order) {
            const auto placed = must(image.place(at, length));
            watch.lap(taken[0]);
            check(io::put(image, at, placed, block, scratch, Zeros{}));
            watch.lap(taken[1]);
            check(image.commit(at, placed));
            watch.lap(taken[2]);
        }
        check(image.flush());
        watch.lap(taken[3]);
        double all = 0;
        for (size_t i = 0; i < 4; ++i) {
            stages[i].take(taken[i]);
            all += taken[i];
        }
        total.take(all);
        state.SetIterationTime(all);
        Place other;
        base.take(bare(other.handle(), order, block));
    }
    report(state, total, base);
    constexpr const char* names[] = {"place_ns", "move_ns", "commit_ns", "flush_ns"};
    for (size_t i = 0; i < 4; ++i) state.counters[names[i]] = stages[i].ns();
}

template <class Place, bool extended>
void rewrite(benchmark::State& state) {
    const std::vector<byte> block(length, byte{1});
    std::vector<byte> scratch(cluster_size);
    const auto order = shuffled();
    Place place;
    auto image = new_image(place.handle(), extended);
    for (const uint64_t at : order) check(write(image, at, block, scratch));
    Place other;
    bare(other.handle(), order, block);
    Best total, base;
    for (auto _ : state) {
        double taken = 0;
        Stopwatch watch;
        for (const uint64_t at : order) check(write(image, at, block, scratch));
        watch.lap(taken);
        total.take(taken);
        state.SetIterationTime(taken);
        base.take(bare(other.handle(), order, block));
    }
    report(state, total, base);
}

template <class Place, bool extended>
void add(const char* name) {
    const auto full = [name](const char* task) {
        return std::string(task) + "/" + name + "/" + Place::name;
    };
    benchmark::RegisterBenchmark(full("write_4k_rewrite").c_str(), rewrite<Place, extended>)
        ->UseManualTime();
    benchmark::RegisterBenchmark(full("write_4k_allocate").c_str(), allocate<Place, extended>)
        ->UseManualTime();
}

const bool registered = [] {
    add<InMemory, false>("qcow2");
    add<InFile, false>("qcow2");
    add<InMemory, true>("qcow2_extended");
    add<InFile, true>("qcow2_extended");
    return true;
}();

}  // namespace
