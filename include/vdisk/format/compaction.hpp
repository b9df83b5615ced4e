// SPDX-License-Identifier: BSL-1.0
// Making a file as short as it can be, for all formats with blocks.
#pragma once

#include <cstring>

#include <vdisk/core/result.hpp>

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

/// For those who do not want to know.
struct NoProgress {
    Status operator()(uint64_t) const { return {}; }
};

}  // namespace vdisk
