// SPDX-License-Identifier: BSL-1.0
// The end of an input says, step by step, what is done to the image before it.
#pragma once

#include <optional>

#include <vdisk/core/endian.hpp>

#include "require.hpp"

namespace fuzz {

struct Step {
    uint8_t what;
    uint8_t at[4];
    uint8_t length;

    [[nodiscard]] uint64_t seed() const { return load_le32(reinterpret_cast<const byte*>(at)); }
};
static_assert(sizeof(Step) == 6 && alignof(Step) == 1);

struct Program {
    Bytes image;
    std::span<const Step> steps;
};

/// An input whose end are so many steps; none if it is shorter.
inline std::optional<Program> program_of(Bytes input, size_t steps) {
    const size_t length = steps * sizeof(Step);
    if (input.size() < length) return std::nullopt;
    const byte* const end = input.last(length).data();
    return Program{input.first(input.size() - length),
                   std::span(reinterpret_cast<const Step*>(end), steps)};
}

}  // namespace fuzz
