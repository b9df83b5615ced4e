// SPDX-License-Identifier: BSL-1.0
// Making a file as short as it can be, for all formats with blocks.
#pragma once

#include <cstring>

#include <vdisk/core/zero.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk {

struct Compacted {
    uint64_t dropped = 0;  ///< blocks that said nothing
    uint64_t moved = 0;
};

enum class Compaction : uint8_t {
    move_only,  ///< blocks move into holes, none goes
    drop,       ///< blocks that read as what is below go as well
};

/// What is below a base image.
struct NothingBelow {
    Status operator()(uint64_t, MutBytes out) const {
        std::memset(out.data(), 0, out.size());
        return {};
    }
};

/// Whether `length` bytes of the file at `at` are what is below the guest's `guest`; without a
/// parent, whether they are zeros. Half of `buffer` at a time.
template <Storage S, class Below>
Result<bool> is_as_below(const S& storage, uint64_t at, uint64_t guest, uint64_t length,
                         bool has_parent, Below& below, MutBytes buffer) {
    const size_t half = buffer.size() / 2;
    while (length > 0) {
        const size_t n = length < half ? static_cast<size_t>(length) : half;
        const MutBytes mine = buffer.first(n), theirs = buffer.subspan(half, n);
        if (Status got = storage.read(at, mine); !got) return got.error();
        if (has_parent) {
            if (Status got = below(guest, theirs); !got) return got.error();
            if (std::memcmp(mine.data(), theirs.data(), n) != 0) return false;
        } else if (!is_zero(mine)) {
            return false;
        }
        at += n;
        guest += n;
        length -= n;
    }
    return true;
}

/// For those who do not want to know.
struct NoProgress {
    Status operator()(uint64_t) const { return {}; }
};

}  // namespace vdisk
