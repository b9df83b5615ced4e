// SPDX-License-Identifier: BSL-1.0
// Version 1 of qcow has no refcounts, and no check: this is one.
#pragma once

#include <algorithm>
#include <vector>

#include <vdisk/format/qcow/layout.hpp>
#include <vdisk/storage/load.hpp>

#include "require.hpp"

namespace fuzz {

/// Bytes of the file that something uses. Packed clusters may lie in each other: they are only
/// read.
struct Used {
    uint64_t at, end;
    bool is_packed;
};

inline bool are_apart(std::vector<Used>& used) {
    std::ranges::sort(used, {}, &Used::at);
    uint64_t end = 0, packed_end = 0;
    for (const Used& u : used) {
        if (u.at < end || (u.at < packed_end && !u.is_packed)) return false;
        uint64_t& last = u.is_packed ? packed_end : end;
        last = std::max(last, u.end);
    }
    return true;
}

inline Used used_by(const qcow::Layout& layout, uint64_t entry) {
    if ((entry & qcow::entry::compressed) == 0)
        return {entry, entry + layout.cluster_size(), false};
    const unsigned offset_bits = 63u - layout.cluster_bits;
    const uint64_t at = entry & (power_of_two(offset_bits) - 1);
    return {at, at + ((entry & ~qcow::entry::compressed) >> offset_bits), true};
}

/// Whether every table and every cluster is in the file, of which the last cluster may be cut
/// short, and has its place to itself.
template <Storage S>
bool is_sound_qcow(const S& file) {
    if (file.size() < sizeof(qcow::Header)) return false;
    const auto layout = qcow::check(*load<qcow::Header>(file, 0), file.size());
    if (!layout || layout->crypt_method != 0) return false;
    const uint64_t end = blocks(file.size(), layout->cluster_bits) << layout->cluster_bits;
    const uint64_t l1_end = layout->l1_at + layout->l1_entries * 8;
    std::vector<Used> used = {{0, sizeof(qcow::Header), false}, {layout->l1_at, l1_end, false}};
    uint64_t room = file.size();  // of tables that have their places to themselves
    for (uint64_t at = layout->l1_at; at < l1_end; at += 8) {
        const uint64_t table = load<be64>(file, at)->value(), length = layout->l2_bytes();
        if (table == 0) continue;
        if (!fits(table, length, file.size()) || length > room) return false;
        room -= length;
        used.push_back({table, table + length, false});
        for (uint64_t i = 0; i < length; i += 8) {
            const uint64_t entry = load<be64>(file, table + i)->value();
            if (entry == 0) continue;
            used.push_back(used_by(*layout, entry));
            if (used.back().end > end) return false;
        }
    }
    return are_apart(used);
}

}  // namespace fuzz
