// SPDX-License-Identifier: BSL-1.0
#include "shell.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <sstream>

#include <vdisk/io/runs.hpp>

namespace tool {

using namespace vdisk;

std::string io_size(double value) {
    constexpr const char* units[] = {" KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    const char* suffix = " bytes";
    for (size_t i = 0; i < std::size(units) && value >= 1024; ++i) {
        value /= 1024;
        suffix = units[i];
    }
    char digits[64];
    std::snprintf(digits, sizeof digits, "%.3f", value);
    std::string text = digits;
    if (text.ends_with(".000")) text.resize(text.size() - 4);
    return text + suffix;
}

std::optional<uint64_t> io_number(const std::string& text) {
    const auto number = text::parse_size(text);
    if (!number) {
        std::printf(
            "Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- %s\n",
            text.c_str());
    }
    return number;
}

struct Shell::Command {
    const char* name;
    const char* alias;
    size_t least, most;  ///< how many words may follow
    const char* arguments;
    const char* summary;
    Outcome (Shell::*run)(Words) const;
};

std::span<const Shell::Command> Shell::commands() {
    constexpr size_t any = 1000;
    static constexpr Command table[] = {
        {"alloc", "a", 1, 2, "offset [count]", "checks if offset is allocated in the file",
         &Shell::alloc},
        {"flush", "f", 0, 0, "", "does nothing: the image is open read-only", &Shell::flush},
        {"help", "?", 0, 1, "[command]", "help for one or all commands", &Shell::help},
        {"length", "l", 0, 0, "", "gets the length of the current file", &Shell::length},
        {"map", "map", 0, 0, "", "prints the allocated areas of a file", &Shell::map},
        {"quit", "q", 0, any, "", "exit the program", &Shell::quit},
        {"read", "r", 2, any, "[-Cqv] [-P pattern [-s off] [-l len]] off len",
         "reads a number of bytes at a specified offset", &Shell::read},
    };
    return table;
}

const Shell::Command* Shell::find(const std::string& name) {
    const auto all = commands();
    const auto found = std::find_if(all.begin(), all.end(), [&](const Command& c) {
        return name == c.name || name == c.alias;
    });
    return found == all.end() ? nullptr : &*found;
}

Shell::Outcome Shell::run(const std::string& line) const {
    std::istringstream in(line);
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    if (words.empty()) return Outcome::done;
    const std::string& name = words.front();
    constexpr const char* writers[] = {"write",   "w", "writev",   "aio_write",
                                       "discard", "d", "truncate", "t"};
    if (std::any_of(std::begin(writers), std::end(writers), [&](auto w) { return name == w; })) {
        std::fprintf(stderr, "vdisk: io: '%s': the image is open read-only\n", name.c_str());
        return Outcome::failed;
    }
    const Command* command = find(name);
    if (command == nullptr) {
        std::fprintf(stderr, "command \"%s\" not found\n", name.c_str());
        return Outcome::failed;
    }
    const size_t count = words.size() - 1;
    if (count >= command->least && count <= command->most) {
        return (this->*command->run)(Words(words).subspan(1));
    }
    std::fprintf(stderr, "bad argument count %zu to %s, expected %s%zu arguments\n", count,
                 name.c_str(),
                 count < command->least && command->most > command->least ? "at least " : "",
                 count < command->least ? command->least : command->most);
    return Outcome::failed;
}

// Only the top image is asked, as in qemu-io: what it has from a backing file is "not allocated".
Shell::Outcome Shell::map(Words /*words*/) const {
    const AnyImage& top = disk_.top();
    for (Runs runs(top, 0, top.size(), top.size()); !runs.done();) {
        const uint64_t at = runs.at();
        bool allocated = false;
        for (bool first = true; !runs.done(); first = false) {
            const auto run = runs.here();
            if (!run) {
                std::printf("map failed: %s\n", text::describe(run.error()).c_str());
                return Outcome::failed;
            }
            if (!first && allocated != (run->kind != Kind::absent)) break;
            allocated = run->kind != Kind::absent;
            runs.advance(run->length);
        }
        const uint64_t length = runs.at() - at;
        std::printf("%s (0x%" PRIx64 ") bytes %s at offset %s (0x%" PRIx64 ")\n",
                    io_size(static_cast<double>(length)).c_str(), length,
                    allocated ? "    allocated" : "not allocated",
                    io_size(static_cast<double>(at)).c_str(), at);
    }
    return Outcome::done;
}

Shell::Outcome Shell::alloc(Words words) const {
    const auto at = io_number(words[0]);
    if (!at) return Outcome::failed;
    const auto count = words.size() > 1 ? io_number(words[1]) : std::optional<uint64_t>(512);
    if (!count) return Outcome::failed;
    const AnyImage& top = disk_.top();
    const uint64_t rest = *at < top.size() ? top.size() - *at : 0;
    const uint64_t total = std::min(*count, rest);
    uint64_t allocated = 0;
    for (Runs runs(top, *at, *at + total, 1_MiB); !runs.done();) {
        const auto run = runs.here();
        if (!run) {
            std::printf("is_allocated failed: %s\n", text::describe(run.error()).c_str());
            return Outcome::failed;
        }
        if (run->kind != Kind::absent) allocated += run->length;
        runs.advance(run->length);
    }
    std::printf("%" PRIu64 "/%" PRIu64 " bytes allocated at offset %s\n", allocated, total,
                io_size(static_cast<double>(*at)).c_str());
    return Outcome::done;
}

Shell::Outcome Shell::length(Words /*words*/) const {
    std::printf("%s\n", io_size(static_cast<double>(disk_.size())).c_str());
    return Outcome::done;
}

Shell::Outcome Shell::flush(Words /*words*/) const { return Outcome::done; }

Shell::Outcome Shell::help(Words words) const {
    const Command* one = words.empty() ? nullptr : find(words[0]);
    if (!words.empty() && one == nullptr) {
        std::printf("command %s not found\n", words[0].c_str());
        return Outcome::failed;
    }
    for (const Command& command : commands()) {
        if (one != nullptr && one != &command) continue;
        std::printf("%s %s -- %s\n", command.name, command.arguments, command.summary);
    }
    if (one == nullptr) {
        std::puts("\nUse 'help commandname' for extended help.");
    } else if (one->run == &Shell::read) {
        std::puts(
            "\n Example:\n 'read -v 512 1k' - dumps 1 kilobyte read from 512 bytes into the "
            "file\n\n"
            " -C, -- report statistics in a machine parsable format\n"
            " -l, -- length for pattern verification (only with -P)\n"
            " -P, -- use a pattern to verify read data\n"
            " -q, -- quiet mode, do not show I/O statistics\n"
            " -s, -- start offset for pattern verification (only with -P)\n"
            " -v, -- dump buffer to standard output\n");
    }
    return Outcome::done;
}

Shell::Outcome Shell::quit(Words /*words*/) const { return Outcome::quit; }

}  // namespace tool
