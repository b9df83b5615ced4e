// SPDX-License-Identifier: BSL-1.0
// Every request for memory, and every call of a storage, fails once.
#pragma once

#include <iostream>

#include <vdisk/allocation/failing.hpp>
#include <vdisk/allocation/heap.hpp>
#include <vdisk/storage/faulty.hpp>

#include "catch.hpp"
#include "support/share.hpp"

namespace vdisk::test {

using Failing = FailingAllocation<Heap>;

/// How many faults a suite had injected; tests/faults.sh adds the lines up. `what` is the kind of
/// fault, memory or I/O, and who had to bear it.
inline void tell_faults(std::string_view what, uint64_t count) {
    std::cout << "faults " << what << ": " << count << '\n' << std::flush;
}

/// What a write that fails leaves, the n-th call of work number `seed`: each in its turn.
inline Remains remains_of(uint64_t seed, uint64_t n) {
    return (seed + n / share()) % 2 == 0 ? Remains::torn : Remains::nothing;
}

/// Whether memory is needed, or only helps: VHDX finds free space without its map of the file.
enum class Need : uint8_t { all, most };

/// Calls `attempt(memory)`, which gives a Status, with request n refused, n = 1, 2, ... (or a share
/// of these) until one is not reached. Each time it has to say that memory is short, and to give
/// back what it had; `then(done)` looks at what is left. The number of refusals.
template <class Attempt, class Then>
uint64_t refuse_each(const Attempt& attempt, const Then& then, Need need = Need::all) {
    uint64_t refusals = 0;
    for (uint64_t n = 1 + first_of_share();; n += share()) {
        CAPTURE(n);
        REQUIRE(n < 1000);
        Refusal refusal{.countdown = n};
        const Status done = attempt(Failing(refusal));
        REQUIRE(refusal.live == 0);
        if (!refusal.fired) return refusals;
        INFO(done.error().what);
        if (need == Need::all || !done) REQUIRE(done.error().code == Errc::no_memory);
        then(done);
        ++refusals;
    }
}

}  // namespace vdisk::test
