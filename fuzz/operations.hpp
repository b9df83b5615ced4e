// SPDX-License-Identifier: BSL-1.0
// What must hold of all that is done to a closed image, whatever the format.
#pragma once

#include <vdisk/format/problem.hpp>

#include "guest.hpp"
#include "program.hpp"
#include "sheet.hpp"
#include "support.hpp"

namespace fuzz {

/// So many are done to one image.
inline constexpr size_t operations = 6;

/// What becomes of space that nothing uses.
enum class Leaks : uint8_t { no_more, may_be_more };

/// What an operation says, and what it promises if it succeeds.
struct Outcome {
    Status done;
    uint64_t kept = ~uint64_t{0};  ///< guest bytes, from the first on, that stay the same
    Leaks leaks = Leaks::no_more;
};

template <class T>
Status status_of(const Result<T>& result) {
    return result ? Status{} : Status(result.error());
}

/// A new size for a disk: larger or smaller.
inline uint64_t new_size(const Step& step, uint64_t old) {
    return step.seed() * 512 % (std::min(old, 1_TiB) * 2 + 64_KiB);
}

/// What a disk has got, [from, end), reads as zeros; whatever is below.
template <class Format>
void require_zeros(const Sheet& file, uint64_t from, uint64_t end, const Below& below) {
    const auto image = Format::open(file.bytes());
    require(image && image->size() == end, "the disk has not got its size");
    if (from == end || !image->lookup(from, end - from)) return;  // encrypted, or in another file
    for (const uint64_t at : {from, from + (end - from) / 2, end - 1}) {
        std::array<byte, 512> sector;
        require(bool(read(*image, align_down(at, 9), sector, below)), "new space is not to read");
        require(is_zero(sector), "new space is not zeros");
    }
}

template <class Report>
void judge_space(const Report& before, const Report& after, const Outcome& outcome) {
    if (!outcome.done) return;  // it may have gone half its way
    require(outcome.leaks == Leaks::may_be_more || after.leaks <= before.leaks, "space is lost");
}

/// Does to a closed image, which may be anything, what `operate(file, step, was_sound) -> Outcome`
/// does. A sound one stays so; where it is refused, nothing changes. `Format` is `open(bytes)` and
/// `check(file, visit)`.
template <class Format, class Operate>
void operate_on(Sheet& file, std::span<const Step> steps, Operate operate) {
    auto report = Format::check(file, NoVisitor{});
    for (const Step& step : steps) {
        const auto before = Format::open(file.bytes());
        if (!before) return;
        const bool was_sound = is_sound(report);
        const Seen disk = was_sound ? Seen(*before) : Seen();
        const uint64_t size = before->size();
        const Outcome outcome = operate(file, step, was_sound);
        const auto now = Format::check(file, NoVisitor{});
        if (was_sound) {
            require(is_sound(now), outcome.done ? "an operation has damaged the image"
                                                : "a refusal has damaged the image");
            const auto after = Format::open(file.bytes());
            require(bool(after), "the image does not open again");
            require(outcome.done || after->size() == size, "a refusal has changed the size");
            disk.compare(*after, "an operation has changed what the guest sees",
                         outcome.done ? outcome.kept : size);
            judge_space(*report, *now, outcome);
        }
        report = now;
    }
}

}  // namespace fuzz
