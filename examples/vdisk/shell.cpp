// SPDX-License-Identifier: BSL-1.0
#include "shell.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <sstream>

#include <vdisk/io/runs.hpp>

#include "status.hpp"

namespace tool {

using namespace vdisk;

enum class Needs : bool { reading, writing };

struct Shell::Command {
    const char* name;
    const char* alias;
    size_t least, most;  ///< how many words may follow
    const char* arguments;
    const char* summary;
    const char* more;
    Needs needs;
    Outcome (Shell::*run)(Words) const;
};

namespace {

constexpr const char* help_of_read =
    "\n Example:\n 'read -v 512 1k' - dumps 1 kilobyte read from 512 bytes into the file\n\n"
    " -C, -- report statistics in a machine parsable format\n"
    " -l, -- length for pattern verification (only with -P)\n"
    " -P, -- use a pattern to verify read data\n"
    " -q, -- quiet mode, do not show I/O statistics\n"
    " -s, -- start offset for pattern verification (only with -P)\n"
    " -v, -- dump buffer to standard output\n";
constexpr const char* help_of_write =
    "\n Example:\n 'write 512 1k' - writes 1 kilobyte at 512 bytes into the open file\n\n"
    " -c, -- write compressed data, whole clusters\n"
    " -C, -- report statistics in a machine parsable format\n"
    " -f, -- flush afterwards\n"
    " -n, -- with -z, fail where zeros would have to be written\n"
    " -P, -- use a pattern other than 0xcd\n"
    " -q, -- quiet mode, do not show I/O statistics\n"
    " -s, -- use a pattern file to fill the write buffer\n"
    " -u, -- with -z, give the space up\n"
    " -z, -- write zeros without storing them where possible\n";
constexpr const char* help_of_discard =
    "\n Example:\n 'discard 512 1k' - discards 1 kilobyte from 512 bytes into the file\n\n"
    " -C, -- report statistics in a machine parsable format\n"
    " -q, -- quiet mode, do not show I/O statistics\n";

}  // namespace

std::span<const Shell::Command> Shell::commands() {
    using enum Needs;
    constexpr size_t any = 1000;
    static constexpr Command table[] = {
        {"aio_flush", "aio_flush", 0, 0, "", "completes all outstanding aio requests", "", reading,
         &Shell::flush},
        {"aio_read", "aio_read", 2, any, "[-Cqv] [-P pattern] off len [len..]", "as readv", "",
         reading, &Shell::readv},
        {"aio_write", "aio_write", 1, any, "[-Cfquz] [-P pattern] off len [len..]", "as writev", "",
         writing, &Shell::writev},
        {"alloc", "a", 1, 2, "offset [count]", "checks if offset is allocated in the file", "",
         reading, &Shell::alloc},
        {"discard", "d", 2, any, "[-Cq] off len",
         "discards a number of bytes at a specified offset", help_of_discard, writing,
         &Shell::discard},
        {"flush", "f", 0, 0, "", "flush all in-core file state to disk", "", reading,
         &Shell::flush},
        {"help", "?", 0, 1, "[command]", "help for one or all commands", "", reading, &Shell::help},
        {"length", "l", 0, 0, "", "gets the length of the current file", "", reading,
         &Shell::length},
        {"map", "map", 0, 0, "", "prints the allocated areas of a file", "", reading, &Shell::map},
        {"quit", "q", 0, any, "", "exit the program", "", reading, &Shell::quit},
        {"read", "r", 2, any, "[-Cqv] [-P pattern [-s off] [-l len]] off len",
         "reads a number of bytes at a specified offset", help_of_read, reading, &Shell::read},
        {"readv", "rv", 2, any, "[-Cqv] [-P pattern] off len [len..]",
         "reads a number of bytes at a specified offset", "", reading, &Shell::readv},
        {"truncate", "t", 1, 1, "off", "truncates the current file at the given offset", "",
         writing, &Shell::truncate},
        {"write", "w", 2, any, "[-Ccfnquz] [-P pattern | -s source_file] off len",
         "writes a number of bytes at a specified offset", help_of_write, writing, &Shell::write},
        {"writev", "wv", 2, any, "[-Cfq] [-P pattern | -s source_file] off len [len..]",
         "writes a number of bytes at a specified offset", "", writing, &Shell::writev},
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

namespace {

std::vector<std::string> split(const std::string& line) {
    std::istringstream in(line);
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    return words;
}

}  // namespace

bool Shell::is_change(const std::string& line) {
    const auto words = split(line);
    const Command* const command = words.empty() ? nullptr : find(words[0]);
    return command != nullptr && command->needs == Needs::writing;
}

Shell::Outcome Shell::run(const std::string& line) const {
    const std::vector<std::string> words = split(line);
    if (words.empty()) return Outcome::done;
    const std::string& name = words.front();
    const Command* command = find(name);
    if (command == nullptr) {
        std::fprintf(stderr, "command \"%s\" not found\n", name.c_str());
        return Outcome::failed;
    }
    if (command->needs == Needs::writing && !disk_.is_writable()) {
        std::fprintf(stderr, "vdisk: io: '%s': the image is open read-only\n", name.c_str());
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

namespace {

// Only the top image is asked, as in qemu-io: what it has from a backing file is "not allocated".
template <class Top>
bool is_allocated(const Top& top, Kind kind) {
    return kind != Kind::absent || hides_all_below(top);
}

template <class Top>
Shell::Outcome print_map(const Top& top) {
    for (Runs runs(top, 0, top.size(), top.size()); !runs.done();) {
        const uint64_t at = runs.at();
        bool allocated = false;
        for (bool first = true; !runs.done(); first = false) {
            const auto run = runs.here();
            if (!run) return io_failed("map", run.error());
            if (!first && allocated != is_allocated(top, run->kind)) break;
            allocated = is_allocated(top, run->kind);
            runs.advance(run->length);
        }
        const uint64_t length = runs.at() - at;
        std::printf("%s (0x%" PRIx64 ") bytes %s at offset %s (0x%" PRIx64 ")\n",
                    io_size(static_cast<double>(length)).c_str(), length,
                    allocated ? "    allocated" : "not allocated",
                    io_size(static_cast<double>(at)).c_str(), at);
    }
    return Shell::Outcome::done;
}

template <class Top>
Shell::Outcome print_allocated(const Top& top, uint64_t at, uint64_t count) {
    const uint64_t rest = at < top.size() ? top.size() - at : 0;
    const uint64_t total = std::min(count, rest);
    uint64_t allocated = 0;
    for (Runs runs(top, at, at + total, 1_MiB); !runs.done();) {
        const auto run = runs.here();
        if (!run) return io_failed("is_allocated", run.error());
        if (is_allocated(top, run->kind)) allocated += run->length;
        runs.advance(run->length);
    }
    std::printf("%" PRIu64 "/%" PRIu64 " bytes allocated at offset %s\n", allocated, total,
                io_size(static_cast<double>(at)).c_str());
    return Shell::Outcome::done;
}

}  // namespace

Shell::Outcome Shell::map(Words /*words*/) const {
    return disk_.visit_top([](const auto& top) { return print_map(top); });
}

Shell::Outcome Shell::alloc(Words words) const {
    const auto at = io_number(words[0]);
    if (!at) return Outcome::failed;
    const auto count = words.size() > 1 ? io_number(words[1]) : std::optional<uint64_t>(512);
    if (!count) return Outcome::failed;
    return disk_.visit_top([&](const auto& top) { return print_allocated(top, *at, *count); });
}

Shell::Outcome Shell::length(Words /*words*/) const {
    std::printf("%s\n", io_size(static_cast<double>(disk_.size())).c_str());
    return Outcome::done;
}

Shell::Outcome Shell::flush(Words /*words*/) const {
    if (!disk_.is_writable()) return Outcome::done;
    const vdisk::Status flushed = disk_.flush();
    return flushed ? Outcome::done : io_failed("flush", flushed.error());
}

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
    } else if (*one->more != 0) {
        std::puts(one->more);
    }
    return Outcome::done;
}

Shell::Outcome Shell::quit(Words /*words*/) const { return Outcome::quit; }

}  // namespace tool
