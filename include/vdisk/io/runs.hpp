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
/// It asks for `least` bytes, and for twice as many whenever the answer was as long as the
/// question. So 64 TiB of nothing cost a few calls, while fragments far down a chain do not make
/// all layers above look through the whole disk for each of them.
template <Mapped M>
class Runs {
public:
    Runs(const M& disk, uint64_t at, uint64_t end, uint64_t least)
        : disk_(&disk), at_(at), end_(end), least_(least), window_(least) {}

    [[nodiscard]] uint64_t at() const { return at_; }
    [[nodiscard]] bool done() const { return at_ >= end_; }

    /// What is left of the run at `at()`. Not to be called when done.
    Result<Run> here() {
        if (run_.length > 0) return run_;
        uint64_t length = end_ - at_;
        if (at_ >= disk_->size()) return run_ = {Kind::zero, length};
        if (length > disk_->size() - at_) length = disk_->size() - at_;
        if (length > window_) length = window_;
        const Result<Extent> extent = survey(*disk_, at_, length);
        if (!extent) return extent.error();
        if (extent->length < length) window_ = least_;
        else if (window_ <= ~uint64_t{0} / 2) window_ *= 2;
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
    uint64_t least_;
    uint64_t window_;
    Run run_;
};

}  // namespace vdisk
