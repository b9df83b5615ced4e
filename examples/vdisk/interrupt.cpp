// SPDX-License-Identifier: BSL-1.0
#include "interrupt.hpp"

#include <atomic>

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction is not in <csignal>

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

// Where the system writes zeros for it, it takes long.
vdisk::Status InterruptibleFile::reserve(uint64_t at, uint64_t length) {
    constexpr uint64_t step = uint64_t{64} << 20;
    for (const uint64_t end = at + length; at < end;) {
        if (interrupted() != 0) return stopped();
        const uint64_t piece = end - at < step ? end - at : step;
        if (auto kept = Storage::reserve(at, piece); !kept) return kept;
        at += piece;
    }
    return {};
}

}  // namespace tool
