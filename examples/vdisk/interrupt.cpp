// SPDX-License-Identifier: BSL-1.0
#include "interrupt.hpp"

#include <atomic>

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction is not in <csignal>

#include "tool.hpp"

namespace tool {

namespace {

std::atomic<int> caught{0};
static_assert(std::atomic<int>::is_always_lock_free);  // or the handler could not use it

void note(int number) { caught.store(number, std::memory_order_relaxed); }

}  // namespace

void catch_interrupts() {
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
        struct sigaction now = {};
        if (sigaction(number, nullptr, &now) != 0 || now.sa_handler == SIG_IGN) continue;
        struct sigaction wanted = {};
        wanted.sa_handler = note;
        wanted.sa_flags = SA_RESTART;
        sigaction(number, &wanted, nullptr);
    }
    signal(SIGXFSZ, SIG_IGN);  // a file size limit is an error of the write, told as such
}

int interrupted() { return caught.load(std::memory_order_relaxed); }

void check_interrupt() {
    if (const int number = interrupted(); number != 0) throw Failure{"interrupted", 128 + number};
}

}  // namespace tool
