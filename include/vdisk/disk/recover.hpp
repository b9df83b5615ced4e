// SPDX-License-Identifier: BSL-1.0
// What has to be done to an image before it is written: after a cut, and to what it keeps besides
// guest data.
#pragma once

#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/qcow2/bitmaps.hpp>
#include <vdisk/format/qcow2/format.hpp>
#include <vdisk/format/qcow2/repair.hpp>
#include <vdisk/format/vhd/format.hpp>
#include <vdisk/format/vhd/recover.hpp>
#include <vdisk/format/vhdx/format.hpp>

namespace vdisk {

namespace chain {

// A qcow2 image that was not closed cleanly (lazy refcounts) has its refcounts brought up to date.
// One that is damaged otherwise, or stays so, keeps its mark, and is refused by its writer:
// pointers that lead nowhere are not given up unasked, the file may just be a copy that was cut
// short.
template <WritableStorage S>
Status recover_qcow2(S& storage) {
    const auto header = qcow2::load_header(storage);
    if (!header) return {};
    const auto layout = qcow2::check(*header, storage.size());
    if (!layout || !layout->is_dirty() || layout->is_corrupt()) return {};
    const auto found = qcow2::check_image(storage, Heap{});
    if (!found || found->bad_pointers != 0) return found ? Status{} : Status(found.error());
    const auto repaired = qcow2::repair(storage, qcow2::Repair::all, Heap{});
    return repaired ? Status{} : Status(repaired.error());
}

/// Finishes what a cut interrupted, as far as the format has a way. An image that is damaged in
/// other ways stays so, for its writer to refuse.
template <WritableStorage S>
Status recover(std::string_view format, S& storage) {
    if (format == Qcow2::name) return recover_qcow2(storage);
    if (format == Vhd::name || format == Vhd::alias) return vhd::recover(storage, Heap{});
    if (format == Vhdx::name) return vhdx::replay(storage, Heap{}, SystemIds{});
    return {};
}

// Bitmaps that record stay, and say "written" of the whole disk. Where that cannot be, the writer
// declares them void.
template <WritableStorage S>
Status keep_bitmaps(std::string_view format, S& storage) {
    if (format != Qcow2::name) return {};
    const auto image = qcow2::open_closed(storage, Heap{});
    if (!image || !qcow2::bitmaps_valid(image->layout)) return {};
    const Status kept = qcow2::mark_recording_dirty(storage, Heap{});
    return !kept && kept.error().code == Errc::io ? kept : Status{};
}

}  // namespace chain

}  // namespace vdisk
