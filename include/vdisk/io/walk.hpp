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

/// How far to look ahead. It begins small and doubles whenever the answer was as long as the
/// question: 64 TiB of nothing cost a few calls, while fragments far down a chain do not make all
/// layers above look through the whole disk for each of them.
class Window {
public:
    explicit constexpr Window(uint64_t least = 1_MiB) : least_(least), now_(least) {}

    /// What to ask for where `rest` bytes are left.
    [[nodiscard]] constexpr uint64_t of(uint64_t rest) const { return rest < now_ ? rest : now_; }

    constexpr void answered(uint64_t length, uint64_t asked) {
        if (length < asked) now_ = least_;
        else if (now_ <= ~uint64_t{0} / 2) now_ *= 2;
    }

private:
    uint64_t least_;
    uint64_t now_;
};

/// Calls `visit(at, extent) -> Status` for every extent of [at, at + length), in order, without
/// gaps. Neighbours may be of one kind. Stops at the first failure and returns it.
template <Mapped M, class Visit>
Status walk(const M& disk, uint64_t at, uint64_t length, Visit&& visit) {
    if (!fits(at, length, disk.size())) return invalid("walk: past the end of the disk");
    Window window;
    while (length > 0) {
        const uint64_t asked = window.of(length);
        const Result<Extent> extent = survey(disk, at, asked);
        if (!extent) return extent.error();
        window.answered(extent->length, asked);
        if (const Status visited = visit(at, *extent); !visited) return visited;
        at += extent->length;
        length -= extent->length;
    }
    return {};
}

}  // namespace vdisk
