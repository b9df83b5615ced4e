// SPDX-License-Identifier: BSL-1.0
// Raw deflate with zlib: the most patient decoder, and streams that the most modest can read. Link
// with -lz.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <new>

#include <zlib.h>

#include <vdisk/codec/concepts.hpp>

namespace vdisk {

/// Takes its memory at the first block: 7 KiB to unpack (40 KiB after an odd stream), 290 KiB to
/// pack. Reads windows of any size, and streams that hold more than the block. What it packs refers
/// less than 4 KiB back: the window that QEMU gives qcow and qcow2.
class Zlib {
public:
    /// Z_DEFAULT_COMPRESSION, as QEMU; the bytes are the same, too.
    static constexpr int default_level = 6;

    /// `level`: 0 (stored) to 9.
    explicit Zlib(int level = default_level) : level_(level) {}

    static constexpr bool handles(Packing packing) { return packing == Packing::deflate; }

    Status unpack(Packing packing, Bytes in, MutBytes out) {
        if (!handles(packing)) return unsupported("codec: zlib unpacks deflate only");
        if (out.empty()) return {};
        if (out.size() > most) return fail(Errc::limit, "codec: block of 4 GiB or more");
        if (const Status ready = reset_unpacker(); !ready) return ready;
        aim(*unpacker_, in.first(std::min(in.size(), most)), out);
        switch (inflate(unpacker_.get(), Z_FINISH)) {
            case Z_OK:
            case Z_BUF_ERROR:
            case Z_STREAM_END:
                if (unpacker_->avail_out == 0) return {};
                return corrupt("codec: deflate stream ends too early");
            case Z_MEM_ERROR: return no_memory();
            default: return corrupt("codec: deflate stream is damaged");
        }
    }

    Result<size_t> pack(Packing packing, Bytes in, MutBytes out) {
        if (!handles(packing)) return unsupported("codec: zlib packs deflate only");
        if (in.size() > most) return invalid("codec: block of 4 GiB or more");
        if (out.empty()) return codec::does_not_fit();
        if (const Status ready = reset_packer(); !ready) return ready.error();
        out = out.first(std::min(out.size(), most));
        aim(*packer_, in, out);
        if (deflate(packer_.get(), Z_FINISH) != Z_STREAM_END) return codec::does_not_fit();
        return out.size() - packer_->avail_out;
    }

private:
    static constexpr size_t most = std::numeric_limits<uInt>::max();
    static constexpr int pack_window_bits = 12;
    static constexpr int pack_memory_level = 9;

    struct EndUnpacking {
        void operator()(z_stream* stream) const {
            inflateEnd(stream);
            delete stream;
        }
    };
    struct EndPacking {
        void operator()(z_stream* stream) const {
            deflateEnd(stream);
            delete stream;
        }
    };

    static Error no_memory() { return fail(Errc::no_memory, "codec: no memory for zlib"); }

    static Error lost() { return fail(Errc::invalid, "codec: zlib lost its state"); }

    static void aim(z_stream& stream, Bytes in, MutBytes out) {
        // zlib never writes to its input, whether or not it was built to say so.
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<byte*>(in.data()));
        stream.avail_in = static_cast<uInt>(in.size());
        stream.next_out = reinterpret_cast<Bytef*>(out.data());
        stream.avail_out = static_cast<uInt>(out.size());
    }

    Status reset_unpacker() {
        if (unpacker_) return inflateReset(unpacker_.get()) == Z_OK ? Status{} : lost();
        // On the heap, since zlib keeps a pointer back to it. Value-initialised, it may be ended.
        std::unique_ptr<z_stream, EndUnpacking> fresh(new (std::nothrow) z_stream{});
        if (!fresh || inflateInit2(fresh.get(), -MAX_WBITS) != Z_OK) return no_memory();
        unpacker_ = std::move(fresh);
        return {};
    }

    Status reset_packer() {
        if (packer_) return deflateReset(packer_.get()) == Z_OK ? Status{} : lost();
        if (level_ < 0 || level_ > 9) return invalid("codec: zlib has levels 0 to 9");
        std::unique_ptr<z_stream, EndPacking> fresh(new (std::nothrow) z_stream{});
        if (!fresh || deflateInit2(fresh.get(), level_, Z_DEFLATED, -pack_window_bits,
                                   pack_memory_level, Z_DEFAULT_STRATEGY) != Z_OK) {
            return no_memory();
        }
        packer_ = std::move(fresh);
        return {};
    }

    std::unique_ptr<z_stream, EndUnpacking> unpacker_;
    std::unique_ptr<z_stream, EndPacking> packer_;
    int level_;
};

static_assert(PackingCodec<Zlib>);

}  // namespace vdisk
