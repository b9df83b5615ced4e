// SPDX-License-Identifier: BSL-1.0
// Sorted numbers, in place and without the heap: bare metal has no <algorithm>.
#pragma once

#include <span>

#include <vdisk/core/types.hpp>

namespace vdisk {

/// Sorts upwards; n log n steps, whatever comes.
constexpr void sort(std::span<uint64_t> values) {
    const auto sink = [&](size_t i, size_t end) {
        while (2 * i + 1 < end) {
            size_t child = 2 * i + 1;
            if (child + 1 < end && values[child] < values[child + 1]) ++child;
            if (values[child] <= values[i]) return;
            const uint64_t kept = values[i];
            values[i] = values[child];
            values[child] = kept;
            i = child;
        }
    };
    for (size_t i = values.size() / 2; i > 0; --i) sink(i - 1, values.size());
    for (size_t end = values.size(); end > 1; --end) {
        const uint64_t largest = values[0];
        values[0] = values[end - 1];
        values[end - 1] = largest;
        sink(0, end - 1);
    }
}

/// How many of sorted `values` are less than `value`.
[[nodiscard]] constexpr size_t count_less(std::span<const uint64_t> values, uint64_t value) {
    size_t first = 0, end = values.size();
    while (first < end) {
        const size_t middle = first + (end - first) / 2;
        if (values[middle] < value) first = middle + 1;
        else end = middle;
    }
    return first;
}

}  // namespace vdisk
