// SPDX-License-Identifier: BSL-1.0
// vdisk io: reads, verifies and changes an image by hand, or by script, as qemu-io does.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include "closed.hpp"
#include "shell.hpp"

namespace tool {

namespace {

struct IoOptions {
    Input input;
    std::vector<std::string> commands;
    std::string cache;
    bool read_only = false;
    bool ignored = false;
};

/// From standard input, with a prompt, until its end or "quit".
int converse(const Shell& shell) {
    int code = 0;
    for (std::string line;;) {
        std::fputs("vdisk> ", stdout);
        std::fflush(stdout);
        if (!std::getline(std::cin, line)) break;
        const Shell::Outcome outcome = shell.run(line);
        if (outcome == Shell::Outcome::quit) break;
        if (outcome == Shell::Outcome::failed) code = 1;
    }
    return code;
}

WritableDisk resize(Top& top, const Input& input, WritableDisk disk, uint64_t size,
                    std::string& why) {
    top.file.storage = disk.top().file();  // it knows the size
    { const WritableDisk closed = std::move(disk); }
    try {
        resize_image(top, input, size, vdisk::qcow2::Preallocation::off);
    } catch (const Failure& failure) {
        why = failure.message;
    }
    return open_writable_layers(top, input);
}

/// Opened to be written only where a command does so: then it is locked, and must be writable.
Medium open_medium(const IoOptions& options) {
    const bool changes =
        options.commands.empty() ||
        std::any_of(options.commands.begin(), options.commands.end(), Shell::is_change);
    if (!changes || options.read_only || options.input.shared) {
        return Medium(open_disk(options.input));
    }
    auto top = std::make_shared<Top>(open_top_for_writing(options.input));
    WritableDisk disk = open_writable_layers(*top, options.input);
    return {std::move(disk),
            [top, input = options.input](WritableDisk closed, uint64_t size, std::string& why) {
                return resize(*top, input, std::move(closed), size, why);
            }};
}

int run_all(const Shell& shell, const std::vector<std::string>& commands) {
    int code = 0;
    for (const std::string& command : commands) {
        const Shell::Outcome outcome = shell.run(command);
        if (outcome == Shell::Outcome::quit) break;
        if (outcome == Shell::Outcome::failed) code = 1;
    }
    return code;
}

int io(const IoOptions& options) {
    Medium disk = open_medium(options);
    const Shell shell(disk);
    const int code = options.commands.empty() ? converse(shell) : run_all(shell, options.commands);
    if (!disk.is_writable()) return code;
    if (const auto closed = disk.close(); !closed) {
        throw failure(options.input.file, closed.error());
    }
    return code;
}

}  // namespace

void add_io(CLI::App& app, Command& run) {
    auto options = std::make_shared<IoOptions>();
    CLI::App* cmd = app.add_subcommand(
        "io",
        "Reads, verifies and writes parts of a disk: commands from -c, or from standard input.");
    options->input.add_to(*cmd);
    cmd->add_option("-c,--cmd", options->commands, "run this command; may be repeated")
        ->type_name("COMMAND")
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false);
    cmd->add_flag("-r,--read-only", options->read_only, "write nothing");
    cmd->add_option("-t,--cache", options->cache, "accepted and ignored")->type_name("CACHE");
    cmd->add_option("-d,--discard", options->cache, "accepted and ignored")->type_name("MODE");
    cmd->add_flag("-n,--nocache", options->ignored, "accepted and ignored");
    cmd->footer(
        "Commands:\n"
        "  read [-Cqv] [-P pattern [-s off] [-l len]] off len\n"
        "                 reads; -P verifies that (a part of) it is all this byte, -v dumps it,\n"
        "                 -q reports nothing, -C reports numbers only\n"
        "  write [-Ccfnquz] [-P pattern | -s source_file] off len\n"
        "                 writes this byte (0xcd), what a file holds over and over, zeros (-z;\n"
        "                 -u: and gives the space up), or compressed (-c); -f flushes\n"
        "  discard [-Cq] off len\n"
        "                 gives up what is there, and its space\n"
        "  flush          makes all durable\n"
        "  truncate size  makes the disk larger or smaller (raw, qcow2, vpc, vhdx)\n"
        "  map            which parts the image itself stores\n"
        "  alloc off [n]  how many of n bytes it stores\n"
        "  length, help, quit; readv and writev with several lengths\n\n"
        "An image is opened to be written, and locked, if -c has such a command or there is no "
        "-c.\n"
        "Only the image itself is changed, never what it stands on.\n\n"
        "Examples:\n"
        "  vdisk io -c 'read -P 0 0 64k' -c 'read -v 1M 512' disk.qcow2\n"
        "  vdisk io -c 'write -P 0xab 1M 64k' -c 'write -z 0 1M' disk.qcow2\n\n"
        "Exit codes: 0 done, 1 a command failed or a pattern did not match.");
    cmd->callback([options, &run] { run = [options] { return io(*options); }; });
}

}  // namespace tool
