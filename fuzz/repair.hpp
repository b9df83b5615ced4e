// SPDX-License-Identifier: BSL-1.0
// What must hold of a repair, whatever the format.
#pragma once

#include <vdisk/format/problem.hpp>

#include "guest.hpp"
#include "sheet.hpp"
#include "support.hpp"

namespace fuzz {

/// What the guest sees; nothing where `keeps` is false, or the image does not open.
template <class Format>
Seen look(const Sheet& file, bool keeps) {
    if (!keeps) return {};
    const auto image = Format::open(file.bytes());
    return image ? Seen(*image) : Seen();
}

/// A disk in which nothing is lost is left as it is, and so is any where leaks alone are repaired.
template <class Format>
void require_same_disk(const Sheet& file, const Seen& before) {
    if (before.places().empty()) return;
    const auto image = Format::open(file.bytes());
    require(bool(image), "a repair has made an image that does not open");
    before.compare(*image, "a repair has changed what the guest sees");
}

/// Whether all that is still wrong is of a kind that the format cannot help.
template <class Format>
bool is_helped(Sheet& file, bool was_sound) {
    bool helped = true;
    const auto visit = [&](const Problem& problem) {
        helped = helped && Format::is_beyond_help(file, problem, was_sound);
    };
    return Format::check(file, visit) && helped;
}

/// Repairs what may be anything: true if it is clean then. A refusal has a reason, and what could
/// be checked still can. A repair of all that succeeds leaves what the format says it cannot help,
/// and no more; so does one of leaks, where nothing else was wrong.
///
/// `Format` is `open(bytes)`, `check(file, visit)`, `repair(file, what)` and
/// `is_beyond_help(file, problem, was_sound)`.
template <class Format>
bool repaired(Sheet& file, Repair what) {
    const auto before = Format::check(file, NoVisitor{});
    const bool was_sound = is_sound(before);
    const Seen disk = look<Format>(file, was_sound || what == Repair::leaks);
    const auto report = Format::repair(file, what);
    require_same_disk<Format>(file, disk);
    if (!report) {
        require(*report.error().what != '\0', "a refusal without a reason");
        require(!before || Format::check(file, NoVisitor{}),
                "a repair that failed has destroyed the image");
        return false;
    }
    const auto after = Format::check(file, NoVisitor{});
    require(bool(after), "a repaired image cannot be checked");
    require(after->corruptions == report->after.corruptions && after->leaks == report->after.leaks,
            "a check finds something else than the repair told");
    require((what == Repair::leaks && !was_sound) || is_helped<Format>(file, was_sound),
            "a repair has left what it could mend");
    return after->is_clean();
}

}  // namespace fuzz
