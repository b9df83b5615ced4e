// SPDX-License-Identifier: BSL-1.0
// Images to be written: where they are kept, how each format makes an empty one, and what is
// written.
#pragma once

#include <vdisk/core/random.hpp>
#include <vdisk/format/qcow/create.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/io/write.hpp>
#include <vdisk/storage/borrowed.hpp>
#include <vdisk/storage/growable.hpp>

#include "support.hpp"

namespace bench {

inline constexpr uint64_t length = 4096;  ///< of each write
inline constexpr uint64_t writes = 1024;  ///< per turn, one per 64 KiB of the disk
inline constexpr uint64_t new_size = writes * cluster_size;

inline void must(Status status) {
    if (!status) throw std::runtime_error(status.error().what);
}

// --- something to write to that is empty at first: memory, or a file that is gone at the end
// ------

struct InMemory {
    static constexpr const char* name = "memory";
    using Handle = Borrowed<GrowableMemory>;
    Handle handle() { return Handle(memory); }
    GrowableMemory memory{touched()};

    // Growing shall not measure the page faults of the heap.
    static std::vector<byte> touched() {
        std::vector<byte> bytes(new_size * 3 / 2, byte{1});
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
    Handle handle() {
        const bool exists = std::filesystem::exists(path);
        return must(PreadStorage::open(path.c_str(), exists ? Access::write : Access::create));
    }
    std::string path;
};

// --- the formats ---------------------------------------------------------------------------------

struct NewRaw {
    using Format = Raw;
    static constexpr const char* name = "raw";
    static Status create(auto& storage) { return storage.resize(new_size); }
};
struct NewQcow {
    using Format = Qcow;
    static constexpr const char* name = "qcow";
    static Status create(auto& storage) { return qcow::create(storage, {.size = new_size}); }
};
template <bool extended>
struct NewQcow2 {
    using Format = Qcow2;
    static constexpr const char* name = extended ? "qcow2_extended" : "qcow2";
    static Status create(auto& storage) {
        return qcow2::create(storage, {.size = new_size, .extended_l2 = extended});
    }
};
struct NewVhd {
    using Format = Vhd;
    static constexpr const char* name = "vpc";
    static Status create(auto& storage) {
        const Guid id = Guid::from_random({byte{1}});
        return vhd::create(storage, {.size = new_size, .unique_id = id});
    }
};
struct NewVhdx {
    using Format = Vhdx;
    static constexpr const char* name = "vhdx";
    static Status create(auto& storage) {
        return vhdx::create(storage, {.size = new_size, .block_bits = 20}, SeededIds(1));
    }
};

/// Makes an image and opens its writer.
template <class New, class S>
auto new_image(S storage) {
    must(New::create(storage));
    return must(New::Format::open_writer(std::move(storage), OpenOptions{}, Heap{}, NoCodec{}));
}

/// Calls `f.operator()<New, Place>()` for every format in every place.
template <class F>
bool each_new_image(F f) {
    const auto both = [&]<class New>() {
        f.template operator()<New, InMemory>();
        f.template operator()<New, InFile>();
    };
    both.template operator()<NewRaw>();
    both.template operator()<NewQcow>();
    both.template operator()<NewQcow2<false>>();
    both.template operator()<NewQcow2<true>>();
    both.template operator()<NewVhd>();
    both.template operator()<NewVhdx>();
    return true;
}

/// The places that are written, in random order.
inline std::vector<uint64_t> shuffled() {
    std::vector<uint64_t> order(writes);
    for (size_t i = 0; i < order.size(); ++i) order[i] = i * cluster_size + i % 16 * length;
    std::shuffle(order.begin(), order.end(), std::mt19937_64(3));
    return order;
}

// --- the clock -----------------------------------------------------------------------------------

class Stopwatch {
public:
    /// Seconds since the last lap.
    double lap() {
        const auto now = Clock::now();
        const std::chrono::duration<double> taken = now - std::exchange(last_, now);
        return taken.count();
    }

private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point last_ = Clock::now();
};

/// The best time of all turns, in seconds for all writes of a turn.
struct Best {
    void take(double seconds) { value = std::min(value, seconds); }
    [[nodiscard]] double ns() const { return value * 1e9 / double{writes}; }
    double value = std::numeric_limits<double>::max();
};

}  // namespace bench
