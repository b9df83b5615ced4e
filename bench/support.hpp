// SPDX-License-Identifier: BSL-1.0
// What the benchmarks share: one disk of 256 MiB, stored as raw, qcow and qcow2 on every storage,
// and a clock that runs the measured code and its baseline in turns.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/none.hpp>
#include <vdisk/disk/any.hpp>
#include <vdisk/storage/memory.hpp>
#include <vdisk/storage/mmap.hpp>
#include <vdisk/storage/pread.hpp>

namespace bench {

using namespace vdisk;

constexpr unsigned cluster_bits = 16;
constexpr uint64_t cluster_size = uint64_t{1} << cluster_bits;
constexpr uint64_t disk_size = 256_MiB;
constexpr uint64_t clusters = disk_size / cluster_size;
constexpr uint64_t refcount_at = 1 * cluster_size;
constexpr uint64_t l1_at = 2 * cluster_size;
constexpr uint64_t l2_at = 3 * cluster_size;
constexpr uint64_t data_at = 5 * cluster_size;  ///< of all formats; the clusters are shuffled
constexpr uint64_t file_size = data_at + disk_size;

/// The value or the end of the program.
template <class T>
T must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().what);
    return *std::move(result);
}

// --- the formats: all have the same data, only the tables at the front of the file differ ---------

struct RawDisk {
    static constexpr const char* name = "raw";
    using Format = Raw;
};
struct QcowDisk {
    static constexpr const char* name = "qcow";
    using Format = Qcow;
};
struct Qcow2Disk {
    static constexpr const char* name = "qcow2";
    using Format = Qcow2;
};
struct ExtendedDisk {
    static constexpr const char* name = "qcow2_extended_l2";
    using Format = Qcow2;
};

template <class Disk, Storage S>
using ImageOf = typename Disk::Format::template Image<S, Heap, NoCodec>;

template <class Disk, Storage S>
ImageOf<Disk, S> open_image(S storage) {
    return must(Disk::Format::template open<S>(std::move(storage), {}, Heap{}, NoCodec{}));
}

/// Where each guest cluster stands in the file.
const std::vector<uint64_t>& home();

/// The first `data_at` bytes of the file.
template <class Disk>
std::vector<byte> tables();

/// The file in memory, and on a memory file system; its tables are those of `Disk` until the next
/// call.
template <class Disk>
MutBytes memory_of();
template <class Disk>
const std::string& file_of();

// --- the storages ---------------------------------------------------------------------------------

struct InMemory {
    static constexpr const char* name = "memory";
    static constexpr bool is_memory = true;
    template <class Disk>
    static MemoryStorage open() {
        return MemoryStorage(memory_of<Disk>());
    }
};
template <class S>
struct InFile {
    static constexpr bool is_memory = std::same_as<S, FrozenMmapStorage>;
    static constexpr const char* name = is_memory                     ? "frozen_mmap"
                                        : std::same_as<S, MmapStorage> ? "mmap"
                                                                       : "pread";
    template <class Disk>
    static S open() {
        const char* path = file_of<Disk>().c_str();
        if constexpr (std::same_as<S, PreadStorage>) return must(S::open(path, Access::read));
        else return must(S::open(path));
    }
};

}  // namespace bench
