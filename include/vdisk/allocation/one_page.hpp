// SPDX-License-Identifier: BSL-1.0
// A sector of memory for tables, and nothing else: the smallest a reader gets by with where its
// medium cannot lend bytes.
#pragma once

#include <vdisk/allocation/none.hpp>

namespace vdisk {

/// 512 bytes of the caller, one for each image: `Metadata<S, OnePage>` keeps a sector of the tables
/// there. Whatever else is asked for is refused, as by NoAllocation.
struct OnePage : NoAllocation {
    static constexpr unsigned page_bits = 9;
    static constexpr size_t page_size = size_t{1} << page_bits;

    explicit constexpr OnePage(std::span<byte, page_size> memory) : page(memory.data()) {}

    byte* page;
};

static_assert(Allocation<OnePage>);

}  // namespace vdisk
