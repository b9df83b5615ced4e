// SPDX-License-Identifier: BSL-1.0
// Memory from one buffer of the caller: for firmware, and for proving what a reader needs.
#pragma once

#include <cstdint>

#include <vdisk/allocation/concepts.hpp>

namespace vdisk {

/// The buffer and how much of it is taken. Name `bytes`, the rest belongs to Arena: it must stay
/// where it is as long as any Arena uses it.
struct ArenaMemory {
    MutBytes bytes;
    size_t used = 0;  ///< bytes from the start, padding included
    size_t live = 0;  ///< blocks handed out and not yet given back
    size_t peak = 0;  ///< the largest `used` so far: what the buffer has to be
};

/// Hands out blocks one after the other. Giving back the last one frees it; any other is freed
/// when no block is left. Copies share the buffer. One thread at a time.
class Arena {
public:
    constexpr explicit Arena(ArenaMemory& memory) : memory_(&memory) {}

    /// `align` is a power of two.
    Result<MutBytes> allocate(size_t bytes, size_t align) {
        if (bytes == 0) return MutBytes{};
        const MutBytes free = memory_->bytes.subspan(memory_->used);
        const size_t over = reinterpret_cast<uintptr_t>(free.data()) & (align - 1);
        const size_t padding = (align - over) & (align - 1);
        if (padding > free.size() || bytes > free.size() - padding) {
            return fail(Errc::no_memory, "arena: the buffer is too small", {.value = bytes});
        }
        memory_->used += padding + bytes;
        memory_->live += 1;
        if (memory_->peak < memory_->used) memory_->peak = memory_->used;
        return free.subspan(padding, bytes);
    }

    void deallocate(MutBytes old) {
        if (old.empty()) return;
        const byte* start = memory_->bytes.data();
        memory_->live -= 1;
        if (memory_->live == 0) {
            memory_->used = 0;
        } else if (old.data() + old.size() == start + memory_->used) {
            memory_->used = static_cast<size_t>(old.data() - start);
        }
    }

private:
    ArenaMemory* memory_;
};

static_assert(Allocation<Arena>);

}  // namespace vdisk
