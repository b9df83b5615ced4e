// SPDX-License-Identifier: BSL-1.0
// The board: QEMU's semihosting, by which a program prints, ends, and reaches files of the host.
#pragma once

#include <cstddef>
#include <cstdint>

#include <vdisk/core/types.hpp>

namespace board {

/// Arm's semihosting call; `block` are its parameters.
inline intptr_t semihosting(int operation, const void* block) {
#if defined(__riscv)
    register intptr_t result asm("a0") = operation;
    register const void* parameters asm("a1") = block;
    // The three instructions tell a call from a breakpoint; they are 4 bytes each.
    asm volatile(
        ".option push\n .option norvc\n .balign 16\n"
        "slli zero, zero, 0x1f\n ebreak\n srai zero, zero, 7\n .option pop"
        : "+r"(result)
        : "r"(parameters)
        : "memory");
#else
    register intptr_t result asm("r0") = operation;
    register const void* parameters asm("r1") = block;
    asm volatile("bkpt 0xAB" : "+r"(result) : "r"(parameters) : "memory");
#endif
    return result;
}

inline void print(const char* text) { semihosting(0x04, text); }

/// In decimal.
inline void print(uint32_t number) {
    char text[11];
    char* at = text + 10;
    *at = 0;
    do *--at = static_cast<char>('0' + number % 10);
    while ((number /= 10) != 0);
    print(at);
}

[[noreturn]] inline void exit(intptr_t status) {
    const intptr_t block[] = {0x20026, status};  // ADP_Stopped_ApplicationExit
    for (;;) semihosting(0x20, block);
}

/// A file of the host. It stays open.
class HostFile {
public:
    enum class Mode : intptr_t { read = 1, update = 3 };

    static HostFile open(const char* name, Mode mode) {
        intptr_t length = 0;
        while (name[length] != 0) ++length;
        const intptr_t block[] = {reinterpret_cast<intptr_t>(name), static_cast<intptr_t>(mode),
                                  length};
        return HostFile(semihosting(0x01, block));
    }

    [[nodiscard]] bool is_open() const { return handle_ >= 0; }
    [[nodiscard]] uint64_t size() const {
        const intptr_t block[] = {handle_};
        const intptr_t length = semihosting(0x0C, block);
        return length < 0 ? 0 : static_cast<uint64_t>(length);
    }
    bool read(uint64_t at, vdisk::MutBytes out) const {
        return seek(at) && transfer(0x06, out.data(), out.size());
    }
    bool write(uint64_t at, vdisk::Bytes in) const {
        return seek(at) && transfer(0x05, in.data(), in.size());
    }

private:
    explicit HostFile(intptr_t handle) : handle_(handle) {}

    [[nodiscard]] bool seek(uint64_t at) const {
        const intptr_t block[] = {handle_, static_cast<intptr_t>(at)};
        return semihosting(0x0A, block) >= 0;
    }
    // The host says how many bytes it did not move.
    bool transfer(int operation, const void* bytes, size_t length) const {
        const intptr_t block[] = {handle_, reinterpret_cast<intptr_t>(bytes),
                                  static_cast<intptr_t>(length)};
        return semihosting(operation, block) == 0;
    }

    intptr_t handle_;
};

}  // namespace board

/// The program; in main.cpp.
bool run();
