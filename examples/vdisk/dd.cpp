// SPDX-License-Identifier: BSL-1.0
// vdisk dd: a part of a disk, as a raw image.
#include <algorithm>
#include <cstdio>

#include "conveyor.hpp"
#include "copier.hpp"
#include "interrupt.hpp"
#include "stripes.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct DdOptions {
    Input input;
    std::string output_format = "raw";
    std::vector<std::string> operands;
};

struct Operands {
    std::string in;
    std::string out;
    uint64_t block = 512;
    std::optional<uint64_t> count = {};
    uint64_t skip = 0;
};

uint64_t number_of(const std::string& name, const std::string& text) {
    const auto number = text::parse_size(text);
    if (!number) {
        throw Failure{"Invalid " + name +
                      " specified. You may use k, M, G, T, P or E suffixes for kilobytes, "
                      "megabytes, gigabytes, terabytes, petabytes and exabytes."};
    }
    return *number;
}

Failure unknown(const std::string& word) {
    const char* kind = word.starts_with('-') ? "option" : "operand";
    return {std::string("unrecognized ") + kind + " '" + word + "'", 1, "Try 'vdisk dd --help'"};
}

Operands parse(const std::vector<std::string>& words) {
    Operands out;
    for (const std::string& word : words) {
        const size_t equals = word.find('=');
        const std::string name = word.substr(0, equals);
        const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
        if (equals == std::string::npos) throw unknown(word);
        if (name == "if") out.in = value;
        else if (name == "of") out.out = value;
        else if (name == "bs") out.block = number_of(name, value);
        else if (name == "count") out.count = number_of(name, value);
        else if (name == "skip") out.skip = number_of(name, value);
        else throw unknown(word);
    }
    if (out.in.empty() || out.out.empty()) {
        throw Failure{"Must specify both input and output files"};
    }
    if (out.block < 1 || out.block > 0x7FFFFFFF) {
        throw Failure{"Invalid bs specified. Must be between 1 and 2147483647."};
    }
    return out;
}

uint64_t times(uint64_t blocks, uint64_t bytes, uint64_t limit) {
    return blocks > limit / bytes ? limit : blocks * bytes;
}

/// The part of a disk that is copied.
struct Range {
    uint64_t at, length;
};

void copy_to_image(const DdOptions& options, std::vector<Disk> disks, Range range, Output& output) {
    NewImage image(output.path(), options.output_format, {});
    image.size = blocks(range.length, 9) << 9;
    image.place(output);
    image.check();
    std::vector<Source> sources(disks.size());
    for (size_t i = 0; i < disks.size(); ++i) {
        sources[i].add(std::move(disks[i]), range.at, range.length);
    }
    output.open(0);
    image.create(output);
    std::vector<Disk> none;
    Draft draft(output, image);
    Conveyor(sources, none, draft, {.zeros_there = true}).run(options.input.file);
    draft.finish();
    output.storage() = draft.writer().file();  // it knows the size
    image.commit(output);
}

int dd(DdOptions options) {
    const Operands operands = parse(options.operands);
    options.input.file = operands.in;
    auto disks = open_disks(options.input, default_workers() + 1);
    Output output(operands.out, {});
    output.refuse_if_read_by(disks[0]);

    const uint64_t size = disks[0].size();
    const uint64_t skip = times(operands.skip, operands.block, size + 1);
    uint64_t length = skip < size ? size - skip : 0;
    if (skip > size) {
        std::fprintf(stderr, "vdisk: %s: cannot skip to specified offset\n", operands.in.c_str());
    }
    if (operands.count) length = std::min(length, times(*operands.count, operands.block, length));

    catch_interrupts();
    if (options.output_format != Raw::name) {
        copy_to_image(options, std::move(disks), {std::min(skip, size), length}, output);
        return 0;
    }
    output.open(output.in_place() ? length : blocks(length, 9) << 9);
    copy_disk(disks, operands.in, output,
              {.from = std::min(skip, size),
               .length = length,
               .options = {.target_is_zero = output.clear(length)}});
    output.commit();
    return 0;
}

}  // namespace

void add_dd(CLI::App& app, Command& run) {
    auto options = std::make_shared<DdOptions>();
    CLI::App* cmd =
        app.add_subcommand("dd", "Copies a part of the disk an image shows to a new image.");
    // No positional option: CLI11 would take a word in brackets for a list.
    cmd->allow_extras();
    options->input.add_to(*cmd, false);
    cmd->add_option("-O", options->output_format,
                    "format to write: raw (default), qcow, qcow2, vpc, vhdx")
        ->transform(format_name())
        ->type_name("FMT");
    cmd->footer(
        "Operands:\n"
        "  if=IN       the image to read\n"
        "  of=OUT      the image to write\n"
        "  bs=BYTES    size of a block (default 512)\n"
        "  skip=N      begin after so many blocks\n"
        "  count=N     copy at most so many blocks\n\n"
        "OUT is as long as what was copied, rounded up to 512 bytes, and appears under its name\n"
        "when it is complete. Zeros become holes.\n\n"
        "Example: the second MiB of a disk\n"
        "  vdisk dd if=disk.qcow2 of=part.raw bs=1M skip=1 count=1\n\n"
        "Exit codes: 0 done, 1 failed, 128 + N ended by signal N.");
    cmd->callback([options, &run, cmd] {
        options->operands = cmd->remaining();
        run = [options] { return dd(*options); };
    });
}

}  // namespace tool
