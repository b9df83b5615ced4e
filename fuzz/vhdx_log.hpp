// SPDX-License-Identifier: BSL-1.0
// A file after its log was replayed, beside what was read without.
#pragma once

#include <vdisk/storage/borrowed.hpp>

#include "vhdx.hpp"

namespace fuzz {

inline void compare(Sheet& file, const vhdx::Overlaid<MemoryStorage>& seen, uint64_t at) {
    if (at < vhdx::region_table_places[0] || at >= file.size()) return;  // the headers are new
    std::array<byte, Sheet::page> left{}, right{};
    const size_t length = std::min<uint64_t>(left.size(), file.size() - at);
    require(file.read(at, MutBytes(left).first(length)) &&
                seen.read(at, MutBytes(right).first(length)) && left == right,
            "the replay writes other bytes than are read");
}

}  // namespace fuzz
