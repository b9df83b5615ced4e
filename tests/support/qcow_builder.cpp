// SPDX-License-Identifier: BSL-1.0
// Layout: header, backing name, L1, then L2 tables and clusters in random order, streams byte by
// byte at the end.
#include <algorithm>
#include <random>

#include "support/image_builder.hpp"

namespace vdisk::test {

Built build(const QcowSpec& spec) {
    Built out;
    File& file = out.file;
    const uint64_t cluster_size = uint64_t{1} << spec.cluster_bits;
    const uint64_t l2_entries = uint64_t{1} << spec.l2_bits;
    const uint64_t stretch = cluster_size * l2_entries;
    const uint64_t l1_entries = (spec.size + stretch - 1) / stretch;
    const auto align = [&] { file.resize((file.size() + cluster_size - 1) & ~(cluster_size - 1)); };

    file.resize(48);
    set_be32(file, 0, 0x514649FB);
    set_be32(file, 4, 1);
    set_be64(file, 24, spec.size);
    file[32] = static_cast<byte>(spec.cluster_bits);
    file[33] = static_cast<byte>(spec.l2_bits);
    if (!spec.backing_file.empty()) {
        set_be64(file, 8, 48);
        set_be32(file, 16, spec.backing_file.size());
        for (const char c : spec.backing_file) file.push_back(static_cast<byte>(c));
        file.resize((file.size() + 7) & ~size_t{7});
    }
    out.l1_at = file.size();
    set_be64(file, 40, out.l1_at);
    file.resize(file.size() + l1_entries * 8);

    // First a list of what needs a place, in random order; then the places.
    constexpr size_t is_table = ~size_t{0};
    std::vector<std::pair<size_t, uint64_t>> wanted;  // (cluster, -) or (is_table, L1 index)
    std::map<uint64_t, uint64_t> tables;
    for (size_t i = 0; i != spec.clusters.size(); ++i) {
        if (tables.emplace(spec.clusters[i].index / l2_entries, 0).second) {
            wanted.emplace_back(is_table, spec.clusters[i].index / l2_entries);
        }
        if (spec.clusters[i].fill == Fill::data) wanted.emplace_back(i, 0);
    }
    std::mt19937 random(spec.shuffle);
    if (spec.shuffle != 0) std::shuffle(wanted.begin(), wanted.end(), random);
    std::vector<uint64_t> homes(spec.clusters.size());
    for (const auto& [cluster, l1_index] : wanted) {
        align();
        const uint64_t at = file.size();
        if (cluster == is_table) {
            tables[l1_index] = at;
            set_be64(file, out.l1_at + l1_index * 8, at);
            file.resize(at + l2_entries * 8);
            continue;
        }
        homes[cluster] = at;
        const File bytes = contents(spec.clusters[cluster], cluster_size);
        file.insert(file.end(), bytes.begin(), bytes.end());
    }
    align();
    out.data_end = file.size();
    for (size_t i = 0; i != spec.clusters.size(); ++i) {
        const Cluster& c = spec.clusters[i];
        if (c.fill == Fill::packed) {
            const File stream = pack(contents(c, cluster_size), Packing::deflate);
            homes[i] = uint64_t{1} << 63 | uint64_t{stream.size()} << (63 - spec.cluster_bits) |
                       file.size();
            file.insert(file.end(), stream.begin(), stream.end());
        }
        out.entry_at[c.index] = tables[c.index / l2_entries] + c.index % l2_entries * 8;
        set_be64(file, out.entry_at[c.index], homes[i]);
    }
    out.guest = paint(spec.size, spec.cluster_bits, spec.clusters);
    return out;
}

}  // namespace vdisk::test
