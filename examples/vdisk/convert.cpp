// SPDX-License-Identifier: BSL-1.0
// vdisk convert: any image to a raw one.
#include <algorithm>
#include <array>

#include "copier.hpp"
#include "interrupt.hpp"
#include "stripes.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct Options {
    Input input;
    std::string output;
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
    bool ignored = false;
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

/// The id of the snapshot that "snapshot.id=1,snapshot.name=x" means: either may be left out.
std::string find_snapshot_id(const Input& input, std::string_view wanted) {
    std::optional<std::string> id;
    std::optional<std::string> name;
    while (!wanted.empty()) {
        const std::string_view part = wanted.substr(0, wanted.find(','));
        if (part.starts_with("snapshot.id=")) id = part.substr(12);
        else if (part.starts_with("snapshot.name=")) name = part.substr(14);
        else throw Failure{"Invalid snapshot option: " + std::string(part)};
        wanted.remove_prefix(std::min(part.size() + 1, wanted.size()));
    }
    std::optional<std::string> found;
    const AnyImage image = open_image(input);
    const Status walked = image.visit([&](const auto& i) -> Status {
        if constexpr (requires { i.layout().snapshots; }) {
            return qcow2::each_snapshot(i.file(), i.layout(), [&](const qcow2::Snapshot& s) {
                const std::string its_id = text_in(image, s.id);
                const bool fits =
                    (!id || *id == its_id) && (!name || *name == text_in(image, s.name));
                if (fits && !found) found = its_id;
                return Status{};
            });
        } else {
            return fail(Errc::not_found, "open: this format has no internal snapshots");
        }
    });
    if (!walked) throw failure(input.file, walked.error());
    if (!found) throw failure(input.file, fail(Errc::not_found, "qcow2: no such snapshot"));
    return *found;
}

void check(const Options& options) {
    check_format_name(options.output_format);
    if (options.output_format != "raw") {
        throw Failure{"writing " + options.output_format +
                      " is not supported: -O raw is what this version writes"};
    }
    if (options.compressed) throw Failure{"-c: a raw image cannot be compressed"};
    if (options.target_is_zero && !options.no_create) {
        throw Failure{"--target-is-zero requires use of -n flag"};
    }
    check_cache(options.cache, "cache");
    check_cache(options.source_cache, "source cache");
}

int convert(Options options) {
    check(options);
    const uint32_t sparse = sparse_of(options.sparse);
    if (options.snapshot.starts_with("snapshot.")) {
        options.input.snapshot = find_snapshot_id(options.input, options.snapshot);
    } else {
        options.input.snapshot = options.snapshot;
    }
    const unsigned workers = options.workers != 0 ? options.workers : default_workers();
    const auto disks = open_disks(options.input, workers + 1);
    Output output(options.output,
                  {.existing = options.no_create, .durable = options.cache != "unsafe"});
    output.refuse_if_read_by(disks[0]);

    catch_interrupts();
    const uint64_t size = disks[0].size();
    output.open(size);
    {
        Progress progress(options.progress && !options.quiet, 1);
        const bool blank = sparse != 0 && (options.target_is_zero || output.clear(size));
        copy_disk(disks, options.input.file, output,
                  {.length = size,
                   .options = {.sparse = sparse, .target_is_zero = blank},
                   .progress = &progress});
    }
    output.commit();
    return 0;
}

void add_options(CLI::App& cmd, Options& o) {
    cmd.add_option("IN", o.input.file, "the image to read")->required();
    cmd.add_option("OUT", o.output, "the raw image to write: a file or a block device")->required();
    o.input.add_to(cmd, false);
    cmd.add_option("-O", o.output_format, "format to write: raw (default)")->type_name("FMT");
    cmd.add_option("-l", o.snapshot,
                   "convert an internal snapshot: its id or name, or snapshot.id=ID, "
                   "snapshot.name=NAME")
        ->check(not_empty("can't find snapshot ''"))
        ->type_name("SNAPSHOT");
    cmd.add_option("-S", o.sparse,
                   "leave holes for zeros of this many bytes or more (default 4k); 0: write all")
        ->type_name("SIZE");
    cmd.add_option("-m", o.workers, "threads, 1 to 16 (default: one per processor, at most 8)")
        ->check(CLI::Range(1, 16))
        ->type_name("N");
    cmd.add_option("-t", o.cache,
                   "how safe OUT is at the end: unsafe (default) or, after a flush to disk, none, "
                   "writeback, writethrough, directsync")
        ->type_name("CACHE");
    cmd.add_option("-T", o.source_cache, "checked and ignored")->type_name("CACHE");
    cmd.add_flag("-n", o.no_create, "write into OUT as it is, a file or device of enough size");
    cmd.add_flag("--target-is-zero", o.target_is_zero, "with -n: OUT is known to be all zeros");
    cmd.add_flag("-p", o.progress, "show how far it is");
    cmd.add_flag("-q", o.quiet, "show nothing but errors");
    cmd.add_flag("-W", o.ignored, "accepted and ignored: the order of writes is free");
    cmd.add_flag("-c", o.compressed)->group("");
}

}  // namespace

void add_convert(CLI::App& app, Command& run) {
    auto options = std::make_shared<Options>();
    CLI::App* cmd = app.add_subcommand(
        "convert", "Writes the disk an image shows, with all its backing files, as a raw image.");
    add_options(*cmd, *options);
    cmd->footer(
        "OUT appears under its name when it is complete: until then it is .OUT.XXXXXX in the same\n"
        "folder, which is removed if anything fails. Block devices, and files with -n, are\n"
        "written in place, with holes for zeros where that is possible. A file that belongs to IN\n"
        "is never written.\n\n"
        "Examples:\n"
        "  vdisk convert -p -O raw disk.qcow2 disk.raw\n"
        "  vdisk convert -l before-update disk.qcow2 old.raw\n"
        "  vdisk convert -n -t none disk.qcow2 /dev/sdx\n\n"
        "Exit codes: 0 done, 1 failed, 128 + N ended by signal N.");
    cmd->callback([options, &run] { run = [options] { return convert(*options); }; });
}

}  // namespace tool
