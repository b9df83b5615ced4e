// SPDX-License-Identifier: BSL-1.0
// Formats answer block by block; coalesce makes the longest run of it.
#pragma once

#include <vdisk/core/extent.hpp>
#include <vdisk/core/result.hpp>

namespace vdisk {

/// True if `next`, which follows `run` on the disk, also follows it in the file.
[[nodiscard]] constexpr bool continues(const Extent& run, const Extent& next) {
    if (run.kind != next.kind || run.kind == Kind::compressed) return false;
    if (run.kind != Kind::data && run.at == 0) return next.at == 0;
    return run.at + run.length == next.at;
}

/// So many answers of a format make one run at most: tables can describe far more blocks than the
/// file has bytes, and one call has to end soon all the same.
inline constexpr uint32_t max_run_blocks = 65536;

/// The longest run from `at`, at most `length`. `piece(at, length) -> Result<Extent>` tells what
/// stands at `at`, up to the end of its block or beyond. A fault further on ends the run; it is
/// reported when it is the first byte asked for.
template <class Piece>
Result<Extent> coalesce(uint64_t at, uint64_t length, const Piece& piece) {
    Result<Extent> run = piece(at, length);
    if (!run) [[unlikely]]
        return run;
    // Most reads are small and end in the block they begin in.
    if (run->length >= length) [[likely]] {
        run->length = length;
        return run;
    }
    for (uint32_t n = 1; run->length < length && n < max_run_blocks; ++n) {
        const Result<Extent> next = piece(at + run->length, length - run->length);
        if (!next || !continues(*run, *next)) break;
        run->length += next->length;
    }
    if (run->length > length) run->length = length;
    return run;
}

}  // namespace vdisk
