// SPDX-License-Identifier: BSL-1.0
// vdisk convert: any image, or several one behind the other, to a new one.
#include "convert.hpp"

#include <algorithm>
#include <array>

#include "bitmap_copy.hpp"
#include "closed.hpp"
#include "conveyor.hpp"
#include "copier.hpp"
#include "interrupt.hpp"
#include "stripes.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct ConvertOptions {
    Input input;  ///< the rules for all inputs; `file` is each of them in turn
    std::vector<std::string> files;
    std::string output;
    std::string backing_file;
    std::string backing_format;
    std::vector<std::string> creation;
    std::string output_format = "raw";
    std::string sparse = "4k";
    std::string cache = "unsafe";
    std::string source_cache = "writeback";
    std::string snapshot;
    unsigned workers = 0;
    bool compressed = false;
    bool progress = false;
    bool quiet = false;
    bool no_create = false;
    bool target_is_zero = false;
    bool any_order = false;
    bool bitmaps = false;
    bool skip_broken_bitmaps = false;
    bool salvage = false;
};

void check_cache(const std::string& mode, const char* what) {
    constexpr std::array known = {"none",         "off",        "writeback",
                                  "writethrough", "directsync", "unsafe"};
    if (std::find(known.begin(), known.end(), mode) == known.end()) {
        throw Failure{std::string("Invalid ") + what + " option: " + mode};
    }
}

uint32_t sparse_of(const std::string& text) {
    constexpr uint64_t largest = 16_MiB;
    const uint64_t size = size_of(text, "sparse size");
    if (size % 512 != 0 || size > largest) {
        throw Failure{
            "Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up "
            "to 16777216. Select 0 to disable sparse detection (fully allocates output)."};
    }
    return static_cast<uint32_t>(size);
}

/// The last file is the one to write.
void split_files(ConvertOptions& options) {
    if (options.files.size() < 2) throw Failure{"Must specify image file name"};
    options.output = options.files.back();
    options.files.pop_back();
    options.input.file = options.files.front();
}

/// What else is asked for.
struct Extras {
    Salvage* salvage = nullptr;
    std::optional<BitmapCopy> bitmaps = {};
};

Failure no_bitmaps(const std::string& format) {
    return {"Format driver '" + format + "' does not support bitmaps"};
}
const Failure other_size{"the disks have different sizes: bitmaps cannot be copied"};

void check(const ConvertOptions& options) {
    if (options.compressed && options.output_format == Raw::name) {
        throw Failure{"Compression not supported for this file format"};
    }
    if (options.target_is_zero && !options.no_create) {
        throw Failure{"--target-is-zero requires use of -n flag"};
    }
    if (options.no_create && !(options.creation.empty() && options.backing_file.empty())) {
        throw Failure{"-n: OUT is there already, -o and -B are for a new image"};
    }
    if (options.files.size() > 1 && !options.snapshot.empty()) {
        throw Failure{"-l: a snapshot is converted alone"};
    }
    if (options.skip_broken_bitmaps && !options.bitmaps) {
        throw Failure{"Use of --skip-broken-bitmaps requires --bitmaps"};
    }
    if (options.bitmaps && options.files.size() > 1) {
        throw Failure{"Copying bitmaps only possible with single source"};
    }
    if (options.bitmaps && options.output_format != Qcow2::name) {
        throw no_bitmaps(options.output_format);
    }
    check_cache(options.cache, "cache");
    check_cache(options.source_cache, "source cache");
}

/// All inputs, each open as often as the next dimension says.
using Inputs = std::vector<std::vector<Disk>>;

Inputs open_inputs(ConvertOptions& options, unsigned workers) {
    if (options.snapshot.starts_with("snapshot.")) {
        options.input.snapshot = find_snapshot_id(options.input, options.snapshot);
    } else {
        options.input.snapshot = options.snapshot;
    }
    Inputs inputs;
    for (const std::string& file : options.files) {
        Input input = options.input;
        input.file = file;
        inputs.push_back(open_disks(input, workers + 1, memory_budget / options.files.size()));
    }
    return inputs;
}

uint64_t total_size(const Inputs& inputs) {
    uint64_t total = 0;
    for (const auto& disks : inputs) {
        if (disks[0].size() > (uint64_t{1} << 63) - 512 - total) {
            throw Failure{"the inputs are too large together"};
        }
        total += disks[0].size();
    }
    return total;
}

NewImage image_of(const ConvertOptions& options, uint64_t size) {
    NewImage image(options.output, options.output_format, Creation(options.creation));
    if (image.size) throw Failure{"-o size: the size is that of the input"};
    image.size = size;
    if (!options.backing_file.empty()) image.backing_file = options.backing_file;
    if (!options.backing_format.empty()) image.backing_format = options.backing_format;
    image.check();
    if (options.compressed && !image.data_file().empty()) {
        throw Failure{"Compression not supported for this file format with an external data file"};
    }
    return image;
}

void convert_to_raw(const ConvertOptions& options, const Inputs& inputs, uint32_t sparse,
                    Progress& progress, Salvage* salvage) {
    const uint64_t size = total_size(inputs);
    Output output(options.output,
                  {.existing = options.no_create, .durable = options.cache != "unsafe"});
    for (const auto& disks : inputs) output.refuse_if_read_by(disks[0]);
    NewImage image = image_of(options, size);
    image.place(output);
    output.open(size);
    if (!options.no_create) image.create(output);
    const bool blank = sparse != 0 && (options.target_is_zero || output.clear(size));
    uint64_t to = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
        copy_disk(inputs[i], options.files[i], output,
                  {.length = inputs[i][0].size(),
                   .to = to,
                   .options = {.sparse = sparse, .target_is_zero = blank},
                   .progress = &progress,
                   .salvage = salvage});
        to += inputs[i][0].size();
    }
    output.commit();
}

std::vector<Source> sources_of(Inputs inputs, Salvage* salvage) {
    size_t count = inputs[0].size();
    for (const auto& disks : inputs) count = std::min(count, disks.size());
    std::vector<Source> sources(count);
    for (auto& disks : inputs) {
        for (size_t i = 0; i < count; ++i) sources[i].add(std::move(disks[i]));
    }
    if (salvage != nullptr) {
        for (Source& source : sources) source.set_salvage(*salvage);
    }
    return sources;
}

void fill(const ConvertOptions& options, std::vector<Source>& sources, std::vector<Disk>& backings,
          Draft& draft, ConveyorOptions how) {
    if (options.compressed && draft.writer().pack_unit() == 0) {
        throw Failure{"Compression not supported for this file format"};
    }
    how.compressed = options.compressed;
    how.any_order = options.any_order;
    Conveyor(sources, backings, draft, how).run(options.input.file);
    draft.finish();
}

/// -n: the image is there.
void fill_existing(const ConvertOptions& options, Inputs inputs, ConveyorOptions how,
                   const Extras& extras) {
    Input target;
    target.file = options.output;
    target.format = options.output_format;
    target.any_parent = options.input.any_parent;
    Top top = open_top_for_writing(target);
    for (const auto& disks : inputs) {
        refuse_if_read_by(disks[0], top.file.origin.identity, options.output);
    }
    if (extras.bitmaps && layout_of(top).version < 3) throw no_bitmaps(options.output_format);
    if (extras.bitmaps && extras.bitmaps->disk_size() != size_of_image(top)) throw other_size;
    {
        Draft draft(top);
        const Origin& data = draft.data_origin();
        for (const auto& disks : inputs) refuse_if_read_by(disks[0], data.identity, data.path);
        if (draft.writer().size() < total_size(inputs)) {
            throw Failure{"output file is smaller than input file"};
        }
        how.zeros_there = options.target_is_zero;
        std::vector<Source> sources = sources_of(std::move(inputs), extras.salvage);
        std::vector<Disk> none;
        fill(options, sources, none, draft, how);
        top.file.storage = draft.writer().file();  // it knows the size
    }
    if (extras.bitmaps) extras.bitmaps->add_to(top.file.storage, options.output);
}

void fill_new(const ConvertOptions& options, Inputs inputs, ConveyorOptions how,
              const Extras& extras) {
    NewImage image = image_of(options, total_size(inputs));
    if (extras.bitmaps && image.qcow2().version < 3) throw no_bitmaps(options.output_format);
    if (extras.bitmaps && extras.bitmaps->disk_size() != *image.size) throw other_size;
    Output output(options.output, {.durable = options.cache != "unsafe"});
    image.place(output);
    for (const auto& disks : inputs) {
        output.refuse_if_read_by(disks[0]);
        image.refuse_if_read_by(disks[0]);
    }
    std::vector<Source> sources = sources_of(std::move(inputs), extras.salvage);
    std::vector<Disk> backings;
    if (!image.backing_file.empty()) {
        backings =
            open_backing(output.path(), image.backing_file, image.backing_format, options.input,
                         static_cast<unsigned>(sources.size()), {.cache = {.count_bits = 4}});
        output.refuse_if_read_by(backings[0]);
        image.refuse_if_read_by(backings[0]);
        image.set_parent(backings[0].top());
        image.check();
        for (Source& source : sources) source.set_backing(backings[0]);
    }
    output.open(output.in_place() ? *image.size : 0);
    image.create(output);
    {
        Draft draft(output, image);
        how.zeros_there = backings.empty();
        fill(options, sources, backings, draft, how);
        output.storage() = draft.writer().file();  // it knows the size
    }
    if (extras.bitmaps) extras.bitmaps->add_to(output.storage(), options.output);
    image.commit(output);
}

int convert(ConvertOptions options) {
    if (print_creation_help(options.output_format, options.creation)) return 0;
    split_files(options);
    check(options);
    const uint32_t sparse = sparse_of(options.sparse);
    const bool raw = options.output_format == Raw::name;
    // One more than processors: while one waits for its turn, the others have something to do.
    const unsigned workers =
        options.workers != 0 ? options.workers : default_workers() + (raw ? 0 : 1);
    Inputs inputs = open_inputs(options, workers);
    catch_interrupts();
    Progress progress(options.progress && !options.quiet, 1);
    Salvage salvage(options.quiet);
    Extras extras{.salvage = options.salvage ? &salvage : nullptr};
    if (raw) {
        convert_to_raw(options, inputs, sparse, progress, extras.salvage);
        return 0;
    }
    if (options.bitmaps) {
        extras.bitmaps.emplace(options.input,
                               options.skip_broken_bitmaps ? Broken::skip : Broken::refuse);
    }
    const ConveyorOptions how{.sparse = sparse, .progress = &progress};
    if (options.no_create) fill_existing(options, std::move(inputs), how, extras);
    else fill_new(options, std::move(inputs), how, extras);
    return 0;
}

void add_options(CLI::App& cmd, ConvertOptions& o) {
    cmd.add_option("FILES", o.files,
                   "IN... OUT: the images to read, one behind the other, and the one to write");
    o.input.add_to(cmd, false);
    cmd.add_option("-O", o.output_format, "format to write: raw (default), qcow, qcow2, vpc, vhdx")
        ->transform(format_name())
        ->type_name("FMT");
    cmd.add_flag("-c", o.compressed, "compress clusters (qcow, qcow2)");
    cmd.add_option("-o", o.creation,
                   "how OUT is made: cluster_size=, compression_type= ...; -o help lists all")
        ->type_name("NAME=VALUE,...")
        ->check(not_empty("-o: the list of options is empty"))
        ->take_all()
        ->allow_extra_args(false);
    cmd.add_option("-B,-b", o.backing_file,
                   "give OUT this backing file, and write only what differs from it")
        ->check(not_empty("Expected backing file name, got empty string"))
        ->type_name("FILE");
    cmd.add_option("-F", o.backing_format, "format of that backing file")
        ->transform(format_name())
        ->type_name("FMT");
    cmd.add_option("-l", o.snapshot,
                   "convert an internal snapshot: its id or name, or snapshot.id=ID, "
                   "snapshot.name=NAME")
        ->check(not_empty("can't find snapshot ''"))
        ->type_name("SNAPSHOT");
    cmd.add_option("-S", o.sparse,
                   "leave holes for zeros of this many bytes or more (default 4k); 0: write all")
        ->type_name("SIZE");
    cmd.add_option("-m", o.workers, "threads, 1 to 16 (default: by processors, at most 9)")
        ->check(CLI::Range(1, 16))
        ->type_name("N");
    cmd.add_option("-t", o.cache,
                   "how safe OUT is at the end: unsafe (default) or, after a flush to disk, none, "
                   "writeback, writethrough, directsync")
        ->type_name("CACHE");
    cmd.add_option("-T", o.source_cache, "checked and ignored")->type_name("CACHE");
    cmd.add_flag("-n", o.no_create, "write into OUT as it is, an image or device of enough size");
    cmd.add_flag("--target-is-zero", o.target_is_zero, "with -n: OUT is known to be all zeros");
    cmd.add_flag("--bitmaps", o.bitmaps, "copy the bitmaps of IN, too (qcow2 to qcow2)");
    cmd.add_flag("--skip-broken-bitmaps", o.skip_broken_bitmaps,
                 "leave out those that were not saved cleanly");
    cmd.add_flag("--salvage", o.salvage, "what cannot be read becomes zeros, with a warning");
    cmd.add_flag("-p", o.progress, "show how far it is");
    cmd.add_flag("-q", o.quiet, "show nothing but errors");
    cmd.add_flag("-W", o.any_order, "clusters may stand in any order in OUT");
}

}  // namespace

void add_convert(CLI::App& app, Command& run) {
    auto options = std::make_shared<ConvertOptions>();
    CLI::App* cmd = app.add_subcommand(
        "convert", "Writes the disk an image shows, with all its backing files, as a new image.");
    add_options(*cmd, *options);
    cmd->footer(
        "OUT appears under its name when it is complete: until then it is .OUT.XXXXXX in the same\n"
        "folder, which is removed if anything fails. Block devices, and files with -n, are\n"
        "written in place, with holes for zeros where that is possible. A file that belongs to IN\n"
        "is never written. Zeros take no clusters of OUT.\n\n"
        "Examples:\n"
        "  vdisk convert -p -O raw disk.qcow2 disk.raw\n"
        "  vdisk convert -c -O qcow2 disk.raw disk.qcow2\n"
        "  vdisk convert -O qcow2 -B base.qcow2 -F qcow2 disk.qcow2 overlay.qcow2\n"
        "  vdisk convert -l before-update disk.qcow2 old.raw\n"
        "  vdisk convert -n -t none disk.qcow2 /dev/sdx\n\n"
        "Exit codes: 0 done, 1 failed, 128 + N ended by signal N.");
    cmd->callback([options, &run] { run = [options] { return convert(*options); }; });
}

}  // namespace tool
