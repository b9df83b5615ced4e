// SPDX-License-Identifier: BSL-1.0
#include "support/subjects.hpp"

#include "support/bytes.hpp"
#include "support/vhd_builder.hpp"

namespace vdisk::test {

namespace {

using enum Fill;

Built raw(uint64_t size) {
    const File bytes = noise(size, 3);
    return {.file = bytes,
            .guest = {bytes, std::vector<Kind>(size / sector, Kind::data)},
            .data_end = size};
}

// Clusters with a few subclusters of each kind, and whole ones.
std::vector<Cluster> with_subclusters(std::vector<Cluster> clusters) {
    uint32_t bits = 0x00FF0F35;
    for (Cluster& c : clusters) {
        bits = bits * 1664525 + 1013904223;
        if (c.fill != data || c.seed % 4 == 0) continue;
        c.stored = bits & 0xFFFF00FF;
        c.zero_subclusters = ~c.stored & (bits >> 7);
    }
    return clusters;
}

Built qcow2(uint64_t count, unsigned cluster_bits, const std::vector<Fill>& ways,
            Qcow2Spec spec = {}) {
    spec.cluster_bits = cluster_bits;
    spec.size = (count << cluster_bits) - 5 * sector;  // ends inside a cluster
    if (cluster_bits == 9) spec.size += 5 * sector;
    spec.clusters = mixture(count, cluster_bits + static_cast<uint32_t>(ways.size()), ways);
    if (spec.extended_l2) spec.clusters = with_subclusters(std::move(spec.clusters));
    return build(spec);
}

Built qcow(uint64_t count, unsigned cluster_bits, unsigned l2_bits, const std::vector<Fill>& ways) {
    return build(QcowSpec{.size = (count << cluster_bits) - sector,
                          .cluster_bits = cluster_bits,
                          .l2_bits = l2_bits,
                          .clusters = mixture(count, cluster_bits, ways)});
}

Built fixed_vhd(bool short_footer) {
    return build(VhdSpec{.type = 2, .size = 300 * sector, .short_footer = short_footer});
}

// Ends inside a block; bitmaps with bits that are set and bits that are clear.
Built vhd(uint64_t count, unsigned block_bits, VhdSpec spec = {}) {
    spec.block_bits = block_bits;
    spec.size = (count << block_bits) - (block_bits == 9 ? 0 : 3 * sector);
    spec.blocks = vhd_mixture(count, block_bits + spec.type);
    return build(spec);
}

}  // namespace

const std::vector<Subject>& subjects() {
    const Qcow2Spec v2 = {.version = 2}, extended = {.extended_l2 = true};
    const VhdSpec child = {.type = 4, .gap_at_front = 3, .gap_at_table = 1, .more_entries = 9};
    static const std::vector<Subject> all = {
        {"raw", "raw", raw(300 * sector)},
        {"qcow", "qcow", qcow(90, 12, 6, {data})},
        {"qcow, compressed", "qcow", qcow(90, 10, 6, {data, packed}), true},
        {"qcow2, 64 KiB", "qcow2", qcow2(16, 16, {data, zero, zero_kept})},
        {"qcow2, 512 bytes", "qcow2", qcow2(300, 9, {data, zero, zero_kept})},
        {"qcow2, version 2", "qcow2", qcow2(60, 12, {data}, v2)},
        {"qcow2, extended L2", "qcow2", qcow2(24, 14, {data, zero, zero_kept}, extended)},
        {"vhd, fixed", "vhd", fixed_vhd(false)},
        {"vhd, fixed, footer of 511 bytes", "vhd", fixed_vhd(true)},
        {"vhd, 512 bytes", "vhd", vhd(300, 9, {.table_first = true})},
        {"vhd, 16 KiB", "vhd", vhd(40, 14)},
        {"vhd, 2 MiB", "vhd", vhd(3, 21)},
        {"vhd, 4 MiB, two sectors of bitmap", "vhd", vhd(1, 22)},
        {"vhd, differencing, 4 KiB", "vhd", vhd(120, 12, child)},
        {"vhd, differencing, 512 KiB", "vhd", vhd(5, 19, child)},
        {"qcow2, compressed", "qcow2", qcow2(64, 12, {data, zero, packed}), true},
        {"qcow2, compressed, extended L2", "qcow2", qcow2(12, 16, {data, packed}, extended), true},
    };
    return all;
}

}  // namespace vdisk::test
