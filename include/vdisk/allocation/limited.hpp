// SPDX-License-Identifier: BSL-1.0
// A ceiling on another source of memory, and a record of the most that was in use.
#pragma once

#include <utility>

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/core/math.hpp>

namespace vdisk {

/// What may be used, is used and was used at most, in bytes.
struct Budget {
    size_t ceiling = 0;
    size_t used = 0;
    size_t peak = 0;
};

/// An A that fails with Errc::no_memory beyond `budget`, which outlives it; copies share it. One
/// thread at a time.
template <Allocation A>
class Limited {
public:
    explicit Limited(Budget& budget, A allocation = A{})
        : budget_(&budget), allocation_(std::move(allocation)) {}

    Result<MutBytes> allocate(size_t bytes, size_t align) {
        if (!fits(budget_->used, bytes, budget_->ceiling)) {
            return fail(Errc::no_memory, "allocation: beyond the ceiling", {.value = bytes});
        }
        auto block = allocation_.allocate(bytes, align);
        if (!block) return block;
        budget_->used += block->size();
        if (budget_->peak < budget_->used) budget_->peak = budget_->used;
        return block;
    }

    void deallocate(MutBytes old) {
        budget_->used -= old.size();
        allocation_.deallocate(old);
    }

private:
    Budget* budget_;
    [[no_unique_address]] A allocation_;
};

}  // namespace vdisk
