// SPDX-License-Identifier: BSL-1.0
// Zstandard frames with libzstd. Link with -lzstd.
#pragma once

#include <algorithm>
#include <bit>
#include <memory>

#include <zstd.h>
#include <zstd_errors.h>

#include <vdisk/codec/concepts.hpp>

namespace vdisk {

/// Takes its memory at the first block: about 94 KiB. Frames that end inside the block unpack
/// straight into it and need no window, whatever size they claim. Others are streamed through a
/// window; one that is larger than the block is refused with Errc::limit.
class Zstd {
public:
    static constexpr bool handles(Packing packing) { return packing == Packing::zstd; }

    Status unpack(Packing packing, Bytes in, MutBytes out) {
        if (!handles(packing)) return unsupported("codec: libzstd unpacks zstd only");
        if (out.empty()) return {};
        const Status ready = reset(out.size());
        if (!ready || whole_frames(in, out)) return ready;

        ZSTD_inBuffer from = {in.data(), in.size(), 0};
        ZSTD_outBuffer to = {out.data(), out.size(), 0};
        while (to.pos != to.size) {  // a turn per frame, or more
            const size_t before = from.pos + to.pos;
            const size_t result = ZSTD_decompressStream(context_.get(), &to, &from);
            if (ZSTD_isError(result)) return error(ZSTD_getErrorCode(result));
            if (from.pos + to.pos == before) return corrupt("codec: zstd stream ends too early");
        }
        return {};
    }

private:
    struct Free {
        void operator()(ZSTD_DCtx* old) const { ZSTD_freeDCtx(old); }
    };

    // True if frames that are complete in `in` have filled `out` exactly: the usual case.
    bool whole_frames(Bytes in, MutBytes out) {
        while (!out.empty()) {
            const size_t frame = ZSTD_findFrameCompressedSize(in.data(), in.size());
            if (ZSTD_isError(frame)) return false;
            const size_t unpacked =
                ZSTD_decompressDCtx(context_.get(), out.data(), out.size(), in.data(), frame);
            if (ZSTD_isError(unpacked)) return false;
            in = in.subspan(frame);
            out = out.subspan(unpacked);
        }
        return true;
    }

    static Error error(ZSTD_ErrorCode code) {
        switch (code) {
            case ZSTD_error_memory_allocation: return no_memory();
            case ZSTD_error_frameParameter_windowTooLarge:
                return fail(Errc::limit, "codec: zstd window is larger than the block");
            default: return corrupt("codec: zstd stream is damaged");
        }
    }

    static Error no_memory() { return fail(Errc::no_memory, "codec: no memory for zstd"); }

    // The window that is allowed: the block, rounded up to a power of two, at least 1 KiB.
    Status reset(size_t block) {
        if (!context_) context_.reset(ZSTD_createDCtx());
        if (!context_) return no_memory();
        const int bits = std::clamp(static_cast<int>(std::bit_width(block - 1)), 10, 30);
        if (ZSTD_isError(ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_only)) ||
            ZSTD_isError(ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, bits))) {
            return fail(Errc::invalid, "codec: libzstd refuses its parameters");
        }
        return {};
    }

    std::unique_ptr<ZSTD_DCtx, Free> context_;
};

static_assert(Codec<Zstd>);

}  // namespace vdisk
