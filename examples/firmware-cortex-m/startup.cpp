// SPDX-License-Identifier: BSL-1.0
// What runs before main on a Cortex-M.
#include <cstddef>
#include <cstdint>

#include "board.hpp"

extern "C" {

// From link.ld.
extern uint64_t data_begin[], data_end[], data_load[], bss_begin[], bss_end[];
extern uint64_t stack_bottom[], stack_top[];

[[noreturn]] void reset() {
    for (size_t i = 0; data_begin + i < data_end; ++i) data_begin[i] = data_load[i];
    for (uint64_t* word = bss_begin; word < bss_end; ++word) *word = 0;
    board::exit(run() ? 0 : 1);
}

[[noreturn]] void fault() {
    board::print("fault\n");
    board::exit(2);
}

// Stack pointer, reset, and one handler for every fault.
[[gnu::section(".vectors"), gnu::used]] const void* const vectors[] = {
    stack_top,
    reinterpret_cast<const void*>(reset),
    reinterpret_cast<const void*>(fault),  // NMI
    reinterpret_cast<const void*>(fault),  // hard fault
    reinterpret_cast<const void*>(fault),  // memory management
    reinterpret_cast<const void*>(fault),  // bus
    reinterpret_cast<const void*>(fault),  // usage
};

}  // extern "C"
