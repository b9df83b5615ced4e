// SPDX-License-Identifier: BSL-1.0
// The four functions that every C++ compiler may call, and all that the library needs besides
// libgcc. Built with -fno-tree-loop-distribute-patterns, or they would call themselves.
#include <cstddef>

extern "C" {

void* memcpy(void* to, const void* from, size_t n) {
    auto* t = static_cast<unsigned char*>(to);
    const auto* f = static_cast<const unsigned char*>(from);
    while (n-- > 0) *t++ = *f++;
    return to;
}

void* memmove(void* to, const void* from, size_t n) {
    auto* t = static_cast<unsigned char*>(to);
    const auto* f = static_cast<const unsigned char*>(from);
    if (t <= f) return memcpy(to, from, n);
    while (n-- > 0) t[n] = f[n];
    return to;
}

void* memset(void* to, int value, size_t n) {
    auto* t = static_cast<unsigned char*>(to);
    while (n-- > 0) *t++ = static_cast<unsigned char>(value);
    return to;
}

int memcmp(const void* a, const void* b, size_t n) {
    const auto* x = static_cast<const unsigned char*>(a);
    const auto* y = static_cast<const unsigned char*>(b);
    for (; n > 0; --n, ++x, ++y) {
        if (*x != *y) return *x < *y ? -1 : 1;
    }
    return 0;
}

}  // extern "C"
