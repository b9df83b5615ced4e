// SPDX-License-Identifier: BSL-1.0
// What must hold of a repair, whatever the format.
#pragma once

#include <vdisk/format/problem.hpp>

#include "sheet.hpp"
#include "support.hpp"

namespace fuzz {

/// Repairs what may be anything: true if it is sound then. A refusal has a reason, and what could
/// be checked still can; what is told of the image after a repair is what a check finds.
template <class Check, class Mend>
bool repaired(Sheet& file, Check check, Mend mend) {
    const auto before = check(file);
    const auto report = mend(file);
    if (!report) {
        require(*report.error().what != '\0', "a refusal without a reason");
        require(!before || check(file), "a repair that failed has destroyed the image");
        return false;
    }
    const auto after = check(file);
    require(bool(after), "a repaired image cannot be checked");
    require(after->corruptions == report->after.corruptions && after->leaks == report->after.leaks,
            "a check finds something else than the repair told");
    return after->is_clean();
}

}  // namespace fuzz
