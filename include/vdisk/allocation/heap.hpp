// SPDX-License-Identifier: BSL-1.0
// Memory from the global heap, without exceptions.
#pragma once

#include <algorithm>
#include <bit>
#include <new>

#include <vdisk/allocation/concepts.hpp>

namespace vdisk {

/// Blocks are aligned to their size rounded down to a power of two, up to 4 KiB; a block that is
/// smaller than the alignment asked for becomes that large. Safe for any number of threads.
struct Heap {
    static constexpr size_t largest_alignment = 4096;

    Result<MutBytes> allocate(size_t bytes, size_t align) {
        if (bytes == 0) return MutBytes{};
        if (align > largest_alignment) return fail(Errc::no_memory, "heap: alignment beyond 4 KiB");
        bytes = std::max(bytes, align);
        void* block = ::operator new(bytes, alignment(bytes), std::nothrow);
        if (block == nullptr) return fail(Errc::no_memory, "heap: nothing left", {.value = bytes});
        return MutBytes(static_cast<byte*>(block), bytes);
    }

    void deallocate(MutBytes old) {
        if (!old.empty()) ::operator delete(old.data(), alignment(old.size()));
    }

private:
    // A function of the size alone, since `operator delete` has to name the alignment again.
    static constexpr std::align_val_t alignment(size_t bytes) {
        constexpr size_t least = alignof(std::max_align_t);
        return std::align_val_t{std::clamp(std::bit_floor(bytes), least, largest_alignment)};
    }
};

static_assert(Allocation<Heap>);

}  // namespace vdisk
