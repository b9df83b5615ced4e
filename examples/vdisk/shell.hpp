// SPDX-License-Identifier: BSL-1.0
// The commands of `vdisk io`: those of qemu-io that read.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tool.hpp"

namespace tool {

/// One disk, and commands on it. Answers go to standard output in qemu-io's words.
class Shell {
public:
    enum class Outcome : uint8_t { done, failed, quit };
    using Words = std::span<const std::string>;

    explicit Shell(const Disk& disk) : disk_(disk) {}

    /// Runs one line: words between blanks.
    Outcome run(const std::string& line) const;

private:
    struct Command;
    static std::span<const Command> commands();
    static const Command* find(const std::string& name);

    [[nodiscard]] Outcome read(Words words) const;
    [[nodiscard]] Outcome map(Words words) const;
    [[nodiscard]] Outcome alloc(Words words) const;
    [[nodiscard]] Outcome length(Words words) const;
    [[nodiscard]] Outcome flush(Words words) const;
    [[nodiscard]] Outcome help(Words words) const;
    [[nodiscard]] Outcome quit(Words words) const;

    const Disk& disk_;
};

/// "64 KiB", "1.062 MiB", "512 bytes": as qemu-io writes sizes and rates.
std::string io_size(double value);

/// An offset or length; says what is wrong with it and returns nothing if it is none.
std::optional<uint64_t> io_number(const std::string& text);

}  // namespace tool
