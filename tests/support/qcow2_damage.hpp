// SPDX-License-Identifier: BSL-1.0
// Damage of every kind that repair undoes.
#pragma once

#include "support/image_builder.hpp"

namespace vdisk::test {

/// Where the refcount of a cluster stands; refcounts of the builder's images have 16 bits, and
/// there is one block per table entry.
inline uint64_t refcount_at(const Built& image, uint64_t cluster, unsigned bits) {
    const uint64_t per_block = (uint64_t{1} << bits) / 2;
    const uint64_t block = get_be64(image.file, image.refcount_table_at + cluster / per_block * 8);
    return block + cluster % per_block * 2;
}

struct Qcow2Damage {
    const char* name;
    void (*inflict)(File&, const Built&);
    bool loses_data;
};

inline const Qcow2Damage qcow2_damages[] = {
    {"refcount too low", [](File& f, const Built& b) { set_be16(f, refcount_at(b, 5, 9), 0); },
     false},
    {"refcount too high", [](File& f, const Built& b) { set_be16(f, refcount_at(b, 5, 9), 9); },
     false},
    {"copied flag of L1",
     [](File& f, const Built& b) {
         set_be64(f, b.l1_at, get_be64(f, b.l1_at) ^ uint64_t{1} << 63);
     },
     false},
    {"refcount block nowhere",
     [](File& f, const Built& b) { set_be64(f, b.refcount_table_at, uint64_t{1} << 40); }, false},
    {"refcount block unaligned",
     [](File& f, const Built& b) {
         set_be64(f, b.refcount_table_at, get_be64(f, b.refcount_table_at) + 8);
     },
     false},
    {"refcount block twice",
     [](File& f, const Built& b) {
         set_be64(f, b.refcount_table_at + 8, get_be64(f, b.refcount_table_at));
     },
     false},
    {"refcount table gone", [](File& f, const Built&) { set_be64(f, 48, uint64_t{1} << 40); },
     false},
    {"no refcount table", [](File& f, const Built&) { set_be32(f, 56, 0); }, false},
    {"dirty", [](File& f, const Built&) { f[79] = byte{1}; }, false},
    {"corrupt", [](File& f, const Built&) { f[79] = byte{2}; }, false},
    {"L1 entry with reserved bits",
     [](File& f, const Built& b) { set_be64(f, b.l1_at, get_be64(f, b.l1_at) | 2); }, false},
    {"L1 entry past the end",
     [](File& f, const Built& b) { set_be64(f, b.l1_at, uint64_t{1} << 40); }, true},
    {"L1 entry into the header", [](File& f, const Built& b) { set_be64(f, b.l1_at, b.l1_at); },
     true},
    {"L2 entry past the end",
     [](File& f, const Built& b) { set_be64(f, b.entry_at.begin()->second, uint64_t{1} << 40); },
     true},
    {"L2 entry into the L1 table",
     [](File& f, const Built& b) { set_be64(f, b.entry_at.begin()->second, b.l1_at); }, true},
    {"L2 entry unaligned",
     [](File& f, const Built& b) {
         set_be64(f, b.entry_at.begin()->second, b.file.size() / 1024 * 512 + 512 / 2);
     },
     true},
    {"snapshot without L1", [](File& f, const Built& b) { set_be64(f, b.snapshots_at, 77); }, true},
};

}  // namespace vdisk::test
