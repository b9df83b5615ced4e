// SPDX-License-Identifier: BSL-1.0
// vdisk compact: gives back what an image file has room for and does not need.
#include <cinttypes>
#include <cstdio>
#include <memory>

#include "interrupt.hpp"
#include "operations.hpp"
#include "progress.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct CompactOptions {
    Input input;
    bool keep = false;
    bool progress = false;
    bool quiet = false;
};

/// Two passes over the blocks; ends when a signal comes.
class Steps {
public:
    Steps(Progress& shown, uint64_t blocks) : shown_(shown), blocks_(blocks) {}

    vdisk::Status operator()(uint64_t block) {
        if (interrupted() != 0) return fail(Errc::io, "interrupted");
        if (block < last_) pass_ = 1;
        last_ = block;
        const uint64_t done = std::min(block, blocks_) + pass_ * blocks_;
        shown_.at(std::max(done, done_), 2 * blocks_);
        done_ = std::max(done, done_);
        return {};
    }

private:
    Progress& shown_;
    uint64_t blocks_;
    uint64_t last_ = 0, pass_ = 0, done_ = 0;
};

int compact(const CompactOptions& options) {
    Top top = open_closed_for_writing(options.input);
    const std::string& path = top.file.origin.path;
    const Operations* const operations = operations_of(top);
    if (operations == nullptr) {
        throw Failure{path + ": " + top.format +
                      " images are not compacted in place (convert makes a small copy)"};
    }
    if (facts_of(top).is_fixed) {
        throw Failure{path + ": a fixed disk holds all it has, there is nothing to compact"};
    }
    const Disk disk = open_layers(top, options.input, {});
    const auto blocks = operations->count_blocks(top.file.storage);
    if (!blocks) throw failure(path, blocks.error());
    const uint64_t before = top.file.storage.size();
    catch_interrupts();
    Progress progress(options.progress && !options.quiet, 1);
    Steps steps(progress, *blocks);
    ReadBelow below;
    if (!options.keep) {
        below = [&](uint64_t at, MutBytes out) { return disk.read_from(1, at, out); };
    }
    const auto done =
        operations->compact(top.file.storage, below, [&](uint64_t block) { return steps(block); });
    check_interrupt();
    if (!done) throw failure(path, done.error());
    progress.at(1, 1);
    if (options.quiet) return 0;
    std::printf("Image compacted: %" PRIu64 " of %" PRIu64 " blocks given up, %s less.\n",
                done->dropped, *blocks,
                text::human_size(before - std::min(before, top.file.storage.size())).c_str());
    return 0;
}

}  // namespace

void add_compact(CLI::App& app, Command& run) {
    auto options = std::make_shared<CompactOptions>();
    CLI::App* cmd = app.add_subcommand(
        "compact",
        "Makes the file of a dynamic or differencing VHD or VHDX image as small as it\ncan be.");
    options->input.add_to(*cmd);
    cmd->add_flag("-k,--keep", options->keep, "close gaps only: no block goes");
    cmd->add_flag("-p", options->progress, "show how far it is");
    cmd->add_flag("-q", options->quiet, "show nothing but errors");
    cmd->footer(
        "Blocks go that are all zeros, or in a differencing image the same as in its parent; the\n"
        "last ones move into the holes, and the end is cut off. What the disk shows stays the "
        "same\n"
        "at every moment: after a power cut or Ctrl-C the rest is done by another call.\n\n"
        "Example:\n"
        "  vdisk compact -p disk.vhdx\n\n"
        "Exit codes: 0 done, 1 failed, 128 + N ended by signal N.");
    cmd->callback([options, &run] { run = [options] { return compact(*options); }; });
}

}  // namespace tool
