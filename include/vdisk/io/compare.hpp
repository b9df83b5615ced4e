// SPDX-License-Identifier: BSL-1.0
// Compares the guest bytes of two disks; space that is empty on both sides is not read.
#pragma once

#include <optional>

#include <vdisk/core/zero.hpp>
#include <vdisk/io/read.hpp>
#include <vdisk/io/runs.hpp>

namespace vdisk {

namespace io {

/// Offset of the first byte that differs; the ranges are equally long.
[[nodiscard]] inline std::optional<size_t> first_difference(Bytes a, Bytes b) {
    if (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0) return std::nullopt;
    size_t i = 0;
    while (a[i] == b[i]) ++i;
    return i;
}

/// Offset of the first byte that is not 0.
[[nodiscard]] inline std::optional<size_t> first_nonzero(Bytes bytes) {
    if (is_zero(bytes)) return std::nullopt;
    size_t i = 0;
    while (bytes[i] == byte{0}) ++i;
    return i;
}

/// Compares two runs of the same place and length, both halves of the buffer being as long.
template <Mapped L, Mapped R>
Result<std::optional<size_t>> differ(const L& left, const R& right, uint64_t at, const Run& l,
                                     const Run& r, MutBytes a, MutBytes b) {
    if (!l.is_empty()) {
        if (const Status got = read(left, at, a); !got) return got.error();
    }
    if (!r.is_empty()) {
        if (const Status got = read(right, at, b); !got) return got.error();
    }
    if (l.is_empty()) return first_nonzero(b);
    if (r.is_empty()) return first_nonzero(a);
    return first_difference(a, b);
}

}  // namespace io

/// The first offset in [at, at + length) where the disks differ, or nothing. Past the end of the
/// shorter disk zeros are assumed. `buffer` is split between the two.
template <Mapped L, Mapped R>
Result<std::optional<uint64_t>> compare(const L& left, const R& right, uint64_t at, uint64_t length,
                                        MutBytes buffer) {
    const size_t half = buffer.size() / 2;
    if (half == 0) return invalid("compare: no buffer");
    if (length > ~at) return invalid("compare: the range wraps");
    Runs lefts(left, at, at + length, half);
    Runs rights(right, at, at + length, half);
    while (!lefts.done()) {
        const Result<Run> l = lefts.here();
        if (!l) return l.error();
        const Result<Run> r = rights.here();
        if (!r) return r.error();
        uint64_t piece = l->length < r->length ? l->length : r->length;
        if (!l->is_empty() || !r->is_empty()) {
            if (piece > half) piece = half;
            const size_t n = static_cast<size_t>(piece);
            const auto where = io::differ(left, right, lefts.at(), *l, *r, buffer.first(n),
                                          buffer.subspan(half, n));
            if (!where) return where.error();
            if (*where) return std::optional(lefts.at() + **where);
        }
        lefts.advance(piece);
        rights.advance(piece);
    }
    return std::optional<uint64_t>{};
}

}  // namespace vdisk
