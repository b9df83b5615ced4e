// SPDX-License-Identifier: BSL-1.0
// Where new ids come from: a policy, since firmware has its own source of chance, or none.
#pragma once

#include <concepts>

#include <vdisk/core/guid.hpp>

namespace vdisk {

/// Gives ids that nobody has yet. Kept by value.
template <class I>
concept IdSource = std::movable<I> && requires(I& ids) {
    { ids() } -> std::same_as<Guid>;
};

/// Ids that follow from a number: no two of one source are alike, and each run makes the same. For
/// output that can be reproduced, and for tests.
class SeededIds {
public:
    constexpr explicit SeededIds(uint64_t seed) : state_(seed) {}

    constexpr Guid operator()() {
        std::array<byte, 16> bytes{};
        for (size_t half = 0; half < 2; ++half) {
            uint64_t x = state_ += 0x9E3779B97F4A7C15;
            x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
            x = (x ^ x >> 27) * 0x94D049BB133111EB;
            x ^= x >> 31;
            for (size_t i = 0; i < 8; ++i, x >>= 8)
                bytes[half * 8 + i] = static_cast<byte>(x & 0xFF);
        }
        return Guid::from_random(bytes);
    }

private:
    uint64_t state_;
};

}  // namespace vdisk
