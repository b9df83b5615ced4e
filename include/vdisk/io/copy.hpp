// SPDX-License-Identifier: BSL-1.0
// Copies a disk, or a part of one, onto a storage; empty space costs nothing.
#pragma once

#include <vdisk/core/zero.hpp>
#include <vdisk/io/read.hpp>
#include <vdisk/io/runs.hpp>

namespace vdisk {

struct CopyOptions {
    uint32_t sparse = 4096;  ///< so many bytes of zeros, or more, become a hole; 0: only what the
                             ///< source does not store
    bool target_is_zero = true;  ///< the target reads as zeros where nothing is written
};

namespace io {

/// The steps in which zeros are looked for: what file systems can leave out. `sparse` is not 0.
[[nodiscard]] constexpr uint32_t zero_step(uint32_t sparse) {
    const uint32_t step = sparse & ~(sparse - 1);  // its lowest bit
    return step < 4096 ? step : 4096;
}

/// Writes `in` at `at`, leaving out stretches of zeros of at least `sparse` bytes.
template <WritableStorage T>
Status write_sparse(T& target, uint64_t at, Bytes in, uint32_t sparse) {
    const uint32_t step = zero_step(sparse);
    size_t start = 0;  // of what must still be written
    size_t zeros = 0;  // bytes of zeros that end at `here`
    size_t here = 0;
    while (here < in.size()) {
        const size_t to_edge = step - ((at + here) & (step - 1));
        const size_t length = to_edge < in.size() - here ? to_edge : in.size() - here;
        if (is_zero(in.subspan(here, length))) {
            zeros += length;
        } else {
            if (zeros >= sparse) {
                const size_t end = here - zeros;
                if (end > start) {
                    const Status written = target.write(at + start, in.subspan(start, end - start));
                    if (!written) return written;
                }
                start = here;
            }
            zeros = 0;
        }
        here += length;
    }
    const size_t end = zeros >= sparse ? here - zeros : here;
    return end > start ? target.write(at + start, in.subspan(start, end - start)) : Status{};
}

template <WritableStorage T>
Status write_zeros(T& target, uint64_t at, uint64_t length, MutBytes buffer) {
    const size_t used = length < buffer.size() ? static_cast<size_t>(length) : buffer.size();
    std::memset(buffer.data(), 0, used);
    while (length > 0) {
        const size_t piece = length < used ? static_cast<size_t>(length) : used;
        if (const Status written = target.write(at, buffer.first(piece)); !written) return written;
        at += piece;
        length -= piece;
    }
    return {};
}

/// Reads `piece` from `at` of the source and writes it to the same place.
template <Mapped M, WritableStorage T>
Status transfer(const M& source, uint64_t at, T& target, MutBytes piece, CopyOptions options) {
    if (piece.empty()) return {};
    if (const Status got = read(source, at, piece); !got) return got;
    const bool skip_zeros = options.target_is_zero && options.sparse != 0;
    return skip_zeros ? write_sparse(target, at, piece, options.sparse) : target.write(at, piece);
}

}  // namespace io

/// Copies [at, at + length) of `source` to the same place of `target`, which must reach that far,
/// through `buffer`: a multiple of the block size; 256 KiB stay in a processor's own cache.
///
/// Neighbouring runs are gathered until the buffer is full and moved at once, however scattered
/// they are in the source.
template <Mapped M, WritableStorage T>
Status copy(const M& source, uint64_t at, uint64_t length, T& target, MutBytes buffer,
            CopyOptions options = {}) {
    if (buffer.empty()) return invalid("copy: no buffer");
    if (!fits(at, length, source.size())) return invalid("copy: past the end of the disk");
    Runs runs(source, at, at + length, buffer.size());
    size_t pending = 0;  // bytes before runs.at() that are still to be moved
    const auto move_pending = [&] {
        const MutBytes piece = buffer.first(std::exchange(pending, 0));
        return io::transfer(source, runs.at() - piece.size(), target, piece, options);
    };
    while (!runs.done()) {
        const Result<Run> run = runs.here();
        if (!run) return run.error();
        if (run->is_empty()) {
            if (const Status moved = move_pending(); !moved) return moved;
            if (!options.target_is_zero) {
                const Status zeroed = io::write_zeros(target, runs.at(), run->length, buffer);
                if (!zeroed) return zeroed;
            }
            runs.advance(run->length);
            continue;
        }
        const uint64_t room = buffer.size() - pending;
        const uint64_t taken = run->length < room ? run->length : room;
        pending += static_cast<size_t>(taken);
        runs.advance(taken);
        if (pending < buffer.size()) continue;
        if (const Status moved = move_pending(); !moved) return moved;
    }
    return move_pending();
}

}  // namespace vdisk
