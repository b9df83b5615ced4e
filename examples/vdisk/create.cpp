// SPDX-License-Identifier: BSL-1.0
// vdisk create: a new, empty image.
#include <cstdio>
#include <memory>

#include <vdisk/text/printable.hpp>

#include "interrupt.hpp"
#include "new_image.hpp"
#include "opening.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct CreateOptions {
    Input rules;  ///< for the backing file
    std::string file;
    std::string size;
    std::string format = "raw";
    std::string backing_file;
    std::string backing_format;
    std::vector<std::string> creation;
    bool unsafe = false;
    bool quiet = false;
};

NewImage image_of(const CreateOptions& options) {
    NewImage image(options.file, options.format, Creation(options.creation));
    if (!options.size.empty()) {
        if (image.size) {
            throw Failure{options.file + ": The image size must be specified only once"};
        }
        image.size = size_of(options.size, "size");
    }
    if (!options.backing_file.empty()) image.backing_file = options.backing_file;
    if (!options.backing_format.empty()) image.backing_format = options.backing_format;
    return image;
}

/// The backing file has to be there, unless the user knows better, and lends its size.
void look_at_backing(const CreateOptions& options, NewImage& image, const Output& output) {
    if (image.backing_file.empty()) return;
    if (options.unsafe && image.needs_parent()) {
        throw Failure{options.file + ": -u: the id of its parent is needed"};
    }
    if (options.unsafe) return;
    if (image.backing_format.empty()) {
        throw Failure{options.file + ": Backing file specified without backing format"};
    }
    const auto disks =
        open_backing(output.path(), image.backing_file, image.backing_format, options.rules);
    output.refuse_if_read_by(disks[0]);
    image.refuse_if_read_by(disks[0]);
    if (!image.size) image.size = disks[0].size();
    image.set_parent(disks[0].top());
}

int create(const CreateOptions& options) {
    if (print_creation_help(options.format, options.creation)) return 0;
    if (options.file.empty()) throw Failure{"create: the name of a file is missing"};
    NewImage image = image_of(options);
    Output output(options.file, {});
    image.place(output);
    look_at_backing(options, image, output);
    image.check();
    catch_interrupts();
    output.open(output.in_place() ? *image.size : 0);
    if (!options.quiet) std::printf("%s\n", text::printable(image.describe()).c_str());
    image.create(output);
    check_interrupt();
    image.commit(output);
    return 0;
}

}  // namespace

void add_create(CLI::App& app, Command& run) {
    auto options = std::make_shared<CreateOptions>();
    CLI::App* cmd = app.add_subcommand("create", "Makes a new, empty image.");
    cmd->add_option("FILE", options->file, "the image to make; one that is there is replaced");
    cmd->add_option("SIZE", options->size, "of the disk (default: that of the backing file)")
        ->check(not_empty("size: '' is not a size"));
    cmd->add_option("-f", options->format, "format: raw (default), qcow, qcow2, vpc, vhdx")
        ->transform(format_name())
        ->type_name("FMT");
    cmd->add_option("-b", options->backing_file, "what the disk shows where nothing was written")
        ->check(not_empty("Expected backing file name, got empty string"))
        ->type_name("FILE");
    cmd->add_option("-F", options->backing_format, "format of the backing file")
        ->transform(format_name())
        ->type_name("FMT");
    cmd->add_flag("-u", options->unsafe, "do not look at the backing file");
    cmd->add_option("-o", options->creation,
                    "how the image is made: cluster_size=, preallocation= ...; -o help lists all")
        ->type_name("NAME=VALUE,...")
        ->check(not_empty("-o: the list of options is empty"))
        ->take_all()
        ->allow_extra_args(false);
    cmd->add_option_function<std::string>(
           "--parents",
           [options](const std::string& where) { options->rules.any_parent = where == "any"; },
           "where the backing file may lie: folder (that of FILE; default) or any")
        ->check(CLI::IsMember({"folder", "any"}))
        ->type_name("WHERE");
    cmd->add_flag("-q", options->quiet, "show nothing but errors");
    cmd->footer(
        "FILE appears under its name when it is complete. The name of the backing file is kept as\n"
        "it is given, and meant relative to the folder of FILE; so is an external data file.\n\n"
        "Examples:\n"
        "  vdisk create -f qcow2 disk.qcow2 20G\n"
        "  vdisk create -f qcow2 -b base.qcow2 -F qcow2 overlay.qcow2\n"
        "  vdisk create -f qcow2 -o cluster_size=2M,extended_l2=on big.qcow2 4T\n"
        "  vdisk create -f vpc -o subformat=fixed,force_size=on disk.vhd 20G\n"
        "  vdisk create -f vhdx -o logical_sector_size=4096 disk.vhdx 2T\n\n"
        "Exit codes: 0 done, 1 failed, 128 + N ended by signal N.");
    cmd->callback([options, &run] { run = [options] { return create(*options); }; });
}

}  // namespace tool
