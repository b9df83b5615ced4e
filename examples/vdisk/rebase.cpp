// SPDX-License-Identifier: BSL-1.0
// vdisk rebase: another backing file, and the same disk.
#include <cstring>
#include <memory>

#include <vdisk/core/zero.hpp>
#include <vdisk/format/qcow2/amend.hpp>
#include <vdisk/io/runs.hpp>

#include "closed.hpp"
#include "interrupt.hpp"
#include "operations.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "source.hpp"

namespace tool {

using namespace vdisk;

namespace {

constexpr size_t rebase_bytes = size_t{1} << 20;

struct RebaseOptions {
    Input input;
    std::optional<std::string> backing_file;
    std::string backing_format;
    std::string ignored;
    bool unsafe = false;
    bool progress = false;
    bool quiet = false;
};

/// Writes into the top image what it has from below and would not have from the new backing file.
class Rebase {
public:
    /// `after`: the new backing file, or nothing.
    Rebase(const RebaseOptions& options, WritableDisk& disk, std::optional<Disk> after)
        : options_(options), disk_(disk), after_(std::move(after)) {
        for (auto* buffer : {&before_, &new_, &scratch_}) {
            if (!buffer->reserve(rebase_bytes)) throw Failure{"no memory"};
        }
        if (after_ && disk_.parents()) find_common();
    }

    void run() {
        Progress progress(options_.progress && !options_.quiet, 1);
        const uint64_t size = disk_.size();
        // Whole clusters: the writer fills what is left of one from below.
        for (uint64_t at = 0; at < size;) {
            check_interrupt();
            progress.at(at, size);
            const auto extent = disk_.survey(at, std::min<uint64_t>(size - at, window));
            if (!extent) throw failure(options_.input.file, extent.error());
            const bool from_below = extent->depth > 0 || extent->kind == Kind::absent;
            const bool same = from_below && extent->depth >= common_;
            if (from_below && !same && !both_empty(at, *extent)) copy(at, extent->length);
            at += extent->length;
        }
        progress.at(size, size);
    }

private:
    static constexpr uint64_t window = uint64_t{1} << 30;

    // The layer that the new backing file is, too.
    void find_common() {
        const auto layers = disk_.parents()->layers();
        const auto& base = after_->layers()[0];
        for (uint32_t i = 0; i < layers.size(); ++i) {
            const bool same =
                layers[i].origin == base.origin && layers[i].image.format() == base.image.format();
            if (!same) continue;
            common_ = i + 1;
            return;
        }
    }

    bool both_empty(uint64_t at, const Extent& extent) {
        if (extent.kind != Kind::zero && extent.kind != Kind::absent) return false;
        if (!after_ || at >= after_->size()) return true;
        if (extent.length > after_->size() - at) return false;
        const auto after = after_->survey(at, extent.length);
        if (!after) throw failure(*options_.backing_file, after.error());
        return after->length == extent.length &&
               (after->kind == Kind::zero || after->kind == Kind::absent);
    }

    void copy(uint64_t at, uint64_t length) {
        while (length > 0) {
            check_interrupt();
            const size_t n = static_cast<size_t>(std::min<uint64_t>(length, rebase_bytes));
            const MutBytes before = before_.bytes().first(n);
            const MutBytes after = new_.bytes().first(n);
            Status got = disk_.read_below(at, before);
            if (!got) throw failure(options_.input.file, got.error());
            got = after_ ? after_->read_from(0, at, after) : Zeros{}(at, after);
            if (!got) throw failure(*options_.backing_file, got.error());
            write_changed(at, before, after);
            at += n;
            length -= n;
        }
    }

    // In pieces of a cluster, neighbours together.
    void write_changed(uint64_t at, Bytes before, Bytes after) {
        const size_t unit =
            static_cast<size_t>(std::min<uint64_t>(disk_.top().block_size(), 65536));
        size_t start = 0;
        for (size_t here = 0; here < before.size();) {
            const size_t edge = unit - (at + here) % unit;
            const size_t n = std::min(edge, before.size() - here);
            if (std::memcmp(before.data() + here, after.data() + here, n) == 0) {
                put(at + start, before.subspan(start, here - start));
                start = here + n;
            }
            here += n;
        }
        put(at + start, before.subspan(start));
    }

    void put(uint64_t at, Bytes in) {
        if (in.empty()) return;
        // An image that stands alone shows zeros where it has nothing. It will not any more.
        const Status done = disk_.parents() && is_zero(in)
                                ? zero(disk_, at, in.size(), scratch_.bytes())
                                : write(disk_, at, in, scratch_.bytes());
        if (!done) throw failure(options_.input.file, done.error());
    }

    const RebaseOptions& options_;
    WritableDisk& disk_;
    std::optional<Disk> after_;
    uint32_t common_ = ~uint32_t{0};
    Buffer<Heap> before_, new_, scratch_;
};

void check(const RebaseOptions& options) {
    if (!options.backing_file && !options.unsafe) {
        throw Failure{"Must specify backing file (-b) or use unsafe mode (-u)"};
    }
    if (options.backing_file && !options.backing_file->empty() && options.backing_format.empty()) {
        throw Failure{"Could not change the backing file to '" + *options.backing_file +
                      "': backing format must be specified"};
    }
}

/// Brings the top image to the state in which the new backing file fits.
void copy_differences(const RebaseOptions& options, Top& top) {
    WritableDisk disk = open_writable_layers(top, options.input);
    std::optional<Disk> after;
    if (!options.backing_file->empty()) {
        const auto itself = open_file(resolve(*options.backing_file, top.file.origin.path));
        if (itself && itself->origin == top.file.origin) {
            throw Failure{options.input.file + ": cannot be its own backing file"};
        }
        auto opened = open_backing(top.file.origin.path, *options.backing_file,
                                   options.backing_format, options.input);
        refuse_if_read_by(opened[0], top.file.origin.identity, options.input.file);
        after.emplace(std::move(opened[0]));
    }
    Rebase(options, disk, std::move(after)).run();
    const Status closed = disk.top().close();
    if (!closed) throw failure(options.input.file, closed.error());
    top.file.storage = disk.top().file();  // it knows the size
}

int rebase(const RebaseOptions& options) {
    check(options);
    Top top = open_closed_for_writing(options.input);
    const std::string name = options.backing_file.value_or("");
    const Operations* const operations = operations_of(top);
    if (operations != nullptr) {
        check_parent(top, *operations, name, options.backing_format);
    } else if (!is_qcow2(top)) {
        throw Failure{options.input.file + ": Could not change the backing file to '" + name +
                      "': Operation not supported"};
    }
    catch_interrupts();
    if (!options.unsafe) copy_differences(options, top);
    if (operations != nullptr) {
        set_parent(top, *operations, options.input, name);
        return 0;
    }
    const Status changed =
        qcow2::set_backing(top.file.storage, name, options.backing_format, Heap{});
    if (!changed) throw failure(options.input.file, changed.error());
    return 0;
}

}  // namespace

void add_rebase(CLI::App& app, Command& run) {
    auto options = std::make_shared<RebaseOptions>();
    CLI::App* cmd = app.add_subcommand(
        "rebase", "Gives an image another backing file. The disk it shows stays the same.");
    options->input.add_to(*cmd);
    cmd->add_option("-b", options->backing_file,
                    "the new backing file; '': none, the image stands alone")
        ->type_name("FILE");
    cmd->add_option("-F", options->backing_format, "format of the new backing file")
        ->transform(format_name())
        ->type_name("FMT");
    cmd->add_flag("-u", options->unsafe,
                  "change the name only, without a look at either backing file");
    cmd->add_flag("-p", options->progress, "show how far it is");
    cmd->add_flag("-q", options->quiet, "show nothing but errors");
    for (const char* cache : {"-t", "-T"}) {
        cmd->add_option(cache, options->ignored, "accepted and ignored")->type_name("CACHE");
    }
    cmd->footer(
        "What the disk shows and the new backing file does not is written into the image first.\n"
        "-u is for a backing file that was moved or renamed, or holds the same disk: otherwise "
        "the\n"
        "disk changes. VHD and VHDX images know their parent by an id, too: it is taken from the\n"
        "new one.\n\n"
        "Examples:\n"
        "  vdisk rebase -b base.qcow2 -F qcow2 overlay.qcow2\n"
        "  vdisk rebase -b '' overlay.qcow2\n"
        "  vdisk rebase -u -b moved.qcow2 -F qcow2 overlay.qcow2\n\n"
        "Exit codes: 0 done, 1 failed, 128 + N ended by signal N.");
    cmd->callback([options, &run] { run = [options] { return rebase(*options); }; });
}

}  // namespace tool
