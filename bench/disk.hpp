// SPDX-License-Identifier: BSL-1.0
// The disk that is measured: 256 MiB in 64 KiB clusters, stored in shuffled order. Formats have the
// same data at the same places, and their tables at the front of the file; VHD, whose blocks each
// begin with a bitmap, has a gap before each, and VHDX more at the front.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/none.hpp>
#include <vdisk/disk/any.hpp>
#include <vdisk/format/vhd/create.hpp>
#include <vdisk/format/vhdx/create.hpp>
#include <vdisk/storage/growable.hpp>
#include <vdisk/storage/memory.hpp>
#include <vdisk/storage/mmap.hpp>
#include <vdisk/storage/pread.hpp>

namespace bench {

using namespace vdisk;

inline constexpr unsigned cluster_bits = 16;
inline constexpr uint64_t cluster_size = uint64_t{1} << cluster_bits;
inline constexpr uint64_t disk_size = 256_MiB;
inline constexpr uint64_t refcounts_at = 1 * cluster_size;
inline constexpr uint64_t l1_at = 2 * cluster_size;
inline constexpr uint64_t l2_at = 3 * cluster_size;
inline constexpr uint64_t data_at = 4 * cluster_size;

/// The value, or the end of the program.
template <class T>
T must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().what);
    return *std::move(result);
}

/// Where each block of `size` bytes stands in the file, with `gap` bytes before each.
template <uint64_t front = data_at, uint64_t gap = 0, uint64_t size = cluster_size>
const std::vector<uint64_t>& homes() {
    static const std::vector<uint64_t> all = [] {
        std::vector<uint64_t> at(disk_size / size);
        for (size_t i = 0; i < at.size(); ++i) at[i] = front + gap + i * (size + gap);
        std::shuffle(at.begin(), at.end(), std::mt19937_64(1));
        return at;
    }();
    return all;
}

template <class T>
void put(std::vector<byte>& file, uint64_t at, const T& value) {
    std::memcpy(file.data() + at, &value, sizeof(T));
}

struct RawDisk {
    using Format = Raw;
    static constexpr const char* name = "raw";
    static constexpr uint64_t front = data_at, gap = 0, block = cluster_size;
    static constexpr uint64_t run = disk_size;  ///< bytes that one baseline read may take
    static void write_tables(std::vector<byte>& /*file*/) {}
    static uint64_t home(const byte* /*file*/, uint64_t at) { return at; }
};

/// The formats with two levels of tables; `entry_bytes` is the size of an L2 entry.
template <uint64_t entry_bytes>
struct TwoLevels {
    static constexpr uint64_t front = data_at, gap = 0, block = cluster_size, run = block;
    static constexpr uint64_t l2_entries = cluster_size / entry_bytes;

    static void write_l2(std::vector<byte>& file, uint64_t flags, uint64_t bitmap) {
        put(file, l1_at, be64(l2_at | flags));
        for (size_t i = 0; i < homes<>().size(); ++i) {
            put(file, l2_at + i * entry_bytes, be64(homes<>()[i] | flags));
            if (entry_bytes == 16) put(file, l2_at + i * entry_bytes + 8, be64(bitmap));
        }
    }

    /// The least anybody can do: two dependent loads, nothing checked.
    static uint64_t home(const byte* file, uint64_t at) {
        constexpr uint64_t mask = qcow2::entry::offset_mask;
        const uint64_t index = at / cluster_size;
        const uint64_t table = load_be64(file + l1_at + index / l2_entries * 8) & mask;
        const uint64_t entry = load_be64(file + table + index % l2_entries * entry_bytes) & mask;
        return entry + at % cluster_size;
    }
};

struct QcowDisk : TwoLevels<8> {
    using Format = Qcow;
    static constexpr const char* name = "qcow";
    static void write_tables(std::vector<byte>& file) {
        qcow::Header header{};
        header.magic = qcow::magic;
        header.version = 1;
        header.size = disk_size;
        header.cluster_bits = cluster_bits;
        header.l2_bits = cluster_bits - 3;
        header.l1_table_offset = l1_at;
        put(file, 0, header);
        write_l2(file, 0, 0);
    }
};

template <bool extended>
struct Qcow2Disk : TwoLevels<extended ? 16 : 8> {
    using Format = Qcow2;
    static constexpr const char* name = extended ? "qcow2_extended" : "qcow2";
    static void write_tables(std::vector<byte>& file) {
        qcow2::Header header{};
        header.magic = qcow2::magic;
        header.version = 3;
        header.size = disk_size;
        header.cluster_bits = cluster_bits;
        header.l1_size = 1;
        header.l1_table_offset = l1_at;
        header.refcount_table_offset = refcounts_at;
        header.refcount_table_clusters = 1;
        header.incompatible_features = extended ? qcow2::incompatible::extended_l2 : 0;
        header.refcount_order = 4;
        header.header_length = qcow2::v3_header_length;
        put(file, 0, header);
        TwoLevels<extended ? 16 : 8>::write_l2(file, qcow2::entry::copied, 0xFFFFFFFF);
    }
};

struct VhdDisk {
    using Format = Vhd;
    static constexpr const char* name = "vpc";
    static constexpr uint64_t front = data_at, gap = 4096, block = 2_MiB, run = block;
    static constexpr uint64_t blocks = disk_size / block;
    static constexpr uint64_t table_at = sizeof(vhd::Footer) + sizeof(vhd::DynamicHeader);

    static void write_tables(std::vector<byte>& file) {
        vhd::Footer footer =
            vhd::create_parts::footer({.size = disk_size, .unique_id = Guid::from_random({})});
        put(file, 0, footer);
        put(file, file.size() - sizeof(footer), footer);
        vhd::DynamicHeader header{};
        header.cookie = vhd::header_cookie;
        header.data_offset = vhd::no_offset;
        header.table_offset = table_at;
        header.header_version = vhd::version;
        header.max_table_entries = uint32_t{blocks};
        header.block_size = uint32_t{block};
        vhd::seal(header);
        put(file, sizeof(footer), header);
        for (size_t i = 0; i < blocks; ++i) {
            const uint64_t bitmap_at = homes<front, gap, block>()[i] - 512;
            put(file, table_at + i * 4, be32(static_cast<uint32_t>(bitmap_at >> 9)));
            std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(bitmap_at), 512, byte{0xFF});
        }
    }

    /// The least anybody can do: the table entry, and the bit of the first sector.
    static uint64_t home(const byte* file, uint64_t at) {
        const uint64_t bitmap_at = uint64_t{load_be32(file + table_at + at / block * 4)} << 9;
        const uint64_t skip = at % block;
        const auto bits = static_cast<unsigned>(file[bitmap_at + (skip >> 12)]);
        return (bits << (skip >> 9 & 7) & 0x80) != 0 ? bitmap_at + 512 + skip : 0;
    }
};

struct VhdxDisk {
    using Format = Vhdx;
    static constexpr const char* name = "vhdx";
    static constexpr uint64_t front = 4_MiB, gap = 0, block = 1_MiB, run = block;
    static constexpr uint64_t bat_at = 3_MiB;

    static void write_tables(std::vector<byte>& file) {
        GrowableMemory made;
        const vhdx::CreateOptions options{.size = disk_size, .block_bits = 20};
        const Status done = vhdx::create(made, options, SeededIds(1));
        if (!done || made.size() != front) throw std::runtime_error("cannot make a vhdx image");
        std::memcpy(file.data(), made.bytes().data(), front);
        for (size_t i = 0; i < disk_size / block; ++i) {
            const auto state = static_cast<uint64_t>(vhdx::State::fully_present);
            le64 entry{};
            entry = homes<front, gap, block>()[i] | state;
            put(file, bat_at + i * 8, entry);
        }
    }

    /// The least anybody can do: the table entry.
    static uint64_t home(const byte* file, uint64_t at) {
        const uint64_t entry = load_le64(file + bat_at + at / block * 8);
        return (entry & vhdx::entry::offset_mask) + at % block;
    }
};

/// The file, in memory and on a memory file system. There is only one of each: showing another
/// disk rewrites the tables, and the data where they stand elsewhere.
class Store {
public:
    template <class Disk>
    static const Store& show() {
        Store& store = only();
        if (store.shown_ == Disk::name) return store;
        store.shown_ = Disk::name;
        static_assert(VhdDisk::front + VhdDisk::blocks * (VhdDisk::block + VhdDisk::gap) +
                          sizeof(vhd::Footer) <=
                      VhdxDisk::front + disk_size);
        const uint64_t first = Disk::front + Disk::gap;
        const bool moves = std::exchange(store.first_, first) != first;
        std::fill_n(store.bytes_.begin(), Disk::front, byte{0});
        if (moves) store.put_data<Disk::block>(homes<Disk::front, Disk::gap, Disk::block>());
        Disk::write_tables(store.bytes_);
        std::fstream out(store.path_, std::ios::binary | std::ios::in | std::ios::out);
        out.write(reinterpret_cast<const char*>(store.bytes_.data()),
                  static_cast<std::streamsize>(moves ? store.bytes_.size() : Disk::front));
        if (!out.flush()) throw std::runtime_error("cannot write " + store.path_);
        return store;
    }

    [[nodiscard]] Bytes bytes() const { return bytes_; }
    [[nodiscard]] const char* path() const { return path_.c_str(); }

    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;
    ~Store() { std::filesystem::remove(path_); }

private:
    static Store& only() {
        static Store store;
        return store;
    }

    // Each word is its guest offset.
    template <uint64_t block>
    void put_data(const std::vector<uint64_t>& homes) {
        for (uint64_t at = 0; at < disk_size; at += 8) {
            put(bytes_, homes[at / block] + at % block, at);
        }
    }

    Store() : bytes_(VhdxDisk::front + disk_size) {
        namespace fs = std::filesystem;
        const char* folder = std::getenv("TMPDIR");
        if (folder == nullptr && fs::is_directory("/dev/shm")) folder = "/dev/shm";
        path_ = fs::path(folder != nullptr ? folder : "/tmp") /
                ("vdisk_bench." + std::to_string(::getpid()));
        put_data<cluster_size>(homes<>());
        std::ofstream out(path_, std::ios::binary);
        out.write(reinterpret_cast<const char*>(bytes_.data()),
                  static_cast<std::streamsize>(bytes_.size()));
        if (!out.flush()) throw std::runtime_error("cannot write " + path_);
    }

    std::vector<byte> bytes_;
    std::string path_;
    std::string_view shown_ = "nothing";
    uint64_t first_ = data_at;  ///< where the first block stands
};

}  // namespace bench
