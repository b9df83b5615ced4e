// SPDX-License-Identifier: BSL-1.0
// How much of what is tried everywhere is tried in this run.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace vdisk::test {

/// Every how-many-th case is tried: all are, but in runs that are slow and look for something else
/// (sanitizers, coverage), which set VDISK_SHARE.
inline uint64_t share() {
    static const uint64_t every = [] {
        const char* const wanted = std::getenv("VDISK_SHARE");
        return wanted ? std::max<uint64_t>(std::strtoull(wanted, nullptr, 10), 1) : 1;
    }();
    return every;
}

/// The first case to be tried, from 0; another one each time, so that together they are all.
inline uint64_t first_of_share() {
    static uint64_t turn = 0;
    return turn++ % share();
}

}  // namespace vdisk::test
