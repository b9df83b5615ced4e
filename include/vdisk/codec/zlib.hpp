// SPDX-License-Identifier: BSL-1.0
// Raw deflate with zlib: the most patient decoder. Link with -lz.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <new>

#include <zlib.h>

#include <vdisk/codec/concepts.hpp>

namespace vdisk {

/// Takes its memory (7 KiB, 40 KiB after an odd stream) at the first block. Reads windows of any
/// size, and streams that hold more than the block.
class Zlib {
public:
    static constexpr bool handles(Packing packing) { return packing == Packing::deflate; }

    Status unpack(Packing packing, Bytes in, MutBytes out) {
        if (!handles(packing)) return unsupported("codec: zlib unpacks deflate only");
        if (out.empty()) return {};
        constexpr size_t most = std::numeric_limits<uInt>::max();
        if (out.size() > most) return fail(Errc::limit, "codec: block of 4 GiB or more");
        const Status ready = reset();
        if (!ready) return ready;

        // zlib never writes to its input, whether or not it was built to say so.
        stream_->next_in = reinterpret_cast<Bytef*>(const_cast<byte*>(in.data()));
        stream_->avail_in = static_cast<uInt>(std::min(in.size(), most));
        stream_->next_out = reinterpret_cast<Bytef*>(out.data());
        stream_->avail_out = static_cast<uInt>(out.size());
        switch (inflate(stream_.get(), Z_FINISH)) {
            case Z_OK:
            case Z_BUF_ERROR:
            case Z_STREAM_END:
                if (stream_->avail_out == 0) return {};
                return corrupt("codec: deflate stream ends too early");
            case Z_MEM_ERROR: return no_memory();
            default: return corrupt("codec: deflate stream is damaged");
        }
    }

private:
    struct End {
        void operator()(z_stream* stream) const {
            inflateEnd(stream);
            delete stream;
        }
    };

    static Error no_memory() { return fail(Errc::no_memory, "codec: no memory for zlib"); }

    Status reset() {
        if (stream_) {
            if (inflateReset(stream_.get()) == Z_OK) return {};
            return fail(Errc::invalid, "codec: zlib lost its state");
        }
        // On the heap, since zlib keeps a pointer back to it. Value-initialised, it may be ended.
        std::unique_ptr<z_stream, End> fresh(new (std::nothrow) z_stream{});
        if (!fresh || inflateInit2(fresh.get(), -MAX_WBITS) != Z_OK) return no_memory();
        stream_ = std::move(fresh);
        return {};
    }

    std::unique_ptr<z_stream, End> stream_;
};

static_assert(Codec<Zlib>);

}  // namespace vdisk
