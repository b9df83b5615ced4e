// SPDX-License-Identifier: BSL-1.0
// What can be done to a closed VHD image.
#pragma once

#include <string>

#include <vdisk/core/random.hpp>
#include <vdisk/format/vhd/change.hpp>
#include <vdisk/format/vhd/resize.hpp>

#include "closed_vhd.hpp"
#include "operations.hpp"
#include "repair.hpp"

namespace fuzz::vhd_operations {

inline Outcome resize(Sheet& file, const Step& step, bool was_sound) {
    const auto image = ClosedVhd::open(file.bytes());
    const uint64_t old = image->size(), size = new_size(step, old);
    if (size < old) return {vhd::shrink(file, size, Rationed{}), size, Leaks::may_be_more};
    const Status grown = vhd::grow(file, size, Rationed{});
    // Where a parent is longer it shows.
    const bool is_zero = grown && was_sound && !image->has_parent();
    if (is_zero) require_zeros<ClosedVhd>(file, old, size, {});
    return {grown, old, Leaks::may_be_more};
}

inline Outcome compact(Sheet& file, Compaction what, bool was_sound) {
    const auto image = ClosedVhd::open(file.bytes());
    const Status done = status_of(vhd::compact(file, Rationed{}, what, below(*image)));
    if (done && was_sound) require(is_helped<ClosedVhd>(file, true), "compacting leaves holes");
    return {.done = done, .leaks = Leaks::may_be_more};  // what blocks lay before, that stays
}

inline Outcome set_parent(Sheet& file, const Step& step) {
    static const std::string path(800, 'x');
    const auto first = [](size_t length) { return std::string_view(path).substr(0, length); };
    const vhd::ParentLink link{.unique_id = SeededIds(2)(),
                               .relative_path = first(step.length),
                               .absolute_path = first(step.at[0] * size_t{3})};
    return {.done = vhd::set_parent(file, link, Rationed{}), .leaks = Leaks::may_be_more};
}

inline Outcome any(Sheet& file, const Step& step, bool was_sound) {
    const vhd::Geometry geometry{step.length, step.at[0], step.at[1]};
    switch (step.what % 8) {
        case 0: return compact(file, Compaction::move_only, was_sound);
        case 1: return compact(file, Compaction::drop, was_sound);
        case 2: return resize(file, step, was_sound);
        case 3: return {vhd::set_unique_id(file, SeededIds(1)(), Rationed{})};
        case 4: return {vhd::set_geometry(file, geometry, Rationed{})};
        case 5: return {vhd::set_parent_id(file, SeededIds(2)(), step.length, Rationed{})};
        case 6: return set_parent(file, step);
        default: return {status_of(ClosedVhd::repair(file, Repair::all))};
    }
}

}  // namespace fuzz::vhd_operations
