// SPDX-License-Identifier: BSL-1.0
// A VHD file that nobody has open, for the targets that repair or change it.
#pragma once

#include <vdisk/format/vhd/repair.hpp>

#include "sheet.hpp"
#include "vhd.hpp"

namespace fuzz {

struct ClosedVhd {
    static auto open(Bytes file) {
        return Vhd::Image<MemoryStorage, Rationed, SystemCodecs>::open(MemoryStorage(file));
    }
    static auto check(Sheet& file, auto visit) { return vhd::check_image(file, Rationed{}, visit); }
    static auto repair(Sheet& file, Repair what) { return vhd::repair(file, what, Rationed{}); }
    // Nobody can make up a name of the parent. Leaks stay as long as something else is wrong: they
    // go when the image is repaired again. Where no block is behind, there is none to fill them.
    static bool is_beyond_help(Sheet& file, const Problem& problem, bool was_sound) {
        if (problem.flaw == Flaw::leak) return !was_sound || !has_block_behind(file, problem.at);
        const std::string_view what = problem.what;
        return what == "vhd: parent locator is too long or past the end of the file";
    }

private:
    static bool has_block_behind(Sheet& file, uint64_t at) {
        bool found = false;
        const auto image = vhd::open_closed(file, Rationed{});
        const auto visit = [&](uint32_t, uint32_t entry, uint64_t) -> Status {
            found = found || uint64_t{entry} << vhd::sector_bits > at;
            return {};
        };
        return image && vhd::each_block(image->tables, image->layout, visit) && found;
    }
};

}  // namespace fuzz
