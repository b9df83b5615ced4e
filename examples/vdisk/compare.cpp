// SPDX-License-Identifier: BSL-1.0
// vdisk compare: do two images show the same disk?
#include <algorithm>
#include <cstdio>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/io/compare.hpp>

#include "interrupt.hpp"
#include "stripes.hpp"

namespace tool {

using namespace vdisk;

namespace {

constexpr int differs = 1, cannot_open = 2, cannot_look_up = 3, cannot_read = 4;

struct CompareOptions {
    Input left;
    Input right;
    std::string cache = "writeback";
    bool strict = false;
    bool progress = false;
    bool quiet = false;
};

struct Difference {
    uint64_t at = 0;
    bool is_status = false;  ///< strict mode: stored on one side, and not in that way on the other
};

class Comparison {
public:
    Comparison(const CompareOptions& options, unsigned workers)
        : options_(options),
          lefts_(open_disks(options.left, workers + 1, memory_budget / 2)),
          rights_(open_disks(options.right, workers + 1, memory_budget / 2)),
          buffers_(std::min(lefts_.size(), rights_.size()) - 1) {
        for (auto& buffer : buffers_) {
            if (!buffer.reserve(size_t{512} << 10)) throw Failure{"no memory", cannot_read};
        }
    }

    [[nodiscard]] uint64_t left_size() const { return lefts_.front().size(); }
    [[nodiscard]] uint64_t right_size() const { return rights_.front().size(); }

    /// The first difference in [at, end).
    std::optional<Difference> run(uint64_t at, uint64_t end, Progress& progress) {
        // Strict mode goes by runs, also where both sides are empty.
        Stripes stripes({&lefts_[0], &rights_[0]}, at, end,
                        {.skip_empty = !options_.strict, .progress = &progress});
        const auto workers = static_cast<unsigned>(buffers_.size());
        const Status done = work_through(stripes, workers, [&](unsigned worker, const Stripe& s) {
            Status compared = options_.strict ? look_strictly(worker, s) : look(worker, s);
            // Stripes are handed out in order: those before this one are finished by others.
            if (note_end(compared, s)) stripes.stop();
            return compared;
        });
        check_interrupt();
        // A difference that stands before the fault is the answer. Without a failed stripe it was
        // the look-ahead that failed, behind all that was compared.
        if (!done && !(first_ && (!failed_ || first_->at < failed_->at))) {
            blame(failed_.value_or(Stripe{.at = at, .length = end - at}), done.error());
        }
        return first_;
    }

private:
    Status look(unsigned worker, const Stripe& s) {
        const View left(lefts_[worker + 1], s.kinds[0]);
        const View right(rights_[worker + 1], s.kinds[1]);
        const auto found = compare(left, right, s.at, s.length, buffers_[worker].bytes());
        if (!found) return found.error();
        if (*found) note({.at = **found});
        return {};
    }

    Status look_strictly(unsigned worker, const Stripe& s) {
        const View left(lefts_[worker + 1], s.kinds[0]);
        const View right(rights_[worker + 1], s.kinds[1]);
        const MutBytes buffer = buffers_[worker].bytes();
        Runs l(left, s.at, s.at + s.length, s.length);
        Runs r(right, s.at, s.at + s.length, s.length);
        while (!l.done()) {
            const auto a = l.here();
            if (!a) return a.error();
            const auto b = r.here();
            if (!b) return b.error();
            if (a->kind != b->kind) {
                note({.at = l.at(), .is_status = true});
                return {};
            }
            const uint64_t length = std::min(a->length, b->length);
            const auto found = compare(View(left.disk(), a->kind), View(right.disk(), b->kind),
                                       l.at(), length, buffer);
            if (!found) return found.error();
            if (*found) {
                note({.at = **found});
                return {};
            }
            l.advance(length);
            r.advance(length);
        }
        return {};
    }

    void note(Difference found) {
        const std::lock_guard lock(mutex_);
        if (!first_ || found.at < first_->at) first_ = found;
    }

    /// True if there is nothing more to find.
    bool note_end(const Status& compared, const Stripe& stripe) {
        const std::lock_guard lock(mutex_);
        if (!compared && (!failed_ || stripe.at < failed_->at)) failed_ = stripe;
        return !compared || first_;
    }

    /// Finds out which side failed, and at what; throws.
    [[noreturn]] void blame(const Stripe& stripe, const Error& error) {
        const auto fault = [&](const Disk& disk) -> std::optional<int> {
            const uint64_t at = std::min(stripe.at, disk.size());
            const uint64_t end = std::min(stripe.at + stripe.length, disk.size());
            const auto pass = [](uint64_t, const Extent&) { return Status{}; };
            if (!walk(disk, at, end - at, pass)) return cannot_look_up;
            const MutBytes buffer = buffers_.front().bytes();
            for (uint64_t from = at; from < end;) {
                const auto length =
                    static_cast<size_t>(std::min<uint64_t>(buffer.size(), end - from));
                if (!read(disk, from, buffer.first(length))) return cannot_read;
                from += length;
            }
            return std::nullopt;
        };
        if (const auto code = fault(lefts_[0])) throw failure(options_.left.file, error, *code);
        throw failure(options_.right.file, error, fault(rights_[0]).value_or(cannot_read));
    }

    const CompareOptions& options_;
    std::vector<Disk> lefts_;
    std::vector<Disk> rights_;
    std::vector<Buffer<Heap>> buffers_;
    std::mutex mutex_;
    std::optional<Difference> first_;
    std::optional<Stripe> failed_;
};

// Everything but errors is said on standard output, as qemu-img does; offsets name the sector.
int answer(const CompareOptions& options, const Difference& found) {
    if (options.quiet) return differs;
    if (found.is_status) {
        std::printf("Strict mode: Offset %llu block status mismatch!\n",
                    static_cast<unsigned long long>(found.at));
    } else {
        std::printf("Content mismatch at offset %llu!\n",
                    static_cast<unsigned long long>(align_down(found.at, 9)));
    }
    return differs;
}

int compare_disks(const CompareOptions& options) {
    constexpr std::array known = {"none",         "off",        "writeback",
                                  "writethrough", "directsync", "unsafe"};
    if (std::find(known.begin(), known.end(), options.cache) == known.end()) {
        throw Failure{"Invalid source cache option: " + options.cache, cannot_open};
    }
    Comparison comparison(options, default_workers());
    const uint64_t shorter = std::min(comparison.left_size(), comparison.right_size());
    const uint64_t longer = std::max(comparison.left_size(), comparison.right_size());
    if (options.strict && shorter != longer) {
        if (!options.quiet) std::puts("Strict mode: Image size mismatch!");
        return differs;
    }
    catch_interrupts();
    Progress progress(options.progress && !options.quiet, 2);
    if (const auto found = comparison.run(0, shorter, progress)) return answer(options, *found);
    if (shorter != longer) {
        if (!options.quiet) std::puts("Warning: Image size mismatch!");
        const auto found = comparison.run(shorter, longer, progress);
        if (found) return answer(options, *found);
    }
    if (!options.quiet) std::puts("Images are identical.");
    return 0;
}

}  // namespace

void add_compare(CLI::App& app, Command& run) {
    auto options = std::make_shared<CompareOptions>();
    options->left.exit_code = options->right.exit_code = cannot_open;
    CLI::App* cmd = app.add_subcommand("compare", "Tells whether two images show the same disk.");
    cmd->add_option("A", options->left.file, "one image")->required();
    cmd->add_option("B", options->right.file, "the other; may be of another format")->required();
    options->left.add_to(*cmd, false);
    cmd->add_option("-F", options->right.format, "format of B (default: found by looking)")
        ->transform(format_name(cannot_open))
        ->type_name("FMT");
    cmd->add_flag("-s", options->strict,
                  "also compare the sizes of the disks, and what is stored, empty or zero");
    cmd->add_option("-T", options->cache, "checked and ignored")->type_name("CACHE");
    cmd->add_flag("-p", options->progress, "show how far it is");
    cmd->add_flag("-q", options->quiet, "say nothing, only exit");
    cmd->footer(
        "Without -s, a disk that is longer and ends in zeros counts as identical. The offset of a\n"
        "mismatch is that of the first sector (512 bytes) that differs.\n\n"
        "Example:\n"
        "  vdisk compare -q disk.qcow2 disk.raw && echo the same\n\n"
        "Exit codes: 0 identical, 1 different (or a wrong command line), 2 an image cannot be\n"
        "opened, 3 its tables are broken, 4 it cannot be read.");
    cmd->callback([options, &run] {
        options->right.shared = options->left.shared;
        options->right.backing_format = options->left.backing_format;
        options->right.any_parent = options->left.any_parent;
        run = [options] { return compare_disks(*options); };
    });
}

}  // namespace tool
