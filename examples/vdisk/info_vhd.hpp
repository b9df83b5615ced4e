// SPDX-License-Identifier: BSL-1.0
// What info tells of a VHD image besides what all formats have.
#pragma once

#include <array>

#include <vdisk/disk/open.hpp>
#include <vdisk/format/vhd/layout.hpp>

#include "ids.hpp"

namespace tool {

/// `Out` is text::Json or text::Tree; `name(choice)` is a name of the parent, empty after the last.
template <class Out, class Name>
void vhd_data(Out& out, const vdisk::vhd::Layout& layout, Name name) {
    using vdisk::vhd::FooterCopy;
    using vdisk::vhd::Type;
    out.value("type", layout.is_fixed()              ? "fixed"
                      : layout.type == Type::dynamic ? "dynamic"
                                                     : "differencing");
    out.value("unique-id", text_of(layout.unique_id));
    if (layout.has_parent()) {
        out.value("parent-unique-id", text_of(layout.parent_unique_id));
        out.open('[', "parent-names");
        for (unsigned choice = 0;; ++choice) {
            const std::string found = name(choice);
            if (found.empty()) break;
            out.value({}, found);
        }
        out.close(']');
    }
    const auto& creator = layout.creator_application;
    std::string application(creator.data(), creator.size());
    while (!application.empty() && (application.back() == 0 || application.back() == ' ')) {
        application.pop_back();
    }
    out.value("creator", application);
    out.value("time-stamp", layout.time_stamp);
    out.value("current-size", layout.current_size);
    const auto& geometry = layout.geometry;
    out.value("geometry", std::to_string(geometry.cylinders) + "/" +
                              std::to_string(geometry.heads) + "/" +
                              std::to_string(geometry.sectors_per_track));
    out.value("footer", layout.footer_copy == FooterCopy::end         ? "at the end"
                        : layout.footer_copy == FooterCopy::short_end ? "at the end, 511 bytes"
                                                                      : "copy at the front");
    out.value("checksums-right", layout.checksums_right);
    out.value("saved-state", layout.saved_state);
}

}  // namespace tool
