// SPDX-License-Identifier: BSL-1.0
// A qcow2 file that nobody has open, for the targets that repair or change it.
#pragma once

#include <vdisk/format/qcow2/format.hpp>
#include <vdisk/format/qcow2/repair.hpp>

#include "sheet.hpp"
#include "support.hpp"

namespace fuzz {

struct ClosedQcow2 {
    static auto open(Bytes file) {
        return Qcow2::Image<MemoryStorage, Rationed, SystemCodecs>::open(
            MemoryStorage(file), {.purpose = Purpose::metadata, .cache = one_small_page});
    }
    static auto check(Sheet& file, auto visit) {
        return qcow2::check_image(file, Rationed{}, visit);
    }
    static auto repair(Sheet& file, Repair what) { return qcow2::repair(file, what, Rationed{}); }
    static bool is_beyond_help(Sheet&, const Problem&, bool) { return false; }
};

}  // namespace fuzz
