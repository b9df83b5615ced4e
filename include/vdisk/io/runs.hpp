// SPDX-License-Identifier: BSL-1.0
// Steps over a disk run by run, at a pace that suits it.
#pragma once

#include <vdisk/io/walk.hpp>

namespace vdisk {

/// A run of guest bytes of one kind.
struct Run {
    Kind kind = Kind::absent;
    uint64_t length = 0;
    /// True if nothing is stored for it: it reads as zeros.
    [[nodiscard]] bool is_empty() const { return kind == Kind::zero || kind == Kind::absent; }
};

/// The runs of [at, end) of a disk, in order; what is past the end of the disk is Kind::zero.
///
/// It looks ahead as far as Window says, `least` bytes or more.
template <Mapped M>
class Runs {
public:
    Runs(const M& disk, uint64_t at, uint64_t end, uint64_t least)
        : disk_(&disk), at_(at), end_(end), window_(least) {}

    [[nodiscard]] uint64_t at() const { return at_; }
    [[nodiscard]] bool done() const { return at_ >= end_; }

    /// What is left of the run at `at()`. Not to be called when done.
    Result<Run> here() {
        if (run_.length > 0) return run_;
        uint64_t length = end_ - at_;
        if (at_ >= disk_->size()) return run_ = {Kind::zero, length};
        if (length > disk_->size() - at_) length = disk_->size() - at_;
        length = window_.of(length);
        const Result<Extent> extent = survey(*disk_, at_, length);
        if (!extent) return extent.error();
        window_.answered(extent->length, length);
        return run_ = {extent->kind, extent->length};
    }

    /// Goes on by `length` bytes, which may be more than the run, and may pass `end`.
    void advance(uint64_t length) {
        at_ += length;
        run_.length = length < run_.length ? run_.length - length : 0;
    }

private:
    const M* disk_;
    uint64_t at_;
    uint64_t end_;
    Window window_;
    Run run_;
};

}  // namespace vdisk
