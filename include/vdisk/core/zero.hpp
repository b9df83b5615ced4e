// SPDX-License-Identifier: BSL-1.0
// Finding zeros in memory, fast: converters look at every byte they move.
#pragma once

#include <cstring>

#include <vdisk/core/types.hpp>

namespace vdisk {

/// True if every byte is 0.
[[nodiscard]] inline bool is_zero(Bytes bytes) {
    constexpr size_t step = 8 * sizeof(uint64_t);
    const byte* p = bytes.data();
    size_t rest = bytes.size();
    for (; rest >= step; p += step, rest -= step) {
        uint64_t words[8];
        std::memcpy(words, p, step);
        uint64_t any = 0;
        for (const uint64_t word : words) any |= word;
        if (any != 0) return false;
    }
    for (; rest > 0; ++p, --rest) {
        if (*p != byte{0}) return false;
    }
    return true;
}

}  // namespace vdisk
