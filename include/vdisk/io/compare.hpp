// SPDX-License-Identifier: BSL-1.0
// Compares the guest bytes of two disks; space that is empty on both sides is not read.
#pragma once

#include <optional>

#include <vdisk/core/zero.hpp>
#include <vdisk/io/read.hpp>
#include <vdisk/io/walk.hpp>

namespace vdisk {

namespace io {

/// Offset of the first byte that differs; the ranges are equally long.
[[nodiscard]] inline std::optional<size_t> first_difference(Bytes a, Bytes b) {
    if (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0) return std::nullopt;
    size_t i = 0;
    while (a[i] == b[i]) ++i;
    return i;
}

}  // namespace io

/// The first offset in [at, at + length) where the disks differ, or nothing. Past the end of the
/// shorter disk zeros are assumed. `buffer` is split between the two.
template <Mapped L, Mapped R>
Result<std::optional<uint64_t>> compare(const L& left, const R& right, uint64_t at, uint64_t length,
                                        MutBytes buffer) {
    const MutBytes left_half = buffer.first(buffer.size() / 2);
    const MutBytes right_half = buffer.subspan(buffer.size() / 2, buffer.size() / 2);
    if (left_half.empty()) return invalid("compare: no buffer");
    const auto look = [](const auto& disk, uint64_t from, uint64_t wanted) -> Result<Extent> {
        if (from >= disk.size()) return Extent{.kind = Kind::zero, .length = wanted};
        return survey(disk, from, wanted < disk.size() - from ? wanted : disk.size() - from);
    };
    const auto is_empty = [](const Extent& e) {
        return e.kind == Kind::zero || e.kind == Kind::absent;
    };
    const auto fill = [&](const auto& disk, const Extent& e, uint64_t from,
                          MutBytes out) -> Status {
        return is_empty(e) ? Zeros{}(from, out) : read(disk, from, out);
    };
    while (length > 0) {
        const Result<Extent> l = look(left, at, length);
        if (!l) return l.error();
        const Result<Extent> r = look(right, at, l->length);
        if (!r) return r.error();
        const uint64_t run = r->length;
        for (uint64_t done = 0; done < run && !(is_empty(*l) && is_empty(*r));) {
            const size_t piece =
                run - done < left_half.size() ? static_cast<size_t>(run - done) : left_half.size();
            const MutBytes a = left_half.first(piece);
            const MutBytes b = right_half.first(piece);
            if (const Status got = fill(left, *l, at + done, a); !got) return got.error();
            if (const Status got = fill(right, *r, at + done, b); !got) return got.error();
            if (const auto where = io::first_difference(a, b))
                return std::optional(at + done + *where);
            done += piece;
        }
        at += run;
        length -= run;
    }
    return std::optional<uint64_t>{};
}

}  // namespace vdisk
