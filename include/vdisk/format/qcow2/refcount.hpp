// SPDX-License-Identifier: BSL-1.0
// How a refcount stands in its block (specification: "Host cluster management").
#pragma once

#include <vdisk/core/endian.hpp>
#include <vdisk/core/types.hpp>

namespace vdisk::qcow2 {

/// The largest refcount that 2^order bits can hold.
[[nodiscard]] constexpr uint64_t max_refcount(unsigned order) {
    return order == 6 ? ~uint64_t{0} : (uint64_t{1} << (1u << order)) - 1;
}

/// log2 of the refcounts in a block.
[[nodiscard]] constexpr unsigned refcount_block_bits(unsigned cluster_bits, unsigned order) {
    return cluster_bits + 3 - order;
}

/// Refcount number `index` of those that begin at `block`. Those of less than a byte fill it from
/// its least significant bits on; the others are big-endian.
[[nodiscard]] inline uint64_t load_refcount(const byte* block, uint64_t index, unsigned order) {
    if (order < 3) {
        const uint64_t bit = index << order;
        return static_cast<uint64_t>(block[bit >> 3]) >> (bit & 7) & max_refcount(order);
    }
    const size_t width = size_t{1} << (order - 3);
    uint64_t value = 0;
    for (size_t i = 0; i < width; ++i) {
        value = value << 8 | static_cast<uint64_t>(block[index * width + i]);
    }
    return value;
}

/// Changes refcount number `index`; `value` must not be larger than max_refcount(order).
inline void store_refcount(byte* block, uint64_t index, unsigned order, uint64_t value) {
    if (order < 3) {
        const uint64_t bit = index << order;
        const auto mask = static_cast<unsigned>(max_refcount(order)) << (bit & 7);
        const auto kept = static_cast<unsigned>(block[bit >> 3]) & ~mask;
        block[bit >> 3] = static_cast<byte>(kept | static_cast<unsigned>(value) << (bit & 7));
        return;
    }
    const size_t width = size_t{1} << (order - 3);
    for (size_t i = width; i > 0; --i, value >>= 8) {
        block[index * width + i - 1] = static_cast<byte>(value & 0xFF);
    }
}

}  // namespace vdisk::qcow2
