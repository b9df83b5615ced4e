// SPDX-License-Identifier: BSL-1.0
// Refuses the n-th request: run a test for n = 1, 2, ... until `fired` stays false, and every way
// to run out of memory has been walked.
#pragma once

#include <utility>

#include <vdisk/allocation/concepts.hpp>

namespace vdisk {

/// When to refuse, and how many blocks are out. Requests of all copies count together.
struct Refusal {
    uint64_t countdown = 0;  ///< the request that fails, 1 is the next; 0: none
    bool fired = false;
    uint64_t live = 0;  ///< blocks handed out and not yet given back: 0 if nothing leaks
};

/// An A that fails with Errc::no_memory as `refusal`, which outlives it, says; copies share it.
/// Requests after the failing one are granted again. One thread at a time.
template <Allocation A>
class FailingAllocation {
public:
    explicit FailingAllocation(Refusal& refusal, A allocation = A{})
        : refusal_(&refusal), allocation_(std::move(allocation)) {}

    Result<MutBytes> allocate(size_t bytes, size_t align) {
        if (refusal_->countdown != 0 && --refusal_->countdown == 0) {
            refusal_->fired = true;
            return fail(Errc::no_memory, "allocation: this one was meant to fail",
                        {.value = bytes});
        }
        auto block = allocation_.allocate(bytes, align);
        if (block && !block->empty()) ++refusal_->live;
        return block;
    }

    void deallocate(MutBytes old) {
        if (!old.empty()) --refusal_->live;
        allocation_.deallocate(old);
    }

private:
    Refusal* refusal_;
    [[no_unique_address]] A allocation_;
};

}  // namespace vdisk
