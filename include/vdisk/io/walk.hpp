// SPDX-License-Identifier: BSL-1.0
// Visits the extents of a disk in order: what maps, copies and comparisons are made of.
#pragma once

#include <vdisk/core/math.hpp>
#include <vdisk/format/image.hpp>

namespace vdisk {

/// What stands at `at`, holes of the file included where the image can tell them.
template <Mapped M>
Result<Extent> survey(const M& disk, uint64_t at, uint64_t length) {
    if constexpr (SurveyedMapped<M>) return disk.survey(at, length);
    else return disk.lookup(at, length);
}

/// Calls `visit(at, extent) -> Status` for every extent of [at, at + length), in order, without
/// gaps. Neighbours may be of one kind. Stops at the first failure and returns it.
template <Mapped M, class Visit>
Status walk(const M& disk, uint64_t at, uint64_t length, Visit&& visit) {
    if (!fits(at, length, disk.size())) return invalid("walk: past the end of the disk");
    while (length > 0) {
        const Result<Extent> extent = survey(disk, at, length);
        if (!extent) return extent.error();
        if (const Status visited = visit(at, *extent); !visited) return visited;
        at += extent->length;
        length -= extent->length;
    }
    return {};
}

}  // namespace vdisk
