// SPDX-License-Identifier: BSL-1.0
// The commands of `vdisk io`: those of qemu-io.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "medium.hpp"

namespace tool {

/// One disk, and commands on it. Answers go to standard output in qemu-io's words.
class Shell {
public:
    enum class Outcome : uint8_t { done, failed, quit };
    using Words = std::span<const std::string>;

    explicit Shell(Medium& disk) : disk_(disk) {}

    /// Runs one line: words between blanks.
    Outcome run(const std::string& line) const;
    /// True if `line` needs a disk that can be written.
    static bool is_change(const std::string& line);

private:
    struct Command;
    static std::span<const Command> commands();
    static const Command* find(const std::string& name);

    [[nodiscard]] Outcome read(Words words) const;
    [[nodiscard]] Outcome readv(Words words) const;
    [[nodiscard]] Outcome write(Words words) const;
    [[nodiscard]] Outcome writev(Words words) const;
    [[nodiscard]] Outcome discard(Words words) const;
    [[nodiscard]] Outcome truncate(Words words) const;
    [[nodiscard]] Outcome map(Words words) const;
    [[nodiscard]] Outcome alloc(Words words) const;
    [[nodiscard]] Outcome length(Words words) const;
    [[nodiscard]] Outcome flush(Words words) const;
    [[nodiscard]] Outcome help(Words words) const;
    [[nodiscard]] Outcome quit(Words words) const;

    Medium& disk_;
};

/// "64 KiB", "1.062 MiB", "512 bytes": as qemu-io writes sizes and rates.
std::string io_size(double value);

/// How a command reports what it did.
struct IoReport {
    const char* verb = "";  ///< "read", "wrote", "discard"
    uint64_t at = 0;
    uint64_t length = 0;
    bool quiet = false;
    bool machine = false;
};
void print_report(const IoReport& report, double seconds);

/// Prints "VERB failed: why".
Shell::Outcome io_failed(const char* verb, const vdisk::Error& error);

/// The lengths of a vector, in order: one after another.
std::optional<uint64_t> io_total(std::span<const std::string> lengths);

/// An offset or length; says what is wrong with it and returns nothing if it is none.
std::optional<uint64_t> io_number(const std::string& text);

/// A byte that fills a buffer; says what is wrong and returns nothing otherwise.
std::optional<vdisk::byte> io_pattern(const std::string& text);

inline constexpr uint64_t io_largest = 2147483136;  ///< bytes of one request, as in qemu-io

/// "-qP 5": single letters that may be joined, some with a value in the rest of the word or the
/// next one. `take(letter, value)` says whether the letter was understood.
class Flags {
public:
    using Take = std::function<bool(char letter, const std::string& value)>;

    /// `valued`: the letters that take a value.
    Flags(const char* command, std::string_view plain, std::string_view valued)
        : command_(command), plain_(plain), valued_(valued) {}

    /// The words that are no flags; nothing if something is wrong, which was told.
    std::optional<std::vector<std::string>> parse(Shell::Words words, const Take& take) const;

private:
    bool parse_word(Shell::Words words, size_t& i, const Take& take) const;

    const char* command_;
    std::string_view plain_;
    std::string_view valued_;
};

}  // namespace tool
