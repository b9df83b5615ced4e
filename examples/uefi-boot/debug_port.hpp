// SPDX-License-Identifier: BSL-1.0
// QEMU's debug port: what is written there comes out as it is, without a console in between.
#pragma once

#include <cstdint>

namespace debug_port {

inline void print(const char* text) {
    for (; *text != 0; ++text) asm volatile("outb %0, %1" : : "a"(*text), "Nd"(uint16_t{0x402}));
}

/// In decimal.
inline void print(uint64_t number) {
    char text[21];
    char* at = text + 20;
    *at = 0;
    do *--at = static_cast<char>('0' + number % 10);
    while ((number /= 10) != 0);
    print(at);
}

}  // namespace debug_port
