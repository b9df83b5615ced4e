// SPDX-License-Identifier: BSL-1.0
// vdisk: looks at, converts and compares virtual disks. Sub-commands, flags, exit codes and JSON
// are those of qemu-img wherever it has the command.
#include <cstdio>
#include <exception>

#include <vdisk/text/printable.hpp>

#include "usage.hpp"

namespace {

int run(int argc, char** argv) {
    CLI::App app("vdisk - virtual disk images: raw, qcow, qcow2", "vdisk");
    app.set_version_flag("-V,--version", "vdisk 0.1.0");
    app.require_subcommand(1);
    app.footer("Sizes take k, M, G, T, P, E (powers of 1024) or 0x. Every command has --help.");
    tool::Command command;
    tool::add_info(app, command);
    tool::add_map(app, command);
    tool::add_convert(app, command);
    tool::add_compare(app, command);
    tool::add_dd(app, command);
    tool::add_measure(app, command);
    tool::add_io(app, command);
    tool::add_dump(app, command);
    CLI::App* chosen = tool::find_command(app, argc, argv);
    for (CLI::App* other : app.get_subcommands([](const CLI::App*) { return true; })) {
        // Or the name of a command could not be the name of a file.
        if (chosen != nullptr && other != chosen) app.remove_subcommand(other);
        else tool::settle_options(*other);
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return tool::answer_parse_error(app, chosen, error);
    }
    return command();
}

/// What was printed must have arrived.
int finish(int code) {
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
    std::fprintf(stderr, "vdisk: standard output cannot be written\n");
    return code == 0 ? 1 : code;
}

int guarded(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const tool::Failure& failure) {
        std::fflush(stdout);
        std::fprintf(stderr, "vdisk: %s\n", vdisk::text::printable(failure.message).c_str());
        if (*failure.hint != 0) std::fprintf(stderr, "%s\n", failure.hint);
        return failure.exit_code;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "vdisk: %s\n", error.what());
        return 1;
    }
}

}  // namespace

int main(int argc, char** argv) { return finish(guarded(argc, argv)); }
