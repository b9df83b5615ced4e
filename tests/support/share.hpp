// SPDX-License-Identifier: BSL-1.0
// How much of what is tried everywhere is tried in this run.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace vdisk::test {

/// Every how-many-th case is tried: all are, but in runs that are slow and look for something else
/// (sanitizers, coverage), which set VDISK_SHARE. Work whose every call is tried is of a share of
/// the seeds, so that such a run has less than a share of a share: what tests then count.
inline uint64_t share() {
    static const uint64_t every = [] {
        const char* const wanted = std::getenv("VDISK_SHARE");
        return wanted ? std::max<uint64_t>(std::strtoull(wanted, nullptr, 10), 1) : 1;
    }();
    return every;
}

/// How many of `count` random cases are tried: the first, one at least.
inline uint64_t of_share(uint64_t count) { return (count + share() - 1) / share(); }

/// The first case to be tried, from 0; not the same each time, nor in step with the turns, so that
/// many turns together try all.
inline uint64_t first_of_share() {
    static uint64_t turn = 0;
    return (++turn * 0x9E3779B97F4A7C15 >> 40) % share();
}

}  // namespace vdisk::test
