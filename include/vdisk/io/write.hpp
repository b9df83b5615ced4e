// SPDX-License-Identifier: BSL-1.0
// The one place where guest data is written, for all formats: place -> move -> commit.
#pragma once

#include <vdisk/core/zero.hpp>
#include <vdisk/io/read.hpp>

namespace vdisk {

namespace io {

/// How many of the next `length` bytes are known to be zeros without being read.
template <class Below, Image I>
uint64_t known_zeros(const I& image, uint64_t at, uint64_t length) {
    if (at >= image.size()) return length;
    if (length > image.size() - at) length = image.size() - at;
    const Result<Extent> extent = image.lookup(at, length);
    if (!extent) return 0;
    if (extent->kind == Kind::zero) return extent->length;
    const bool nothing_below = std::same_as<std::remove_cvref_t<Below>, Zeros>;
    return extent->kind == Kind::absent && nothing_below ? extent->length : 0;
}

/// Copies what the guest sees at [at, at + length) to `home` in the file: the rest of a block that
/// is written in part. Past the end of the disk there are zeros. Where `blank`, so are there at
/// `home`.
template <WritableImage I, class Below>
Status fill(I& image, uint64_t at, uint64_t home, uint64_t length, bool blank, MutBytes scratch,
            Below&& below) {
    while (length > 0) {
        if (const uint64_t zeros = blank ? known_zeros<Below>(image, at, length) : 0; zeros > 0) {
            at += zeros;
            home += zeros;
            length -= zeros;
            continue;
        }
        const MutBytes piece =
            scratch.first(length < scratch.size() ? static_cast<size_t>(length) : scratch.size());
        const uint64_t rest = at < image.size() ? image.size() - at : 0;
        const size_t inside = rest < piece.size() ? static_cast<size_t>(rest) : piece.size();
        if (inside > 0) {
            if (const Status got = read(image, at, piece.first(inside), below); !got) return got;
        }
        if (const Status tail = Zeros{}(at, piece.subspan(inside)); !tail) return tail;
        if (!blank || !is_zero(piece)) {
            if (const Status put = image.storage().write(home, piece); !put) return put;
        }
        at += piece.size();
        home += piece.size();
        length -= piece.size();
    }
    return {};
}

/// All of its bytes have their home already (`static constexpr bool never_fresh = true`): nothing
/// has to be filled up, and the code for it is left out.
template <class I>
concept NeverFresh = requires {
    requires I::never_fresh;
};

/// Brings `in` (placement.length bytes) to the home that `place` gave it, with what its blocks need
/// besides.
template <WritableImage I, class Below>
Status put(I& image, uint64_t at, const Placement& p, Bytes in, MutBytes scratch, Below&& below) {
    if constexpr (!NeverFresh<I>) {
        if (p.fresh) {
            Status filled =
                fill(image, at - p.head, p.at - p.head, p.head, p.blank, scratch, below);
            if (!filled) return filled;
            const uint64_t end = p.at + p.length;
            filled = fill(image, at + p.length, end, p.tail, p.blank, scratch, below);
            if (!filled) return filled;
        }
    }
    return image.storage().write(p.at, in);
}

}  // namespace io

/// Writes the guest bytes from `at`. Blocks that are new and written in part are filled up from
/// what was there, `below` included, through `scratch` (any size; a block is good). Durable after
/// flush. After a failure every byte of the range is old or new.
template <WritableImage I, class Below = Zeros>
Status write(I& image, uint64_t at, Bytes in, MutBytes scratch, Below&& below = {}) {
    if (!fits(at, in.size(), image.size())) return invalid("write: past the end of the disk");
    if (scratch.empty()) return invalid("write: no scratch memory");
    while (!in.empty()) {
        const Result<Placement> p = image.place(at, in.size());
        if (!p) return p.error();
        const Bytes piece = in.first(static_cast<size_t>(p->length));
        if (const Status put = io::put(image, at, *p, piece, scratch, below); !put) {
            if constexpr (requires { image.cancel(at, *p); }) image.cancel(at, *p);
            return put;
        }
        if (const Status shown = image.commit(at, *p); !shown) return shown;
        at += piece.size();
        in = in.subspan(piece.size());
    }
    return {};
}

}  // namespace vdisk
