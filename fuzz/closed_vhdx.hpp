// SPDX-License-Identifier: BSL-1.0
// A VHDX file that nobody has open, for the target that repairs and changes it.
#pragma once

#include <vdisk/format/vhdx/repair.hpp>

#include "vhdx.hpp"

namespace fuzz {

struct ClosedVhdx {
    static auto open(Bytes file) {
        return vhdx::Image<MemoryStorage, Rationed>::open(MemoryStorage(file));
    }
    static auto check(Sheet& file, auto visit) {
        return vhdx::check_image(file, Rationed{}, visit);
    }
    static auto repair(Sheet& file, Repair what) {
        return vhdx::repair(file, what, Rationed{}, SeededIds(1));
    }
    // Nobody can make up which image the parent is. Nothing but the locator is told at its place.
    static bool is_beyond_help(Sheet& file, const Problem& problem, bool) {
        const auto image = open(file.bytes());
        return image && image->has_parent() && problem.at == image->layout().parent_locator.at;
    }
};

}  // namespace fuzz
