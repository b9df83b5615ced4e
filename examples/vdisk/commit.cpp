// SPDX-License-Identifier: BSL-1.0
// vdisk commit: what an image holds goes into the file it stands on.
#include <algorithm>
#include <cstdio>
#include <memory>

#include <vdisk/format/qcow2/resize.hpp>

#include "closed.hpp"
#include "interrupt.hpp"
#include "kept_link.hpp"
#include "operations.hpp"
#include "progress.hpp"

namespace tool {

using namespace vdisk;

namespace {

constexpr size_t commit_bytes = size_t{1} << 20;

struct CommitOptions {
    Input input;
    std::string base;
    std::string ignored;
    bool keep = false;  ///< -d: the image is not emptied
    bool progress = false;
    bool quiet = false;
};

/// The layer that goes by this name.
uint32_t find_base(const CommitOptions& options, const Disk& disk) {
    const auto layers = disk.layers();
    if (layers.size() < 2) throw Failure{"Image does not have a backing file"};
    if (options.base.empty()) return 1;
    const auto file = open_file(options.base);
    const auto beside = open_file(resolve(options.base, options.input.file));
    for (uint32_t i = 1; i < layers.size(); ++i) {
        for (const auto& named : {file, beside}) {
            if (named && named->origin == layers[i].origin) return i;
        }
    }
    throw Failure{"Did not find '" + options.base + "' in the backing chain of '" +
                  options.input.file + "'"};
}

/// Makes the disk of the base, which is open for writing, at least as large as `size`.
void grow_base(Top& base, const Input& input, const Disk& disk, uint32_t depth,
               const Guid& identity) {
    const uint64_t size = disk.size();
    const auto& layer = disk.layers()[depth];
    if (layer.image.size() >= size) return;
    if (const Operations* const operations = operations_of(base)) {
        const auto none = qcow2::Preallocation::off;
        return resize_with(base, *operations, input, size, none, identity);
    }
    Status grown = unsupported("this format cannot be resized");
    if (base.format == Raw::name) {
        grown = base.file.storage.resize(size);
    } else if (base.format == Qcow2::name) {
        const bool has_backing = depth + 1 < disk.layers().size();
        const uint64_t below = has_backing ? disk.layers()[depth + 1].image.size() : 0;
        const auto guest = [&](uint64_t at, MutBytes out) {
            return disk.read_from(depth, at, out);
        };
        grown = qcow2::grow(base.file.storage, size, below, Heap{}, guest);
    }
    if (!grown) throw failure(base.file.origin.path, grown.error());
}

/// Writes what the layers of `disk`, those above the base, hold.
void copy_down(const CommitOptions& options, const Disk& disk, WritableDisk& base) {
    Buffer<Heap> data;
    Buffer<Heap> scratch;
    if (!data.reserve(commit_bytes) || !scratch.reserve(commit_bytes)) throw Failure{"no memory"};
    Progress progress(options.progress && !options.quiet, 1);
    const Status walked =
        walk(disk, 0, disk.size(), [&](uint64_t at, const Extent& extent) -> Status {
            check_interrupt();
            progress.at(at, disk.size());
            if (extent.kind == Kind::absent) return {};
            if (extent.kind == Kind::zero) {
                const Status put = zero(base, at, extent.length, scratch.bytes());
                if (!put) throw failure(base.origin().path, put.error());
                return {};
            }
            for (uint64_t done = 0; done < extent.length;) {
                check_interrupt();
                const uint64_t n = std::min<uint64_t>(extent.length - done, commit_bytes);
                const MutBytes piece = data.bytes().first(static_cast<size_t>(n));
                if (Status got = read(disk, at + done, piece); !got) return got;
                const Status put = write(base, at + done, piece, scratch.bytes());
                if (!put) throw failure(base.origin().path, put.error());
                done += n;
            }
            return {};
        });
    if (!walked) throw failure(options.input.file, walked.error());
    progress.at(disk.size(), disk.size());
    if (const Status closed = base.top().close(); !closed) {
        throw failure(base.origin().path, closed.error());
    }
}

/// A qcow image without entries: nothing leads to what lies behind the L1 table.
Status empty_qcow(Storage& file) {
    const auto header = load<qcow::Header>(file, 0);
    if (!header) return header.error();
    const auto layout = qcow::check(*header, file.size());
    if (!layout) return layout.error();
    constexpr std::array<byte, 4096> zeros{};
    const uint64_t end = layout->l1_at + layout->l1_entries * 8;
    for (uint64_t at = layout->l1_at; at < end;) {
        const auto n = static_cast<size_t>(std::min<uint64_t>(end - at, zeros.size()));
        if (Status put = file.write(at, Bytes(zeros).first(n)); !put) return put;
        at += n;
    }
    if (Status durable = file.flush(); !durable) return durable;
    return file.resize(end);
}

Status empty_top(Top& top, const Input& input) {
    if (top.format == Qcow::name) return empty_qcow(top.file.storage);
    {
        WritableDisk disk = open_writable_layers(top, input);
        keep_identity(disk, disk.top().identity());  // it shows the same as before
        for (uint64_t at = 0; at < disk.size();) {
            const auto done = disk.top().drop(at, disk.size() - at);
            if (!done) return done.error();
            at += *done;
        }
        if (Status closed = disk.top().close(); !closed) return closed;
        top.file.storage = disk.top().file();  // it knows the size
    }
    const Operations* const operations = operations_of(top);
    if (operations == nullptr) return {};
    // No block is left, and none is looked at.
    const auto below = [](uint64_t, MutBytes) -> Status {
        return invalid("commit: the image is not empty");
    };
    const auto packed = operations->compact(top.file.storage, below, NoProgress{});
    return packed ? Status{} : Status(packed.error());
}

/// A layer of the disk, to be written.
Top open_layer(const Disk& disk, uint32_t depth, Input input) {
    input.file = disk.layers()[depth].origin.path;
    input.format = disk.layers()[depth].image.format();
    return open_top_for_writing(input);
}

int commit(const CommitOptions& options) {
    Top reading = open_top(options.input);
    Disk disk = open_layers(reading, options.input, {});
    const uint32_t depth = find_base(options, disk);
    // The rules are those of the image: its folder is what counts.
    Top top = open_top_for_writing(options.input);
    std::optional<Top> between;
    if (depth > 1) between = open_layer(disk, depth - 1, options.input);
    catch_interrupts();
    {
        Top base = open_layer(disk, depth, options.input);  // locked up to the end of this block
        base.gate = top.gate;
        KeptLink link(between ? *between : top, disk.layers()[depth].image);
        grow_base(base, options.input, disk, depth, link.next());
        {
            WritableDisk target = open_writable_layers(base, options.input);
            keep_identity(target, link.next());
            disk.keep_first(depth);  // the base changes: what was read of it does not hold any more
            copy_down(options, disk, target);
        }
        link.settle();
    }
    // Above another base than the next one, the images between are void: nothing is emptied.
    if (!options.keep && options.base.empty()) {
        const Status emptied = empty_top(top, options.input);
        if (!emptied) throw failure(options.input.file, emptied.error());
    }
    if (!options.quiet) std::puts("Image committed.");
    return 0;
}

}  // namespace

void add_commit(CLI::App& app, Command& run) {
    auto options = std::make_shared<CommitOptions>();
    CLI::App* cmd = app.add_subcommand(
        "commit", "Writes what an image holds into its backing file, and empties the image.");
    options->input.add_to(*cmd);
    cmd->add_option("-b", options->base,
                    "write into this file of the chain instead; the image is not emptied")
        ->check(not_empty("-b: the name of the base is missing"))
        ->type_name("BASE");
    cmd->add_flag("-d", options->keep, "do not empty the image");
    cmd->add_flag("-p", options->progress, "show how far it is");
    cmd->add_flag("-q", options->quiet, "show nothing but errors");
    cmd->add_option("-t", options->ignored, "accepted and ignored")->type_name("CACHE");
    cmd->footer(
        "A backing file that is shorter than the image is made longer. With -b, the images "
        "between\n"
        "the two show something else afterwards, and should not be used any more.\n\n"
        "Examples:\n"
        "  vdisk commit overlay.qcow2\n"
        "  vdisk commit -d -b base.qcow2 top.qcow2\n\n"
        "Exit codes: 0 done, 1 failed, 128 + N ended by signal N.");
    cmd->callback([options, &run] { run = [options] { return commit(*options); }; });
}

}  // namespace tool
