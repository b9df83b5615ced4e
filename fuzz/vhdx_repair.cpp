// SPDX-License-Identifier: BSL-1.0
// Fuzz target: check and repair of a VHDX image that may be anything, then what can be done to a
// closed image. A repaired image stays sound, and shows the guest what it has to.
#include <vdisk/format/vhdx/compact.hpp>
#include <vdisk/format/vhdx/resize.hpp>

#include "closed_vhdx.hpp"
#include "operations.hpp"
#include "repair.hpp"

using namespace vdisk;

using fuzz::ClosedVhdx, fuzz::Outcome, fuzz::Rationed, fuzz::Sheet, fuzz::Step;

static Outcome operate(Sheet& file, const Step& step, bool) {
    const auto image = ClosedVhdx::open(file.bytes());
    const uint64_t size = image->size(), sector = uint64_t{1} << image->layout().sector_bits;
    const fuzz::Below below{image->has_parent() ? size + 64 * sector : 0};
    const SeededIds ids(step.what);
    if (step.what < 2) {
        const auto what = step.what == 0 ? Compaction::move_only : Compaction::drop;
        return {fuzz::status_of(vhdx::compact(file, Rationed{}, ids, what, below))};
    }
    if (step.what == 3) return {vhdx::shrink(file, sector, Rationed{}, ids), sector};
    const Status grown = vhdx::grow(file, size + 5 * sector, Rationed{}, ids);
    if (grown) fuzz::require_zeros<ClosedVhdx>(file, size, size + 5 * sector, below);
    return {grown, size};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Sheet& file = fuzz::vhdx_file(fuzz::bytes_of(data, size), fuzz::Use::change);
    bool clean = false;
    for (const Repair what : {Repair::leaks, Repair::all}) {
        clean = fuzz::repaired<ClosedVhdx>(file, what);
        fuzz::require(!clean || ClosedVhdx::open(file.bytes()), "a clean image does not open");
    }
    static constexpr std::array<Step, 4> steps{{{0, {}, 0}, {1, {}, 0}, {2, {}, 0}, {3, {}, 0}}};
    if (clean) fuzz::operate_on<ClosedVhdx>(file, steps, operate);
    return 0;
}
