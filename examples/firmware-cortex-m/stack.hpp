// SPDX-License-Identifier: BSL-1.0
// How deep the stack went: what is unused is painted, and what of the paint is gone was used.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" uint64_t stack_bottom[], stack_top[];  // from link.ld

class PaintedStack {
public:
    [[gnu::noinline]] PaintedStack()
        : top_(reinterpret_cast<uintptr_t>(__builtin_frame_address(0))) {
        for (volatile uint64_t* word = stack_bottom;
             reinterpret_cast<uintptr_t>(word) < top_ - slack; ++word) {
            *word = paint;
        }
    }

    /// Bytes below the frame this was made in that were used since.
    [[nodiscard, gnu::noinline]] size_t used() const {
        const volatile uint64_t* word = stack_bottom;
        while (*word == paint && reinterpret_cast<uintptr_t>(word) < top_) ++word;
        return top_ - reinterpret_cast<uintptr_t>(word);
    }

private:
    static constexpr uint64_t paint = 0x5AFE57AC5AFE57AC;
    static constexpr size_t slack = 64;  // the frame of the painter itself

    uintptr_t top_;
};
