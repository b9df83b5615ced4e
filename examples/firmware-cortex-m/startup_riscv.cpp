// SPDX-License-Identifier: BSL-1.0
// What runs before main on a RISC-V board that loads the program into RAM.
#include <cstdint>

#include "board.hpp"

extern "C" {

extern uint64_t bss_begin[], bss_end[];  // from link_riscv.ld

[[noreturn, gnu::used]] void reset() {
    for (uint64_t* word = bss_begin; word < bss_end; ++word) *word = 0;
    board::exit(run() ? 0 : 1);
}

[[noreturn, gnu::used, gnu::aligned(4)]] void fault() {
    board::print("fault\n");
    board::exit(2);
}

}  // extern "C"

asm(R"(
    .option arch, +zicsr
    .section .start, "ax"
    .global start
start:
    la sp, stack_top
    la t0, fault
    csrw mtvec, t0
    j reset
)");
