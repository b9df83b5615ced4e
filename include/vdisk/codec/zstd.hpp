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

/// Takes its memory at the first block: about 94 KiB to unpack, 650 KiB to pack 64 KiB. Frames that
/// end inside the block unpack straight into it and need no window, whatever size they claim.
/// Others are streamed through a window; one that is larger than the block is refused with
/// Errc::limit.
///
/// What it packs is one frame that tells its size; up to 2 MiB, at the default level, it is a
/// single segment.
class Zstd {
public:
    /// ZSTD_CLEVEL_DEFAULT, as QEMU; the bytes are the same, too.
    static constexpr int default_level = 3;

    /// `level`: as libzstd counts them, from below 0 to 22; beyond that the nearest is taken.
    explicit Zstd(int level = default_level) : level_(level) {}

    static constexpr bool handles(Packing packing) { return packing == Packing::zstd; }

    Status unpack(Packing packing, Bytes in, MutBytes out) {
        if (!handles(packing)) return unsupported("codec: libzstd unpacks zstd only");
        if (out.empty()) return {};
        const Status ready = reset_unpacker(out.size());
        if (!ready || whole_frames(in, out)) return ready;

        ZSTD_inBuffer from = {in.data(), in.size(), 0};
        ZSTD_outBuffer to = {out.data(), out.size(), 0};
        while (to.pos != to.size) {  // a turn per frame, or more
            const size_t before = from.pos + to.pos;
            const size_t result = ZSTD_decompressStream(unpacker_.get(), &to, &from);
            if (ZSTD_isError(result)) return error(ZSTD_getErrorCode(result));
            if (from.pos + to.pos == before) return corrupt("codec: zstd stream ends too early");
        }
        return {};
    }

    Result<size_t> pack(Packing packing, Bytes in, MutBytes out) {
        if (!handles(packing)) return unsupported("codec: libzstd packs zstd only");
        if (const Status ready = make_packer(); !ready) return ready.error();
        const size_t packed =
            ZSTD_compress2(packer_.get(), out.data(), out.size(), in.data(), in.size());
        if (!ZSTD_isError(packed)) return packed;
        switch (ZSTD_getErrorCode(packed)) {
            case ZSTD_error_dstSize_tooSmall: return codec::does_not_fit();
            case ZSTD_error_memory_allocation: return no_memory();
            default: return fail(Errc::invalid, "codec: libzstd cannot pack");
        }
    }

private:
    struct Free {
        void operator()(ZSTD_DCtx* old) const { ZSTD_freeDCtx(old); }
        void operator()(ZSTD_CCtx* old) const { ZSTD_freeCCtx(old); }
    };

    // True if frames that are complete in `in` have filled `out` exactly: the usual case.
    bool whole_frames(Bytes in, MutBytes out) {
        while (!out.empty()) {
            const size_t frame = ZSTD_findFrameCompressedSize(in.data(), in.size());
            if (ZSTD_isError(frame)) return false;
            const size_t unpacked =
                ZSTD_decompressDCtx(unpacker_.get(), out.data(), out.size(), in.data(), frame);
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

    static Error refused() { return invalid("codec: libzstd refuses its parameters"); }
    static Error no_memory() { return fail(Errc::no_memory, "codec: no memory for zstd"); }

    // The window that is allowed: the block, rounded up to a power of two, at least 1 KiB.
    Status reset_unpacker(size_t block) {
        if (!unpacker_) unpacker_.reset(ZSTD_createDCtx());
        if (!unpacker_) return no_memory();
        const int bits = std::clamp(static_cast<int>(std::bit_width(block - 1)), 10, 30);
        if (ZSTD_isError(ZSTD_DCtx_reset(unpacker_.get(), ZSTD_reset_session_only)) ||
            ZSTD_isError(ZSTD_DCtx_setParameter(unpacker_.get(), ZSTD_d_windowLogMax, bits))) {
            return refused();
        }
        return {};
    }

    Status make_packer() {
        if (packer_) return {};
        std::unique_ptr<ZSTD_CCtx, Free> fresh(ZSTD_createCCtx());
        if (!fresh) return no_memory();
        const int level = std::clamp(level_, ZSTD_minCLevel(), ZSTD_maxCLevel());
        if (ZSTD_isError(ZSTD_CCtx_setParameter(fresh.get(), ZSTD_c_compressionLevel, level))) {
            return refused();
        }
        packer_ = std::move(fresh);
        return {};
    }

    std::unique_ptr<ZSTD_DCtx, Free> unpacker_;
    std::unique_ptr<ZSTD_CCtx, Free> packer_;
    int level_;
};

static_assert(PackingCodec<Zstd>);

}  // namespace vdisk
