// SPDX-License-Identifier: BSL-1.0
// vdisk io: reads and verifies an image by hand, or by script, as qemu-io does.
#include <cstdio>
#include <iostream>

#include "shell.hpp"

namespace tool {

namespace {

struct Options {
    Input input;
    std::vector<std::string> commands;
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

int io(const Options& options) {
    const Disk disk = open_disk(options.input);
    const Shell shell(disk);
    if (options.commands.empty()) return converse(shell);
    int code = 0;
    for (const std::string& command : options.commands) {
        const Shell::Outcome outcome = shell.run(command);
        if (outcome == Shell::Outcome::quit) break;
        if (outcome == Shell::Outcome::failed) code = 1;
    }
    return code;
}

}  // namespace

void add_io(CLI::App& app, Command& run) {
    auto options = std::make_shared<Options>();
    CLI::App* cmd = app.add_subcommand(
        "io", "Reads and verifies parts of a disk: commands from -c, or from standard input.");
    options->input.add_to(*cmd);
    cmd->add_option("-c,--cmd", options->commands, "run this command; may be repeated")
        ->type_name("COMMAND")
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false);
    cmd->add_flag("-r,--read-only", options->ignored,
                  "accepted and ignored: images are always open read-only");
    cmd->footer(
        "Commands:\n"
        "  read [-Cqv] [-P pattern [-s off] [-l len]] off len\n"
        "                 reads; -P verifies that (a part of) it is all this byte, -v dumps it,\n"
        "                 -q reports nothing, -C reports numbers only\n"
        "  map            which parts the image itself stores\n"
        "  alloc off [n]  how many of n bytes it stores\n"
        "  length, help, quit\n\n"
        "Example:\n"
        "  vdisk io -c 'read -P 0 0 64k' -c 'read -v 1M 512' disk.qcow2\n\n"
        "Exit codes: 0 done, 1 a command failed or a pattern did not match.");
    cmd->callback([options, &run] { run = [options] { return io(*options); }; });
}

}  // namespace tool
