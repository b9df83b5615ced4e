// SPDX-License-Identifier: BSL-1.0
// The 16 bytes by which images know each other.
#pragma once

#include <array>
#include <cstring>

#include <vdisk/core/types.hpp>

namespace vdisk {

/// Sixteen bytes in the order of the file. Only equality means anything: writers do not agree on
/// the order of a GUID's parts, so they are never swapped.
struct Guid {
    std::array<byte, 16> bytes{};

    /// Nil stands for "there is none".
    [[nodiscard]] constexpr bool is_nil() const { return *this == Guid{}; }
    friend constexpr bool operator==(const Guid&, const Guid&) = default;

    /// A version 4 id made of 16 random bytes, in the order of RFC 4122.
    [[nodiscard]] static constexpr Guid from_random(std::array<byte, 16> random) {
        random[6] = (random[6] & byte{0x0F}) | byte{0x40};
        random[8] = (random[8] & byte{0x3F}) | byte{0x80};
        return {random};
    }
};

static_assert(sizeof(Guid) == 16 && alignof(Guid) == 1);

}  // namespace vdisk
