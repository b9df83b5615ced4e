// SPDX-License-Identifier: BSL-1.0
// Writable memory that does not lend its bytes, so that tables go through the cache.
#pragma once

#include <vdisk/storage/growable.hpp>

namespace vdisk::test {

/// Copies share the memory, which outlives them.
class PagedGrowable {
public:
    explicit PagedGrowable(GrowableMemory& memory) : memory_(&memory) {}
    [[nodiscard]] uint64_t size() const { return memory_->size(); }
    Status read(uint64_t at, MutBytes out) const { return memory_->read(at, out); }
    Status write(uint64_t at, Bytes in) { return memory_->write(at, in); }
    Status resize(uint64_t size) { return memory_->resize(size); }
    Status flush() { return memory_->flush(); }

private:
    GrowableMemory* memory_;
};
static_assert(WritableStorage<PagedGrowable> && !ViewableStorage<PagedGrowable>);

}  // namespace vdisk::test
