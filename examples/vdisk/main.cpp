// SPDX-License-Identifier: BSL-1.0
// vdisk: looks at, makes, changes, converts and compares virtual disks. Sub-commands, flags, exit
// codes and JSON are those of qemu-img wherever it has the command.
#include <cstdio>
#include <exception>

#include <vdisk/text/printable.hpp>

#include "usage.hpp"

namespace {

struct Entry {
    std::string_view name;
    void (*add)(CLI::App&, tool::Command&);
};

constexpr Entry commands[] = {
    {"info", tool::add_info},         {"create", tool::add_create},   {"map", tool::add_map},
    {"convert", tool::add_convert},   {"compare", tool::add_compare}, {"dd", tool::add_dd},
    {"measure", tool::add_measure},   {"io", tool::add_io},           {"rebase", tool::add_rebase},
    {"commit", tool::add_commit},     {"dump", tool::add_dump},       {"check", tool::add_check},
    {"snapshot", tool::add_snapshot}, {"resize", tool::add_resize},   {"amend", tool::add_amend},
    {"bitmap", tool::add_bitmap},     {"compact", tool::add_compact},
};

/// Adds the command that the first word names and returns it; all commands and nullptr where that
/// word is an option or missing. One alone starts faster, and the name of another may be a file's.
CLI::App* add_commands(CLI::App& app, tool::Command& command, int argc, char** argv) {
    const bool all = argc < 2 || argv[1][0] == '-';
    for (const Entry& entry : commands) {
        if (!all && entry.name != argv[1]) continue;
        entry.add(app, command);
        CLI::App* added = app.get_subcommand(std::string(entry.name));
        tool::settle_options(*added);
        if (!all) return added;
    }
    if (all) return nullptr;
    throw tool::Failure{std::string("unknown command '") + argv[1] + "'", 1, "Try 'vdisk --help'"};
}

int run(int argc, char** argv) {
    CLI::App app("vdisk - virtual disk images: raw, qcow, qcow2, vpc (VHD), vhdx", "vdisk");
    app.set_version_flag("-V,--version", "vdisk 0.1.0");
    app.require_subcommand(1);
    app.footer("Sizes take k, M, G, T, P, E (powers of 1024) or 0x. Every command has --help.");
    tool::Command command;
    const CLI::App* chosen = add_commands(app, command, argc, argv);
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
