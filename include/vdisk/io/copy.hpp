// SPDX-License-Identifier: BSL-1.0
// Copies a disk, or a part of one, onto a storage; empty space costs nothing.
#pragma once

#include <vdisk/core/zero.hpp>
#include <vdisk/io/read.hpp>
#include <vdisk/io/walk.hpp>

namespace vdisk {

struct CopyOptions {
    uint32_t sparse = 4096;      ///< zeros of this many bytes, aligned, become a hole; 0 = never
    bool target_is_zero = true;  ///< the target reads as zeros where nothing is written
};

namespace io {

/// Writes `in` at `at`, leaving out aligned stretches of zeros.
template <WritableStorage T>
Status write_sparse(T& target, uint64_t at, Bytes in, uint32_t sparse) {
    size_t start = 0;  // of what must still be written
    size_t here = 0;
    while (here < in.size()) {
        const uint64_t to_edge = sparse - ((at + here) & (sparse - 1));
        const size_t step =
            to_edge < in.size() - here ? static_cast<size_t>(to_edge) : in.size() - here;
        if (is_zero(in.subspan(here, step))) {
            if (here > start) {
                const Status written = target.write(at + start, in.subspan(start, here - start));
                if (!written) return written;
            }
            start = here + step;
        }
        here += step;
    }
    if (here == start) return {};
    return target.write(at + start, in.subspan(start));
}

template <WritableStorage T>
Status write_zeros(T& target, uint64_t at, uint64_t length, MutBytes buffer) {
    std::memset(buffer.data(), 0, buffer.size());
    while (length > 0) {
        const size_t piece = length < buffer.size() ? static_cast<size_t>(length) : buffer.size();
        if (const Status written = target.write(at, buffer.first(piece)); !written) return written;
        at += piece;
        length -= piece;
    }
    return {};
}

}  // namespace io

/// Copies [at, at + length) of `source` to the same place of `target`, which must reach that far,
/// through `buffer` (any size; 1 MiB is good). `options.sparse` is 0 or a power of two.
template <Mapped M, WritableStorage T>
Status copy(const M& source, uint64_t at, uint64_t length, T& target, MutBytes buffer,
            CopyOptions options = {}) {
    if (buffer.empty() || (options.sparse & (options.sparse - 1)) != 0) {
        return invalid("copy: no buffer, or a sparse size that is not a power of two");
    }
    const auto is_empty = [](Kind kind) { return kind == Kind::zero || kind == Kind::absent; };
    // Stored extents are gathered up to a buffer full, then moved at once.
    uint64_t pending = 0;
    const auto move_pending = [&](uint64_t end) -> Status {
        const MutBytes piece = buffer.first(static_cast<size_t>(pending));
        const uint64_t from = end - pending;
        pending = 0;
        if (piece.empty()) return {};
        if (const Status got = read(source, from, piece); !got) return got;
        const bool skip_zeros = options.target_is_zero && options.sparse != 0;
        return skip_zeros ? io::write_sparse(target, from, piece, options.sparse)
                          : target.write(from, piece);
    };
    const Status walked =
        walk(source, at, length, [&](uint64_t start, const Extent& extent) -> Status {
            if (is_empty(extent.kind)) {
                if (const Status moved = move_pending(start); !moved) return moved;
                if (options.target_is_zero) return {};
                return io::write_zeros(target, start, extent.length, buffer);
            }
            for (uint64_t done = 0; done < extent.length;) {
                const uint64_t room = buffer.size() - pending;
                const uint64_t piece = extent.length - done < room ? extent.length - done : room;
                pending += piece;
                done += piece;
                if (pending < buffer.size()) continue;
                if (const Status moved = move_pending(start + done); !moved) return moved;
            }
            return {};
        });
    if (!walked) return walked;
    return move_pending(at + length);
}

}  // namespace vdisk
