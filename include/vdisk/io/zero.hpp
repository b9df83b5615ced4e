// SPDX-License-Identifier: BSL-1.0
// Zeros written, and contents given up: without storing zeros where the format can.
#pragma once

#include <vdisk/io/write.hpp>

namespace vdisk {

/// Makes [at, at + length) read as zeros. Blocks that are in it in part are written; whole ones
/// only where the image cannot do without. As write() in all else.
template <WritableImage I, class Below = Zeros>
Status zero(I& image, uint64_t at, uint64_t length, MutBytes scratch, Below&& below = {}) {
    static constexpr std::array<byte, 4096> zeros{};
    if (!fits(at, length, image.size())) return invalid("zero: past the end of the disk");
    while (length > 0) {
        uint64_t piece = length;
        if constexpr (ErasableImage<I>) {
            const uint64_t block = image.block_size();
            const uint64_t into = at & (block - 1);
            const uint64_t whole = at + length == image.size() ? length : length & ~(block - 1);
            const bool begins = into == 0 && whole > 0;
            if (begins) {
                const Result<uint64_t> done = image.zero(at, whole);
                if (!done) return done.error();
                at += *done;
                length -= *done;
                if (*done > 0) continue;
            }
            // What the image cannot do without writing, it cannot do for the blocks after, either.
            if (!begins && piece > block - into) piece = block - into;
        }
        const Result<Extent> now = image.lookup(at, piece);
        if (!now) return now.error();
        if (piece > now->length) piece = now->length;
        const bool nothing_below = std::same_as<std::remove_cvref_t<Below>, Zeros>;
        if (now->kind != Kind::zero && !(now->kind == Kind::absent && nothing_below)) {
            if (piece > zeros.size()) piece = zeros.size();
            const Bytes in(zeros.data(), static_cast<size_t>(piece));
            if (Status put = write(image, at, in, scratch, below); !put) return put;
        }
        at += piece;
        length -= piece;
    }
    return {};
}

/// Tells the image that nobody needs [at, at + length) any more. What was there may read as before
/// or as zeros, and may give its space back, once flush succeeds.
template <WritableImage I>
Status discard(I& image, uint64_t at, uint64_t length) {
    if (!fits(at, length, image.size())) return invalid("discard: past the end of the disk");
    if constexpr (ErasableImage<I>) {
        while (length > 0) {
            const Result<uint64_t> done = image.discard(at, length);
            if (!done) return done.error();
            at += *done;
            length -= *done;
        }
    }
    return {};
}

}  // namespace vdisk
