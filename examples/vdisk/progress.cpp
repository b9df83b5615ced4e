// SPDX-License-Identifier: BSL-1.0
#include "progress.hpp"

#include <cstdio>
#include <string>

#include <unistd.h>

namespace tool {

Progress::Progress(bool shown, double step)
    : shown_(shown), terminal_(isatty(STDOUT_FILENO) != 0), step_(step) {
    if (shown_) print(0);
}

Progress::~Progress() {
    if (!shown_) return;
    std::fputc('\n', stdout);
    std::fflush(stdout);
}

void Progress::at(std::uint64_t done, std::uint64_t total) {
    if (!shown_) return;
    const double percent =
        done >= total ? 100 : 100 * static_cast<double>(done) / static_cast<double>(total);
    if (percent < last_ + step_ && (percent < 100 || last_ >= 100)) return;
    last_ = percent;
    print(percent);
}

void Progress::print(double percent) const {
    if (terminal_) {
        constexpr std::size_t width = 40;
        const auto full = static_cast<std::size_t>(percent * width / 100);
        const std::string bar = std::string(full, '#') + std::string(width - full, '.');
        std::printf("    [%s] %3.0f %%\r", bar.c_str(), percent);
    } else {
        std::printf("    (%3.2f/100%%)\r", percent);
    }
    std::fflush(stdout);
}

}  // namespace tool
