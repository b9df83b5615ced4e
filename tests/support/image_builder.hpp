// SPDX-License-Identifier: BSL-1.0
// Images made byte by byte from a short description, without the library that reads them. What
// comes out passes `qemu-img check`; the tests then damage it where they please.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <vdisk/core/extent.hpp>

namespace vdisk::test {

using File = std::vector<byte>;

void set_be16(File& file, uint64_t at, uint64_t value);
void set_be32(File& file, uint64_t at, uint64_t value);
void set_be64(File& file, uint64_t at, uint64_t value);
uint64_t get_be64(const File& file, uint64_t at);
void put_text(File& file, uint64_t at, std::string_view text);

/// How the image describes a guest cluster. Clusters that are not listed are absent.
enum class Fill : uint8_t { data, packed, zero, zero_kept };

struct Cluster {
    uint64_t index = 0;
    Fill fill = Fill::data;
    uint32_t seed = 1;              ///< of the contents
    uint32_t stored = ~0u;          ///< extended L2, Fill::data: the subclusters that are stored,
    uint32_t zero_subclusters = 0;  ///< and those that read as zeros
};

/// What a reader has to see: the bytes (absent ones are 0), and what each sector is.
struct Guest {
    File bytes;
    std::vector<Kind> kinds;
};
inline constexpr size_t sector = 512;

Guest paint(uint64_t size, unsigned cluster_bits, const std::vector<Cluster>& clusters);

/// `child` where it says something, `parent` (zeros past its end) elsewhere.
File over(const Guest& child, const File& parent);

/// Clusters 0 to `count` - 1 at random: absent, or filled in one of the ways given.
std::vector<Cluster> mixture(uint64_t count, uint32_t seed, const std::vector<Fill>& ways);

struct SnapshotSpec {
    std::string id, name;
    std::vector<Cluster> clusters = {};
    uint64_t size = 0;  ///< 0: that of the image
    uint32_t extra = 24;
};

struct Extension {
    uint32_t type = 0;
    std::string data;
};

struct Qcow2Spec {
    uint64_t size = 0;
    unsigned cluster_bits = 16;
    uint32_t version = 3;
    bool extended_l2 = false;
    bool data_file = false;  ///< guest data goes into Qcow2::data_file
    Packing packing = Packing::deflate;
    std::vector<Cluster> clusters = {};
    uint32_t shuffle = 1;  ///< seed of the order of host clusters; 0: ascending
    std::string backing_file = {}, backing_format = {};
    std::vector<Extension> extensions = {};
    std::vector<SnapshotSpec> snapshots = {};
    uint64_t incompatible = 0, autoclear = 0;  ///< more bits to set
};

/// An image, and where its parts are.
struct Built {
    File file = {};
    Guest guest = {};
    uint64_t l1_at = 0, refcount_table_at = 0, snapshots_at = 0, extensions_at = 0;
    uint64_t data_end = 0;                       ///< what lies behind is neither guest data nor L2
    std::map<uint64_t, uint64_t> entry_at = {};  ///< guest cluster -> where its L2 entry stands
    std::vector<Guest> snapshots = {};
    File data_file = {};
};

Built build(const Qcow2Spec& spec);

struct QcowSpec {
    uint64_t size = 0;
    unsigned cluster_bits = 12;
    unsigned l2_bits = 9;
    std::vector<Cluster> clusters = {};  ///< Fill::data and Fill::packed
    uint32_t shuffle = 1;
    std::string backing_file = {};
};

Built build(const QcowSpec& spec);

/// One block as a raw deflate stream (window of 4 KiB), or as a zstd frame.
File pack(const File& block, Packing packing);

/// The contents of a cluster: noise, or something that can be packed.
File contents(const Cluster& cluster, uint64_t size);

}  // namespace vdisk::test
