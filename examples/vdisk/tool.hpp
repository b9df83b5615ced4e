// SPDX-License-Identifier: BSL-1.0
// What all sub-commands share: opening disks, errors, sizes. Each command is one .cpp file.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include <vdisk/disk/writable.hpp>
#include <vdisk/text/error.hpp>
#include <vdisk/text/size.hpp>

#include "gate.hpp"

namespace tool {

using Storage = vdisk::PreadStorage;
using AnyImage = vdisk::SystemImage<Storage>;
using Disk = vdisk::Chain<AnyImage, Origin>;
using Writer = vdisk::SystemWriter<Storage>;
using WritableDisk = vdisk::WritableDisk<Writer, AnyImage, Origin>;

/// Ends the command: main prints "vdisk: MESSAGE" and exits with `exit_code`.
struct Failure {
    std::string message;
    int exit_code = 1;
    const char* hint = "";  ///< a second line
};

/// `file: error`, as a Failure. Names the features of a qcow2 image that this library lacks.
Failure failure(const std::string& file, const vdisk::Error& error, int exit_code = 1);

/// The options that say how an input is opened, common to all commands.
struct Input {
    std::string file;
    std::string format;  ///< empty: probe
    std::string backing_format;
    std::string snapshot;
    bool any_parent = false;
    bool shared = false;  ///< read it although another process writes to it
    vdisk::Checksums checksums = vdisk::Checksums::required;
    vdisk::SizeRule size_rule = vdisk::SizeRule::bytes;
    int exit_code = 1;  ///< of a Failure to open it

    /// `options`, as strict as the user wants it.
    [[nodiscard]] vdisk::OpenOptions rules(vdisk::OpenOptions options = {}) const {
        options.checksums = checksums;
        options.size_rule = size_rule;
        return options;
    }

    /// Adds -f, --backing-format, --parents, -U, --ignore-checksums, --size-rule and, if wanted,
    /// the positional FILE.
    void add_to(CLI::App& app, bool with_file = true);
};

/// Opens the image with everything below it; throws Failure.
Disk open_disk(const Input& input);

/// Opens the image to be written, with everything below it; from here on it is locked. Throws
/// Failure.
WritableDisk open_writable_disk(const Input& input);

/// Opens the image file alone, whatever it refers to; encrypted ones too. Throws Failure.
AnyImage open_image(const Input& input, Origin* origin = nullptr);

/// Throws Failure unless it is the name of a format of this library; where that has two, it becomes
/// the one that QEMU uses.
void settle_format_name(std::string& name, int exit_code = 1);

/// For options that name a format.
CLI::Validator format_name(int exit_code = 1);

/// For options whose value must not be empty: the message of the Failure otherwise.
CLI::Validator not_empty(const char* message);

/// Adds --output=human|json.
void add_output(CLI::App& app, std::string& output);

/// A size as on the command line of qemu-img; throws Failure naming `what`.
uint64_t size_of(const std::string& text, const char* what);

/// Text inside an image file, made safe for a terminal or JSON; throws Failure.
std::string text_in(const AnyImage& image, vdisk::Text text);

/// Returns the exit code of the command that was run.
using Command = std::function<int()>;

// Every command adds its sub-command to `app` and sets `run` in its callback.
void add_info(CLI::App& app, Command& run);
void add_map(CLI::App& app, Command& run);
void add_create(CLI::App& app, Command& run);
void add_convert(CLI::App& app, Command& run);
void add_compare(CLI::App& app, Command& run);
void add_dd(CLI::App& app, Command& run);
void add_measure(CLI::App& app, Command& run);
void add_io(CLI::App& app, Command& run);
void add_rebase(CLI::App& app, Command& run);
void add_commit(CLI::App& app, Command& run);
void add_dump(CLI::App& app, Command& run);
void add_check(CLI::App& app, Command& run);
void add_snapshot(CLI::App& app, Command& run);
void add_resize(CLI::App& app, Command& run);
void add_amend(CLI::App& app, Command& run);
void add_bitmap(CLI::App& app, Command& run);
void add_compact(CLI::App& app, Command& run);

}  // namespace tool
