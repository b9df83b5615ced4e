// SPDX-License-Identifier: BSL-1.0
// No memory at all: for readers that must not need any.
#pragma once

#include <vdisk/allocation/concepts.hpp>

namespace vdisk {

struct NoAllocation {
    Result<MutBytes> allocate(size_t bytes, size_t /*align*/) {
        return fail(Errc::no_memory, "allocation: this build has no memory to give",
                    {.value = bytes});
    }
    void deallocate(MutBytes /*old*/) {}
};

static_assert(Allocation<NoAllocation>);

}  // namespace vdisk
