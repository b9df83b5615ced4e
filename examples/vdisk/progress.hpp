// SPDX-License-Identifier: BSL-1.0
// How far it is: qemu-img's line where the output is read by a program, a bar on a terminal.
#pragma once

#include <cstdint>

namespace tool {

/// Writes to standard output. One thread at a time.
class Progress {
public:
    /// `step`: per cent between two lines.
    Progress(bool shown, double step);
    /// Ends the line.
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// So much of `total` is done. A line is written if it is worth one.
    void at(std::uint64_t done, std::uint64_t total);

private:
    void print(double percent) const;

    bool shown_;
    bool terminal_;
    double step_;
    double last_ = 0;
};

}  // namespace tool
