// SPDX-License-Identifier: BSL-1.0
// vdisk: looks at, converts and compares virtual disks. Sub-commands, flags, exit codes and JSON
// are those of qemu-img wherever it has the command.
#include <cstdio>
#include <exception>

#include <vdisk/text/printable.hpp>

#include "tool.hpp"

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
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 1;
    }
    return command();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const tool::Failure& failure) {
        std::fprintf(stderr, "vdisk: %s\n", vdisk::text::printable(failure.message).c_str());
        return failure.exit_code;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "vdisk: %s\n", error.what());
        return 1;
    }
}
