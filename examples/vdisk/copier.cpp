// SPDX-License-Identifier: BSL-1.0
#include "copier.hpp"

#include <atomic>

#include <vdisk/allocation/heap.hpp>

#include "interrupt.hpp"
#include "stripes.hpp"

namespace tool {

using namespace vdisk;

namespace {

/// Stays in the second-level cache between read and write, and is some blocks long.
constexpr size_t buffer_bytes = size_t{256} << 10;

/// The output, moved down by `shift`, which wraps where it is moved up. It remembers whether the
/// output is to blame for a failure.
class Target {
public:
    Target(Storage storage, uint64_t shift, std::atomic<bool>& failed)
        : storage_(std::move(storage)), shift_(shift), failed_(&failed) {}

    [[nodiscard]] uint64_t size() const { return storage_.size() + shift_; }
    Status read(uint64_t at, MutBytes out) const { return storage_.read(at - shift_, out); }
    Status write(uint64_t at, Bytes in) { return note(storage_.write(at - shift_, in)); }
    Status resize(uint64_t size) { return note(storage_.resize(size - shift_)); }
    Status flush() { return note(storage_.flush()); }

private:
    Status note(Status status) {
        if (!status) *failed_ = true;
        return status;
    }

    Storage storage_;
    uint64_t shift_;
    std::atomic<bool>* failed_;
};

std::vector<Buffer<Heap>> make_buffers(size_t count) {
    std::vector<Buffer<Heap>> buffers(count);
    for (auto& buffer : buffers) {
        if (!buffer.reserve(buffer_bytes)) throw Failure{"no memory"};
    }
    return buffers;
}

}  // namespace

void copy_disk(const std::vector<Disk>& disks, const std::string& name, Output& output,
               const CopyJob& job) {
    const size_t workers = disks.size() - 1;
    const auto buffers = make_buffers(workers);
    std::atomic<bool> output_failed{false};
    const Target target(output.storage(), job.from - job.to, output_failed);
    std::vector<Target> targets(workers, target);

    Stripes stripes({&disks[0]}, job.from, job.from + job.length,
                    {.skip_empty = job.options.target_is_zero,
                     .progress = job.progress,
                     .salvage = job.salvage != nullptr});
    const Status done = work_through(
        stripes, static_cast<unsigned>(workers), [&](unsigned worker, const Stripe& stripe) {
            const View view(disks[worker + 1], stripe.kinds[0], job.salvage);
            return copy(view, stripe.at, stripe.length, targets[worker], buffers[worker].bytes(),
                        job.options);
        });
    if (!done) throw failure(output_failed ? output.path() : name, done.error());
    check_interrupt();
}

}  // namespace tool
