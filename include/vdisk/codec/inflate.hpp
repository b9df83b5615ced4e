// SPDX-License-Identifier: BSL-1.0
// Raw deflate with zlib's decoder in memory of the caller: for programs without a heap. zlib may be
// the system's, or one built for bare metal (-DZ_SOLO).
#pragma once

#include <zlib.h>

#include <vdisk/codec/concepts.hpp>

namespace vdisk {

/// Unpacks whole blocks: a window is not needed. All copies share the memory, one thread at a time.
class Inflate {
public:
    /// What the decoder of zlib 1.2.13 takes, and something to spare.
    static constexpr size_t memory_needed = 8192;

    /// `memory` outlives it.
    constexpr explicit Inflate(MutBytes memory) : memory_(memory) {}

    static constexpr bool handles(Packing packing) { return packing == Packing::deflate; }

    Status unpack(Packing packing, Bytes in, MutBytes out) {
        if (!handles(packing)) return unsupported("codec: zlib unpacks deflate only");
        if (out.empty()) return {};
        if (in.size() >> 31 != 0 || out.size() >> 31 != 0) {
            return fail(Errc::limit, "codec: block of 2 GiB or more");
        }
        free_ = memory_;
        z_stream stream{};
        stream.zalloc = take;
        stream.zfree = [](voidpf, voidpf) {};  // the next block begins anew
        stream.opaque = this;
        // zlib never writes to its input, whether or not it was built to say so.
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<byte*>(in.data()));
        stream.avail_in = static_cast<uInt>(in.size());
        stream.next_out = reinterpret_cast<Bytef*>(out.data());
        stream.avail_out = static_cast<uInt>(out.size());
        if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) {
            return fail(Errc::no_memory, "codec: no memory for zlib", {.value = memory_.size()});
        }
        const int result = inflate(&stream, Z_FINISH);
        // Z_MEM_ERROR: the stream goes on behind the block, for which there would be a window.
        if (stream.avail_out == 0 && result != Z_DATA_ERROR) return {};
        if (result == Z_DATA_ERROR) return corrupt("codec: deflate stream is damaged");
        return corrupt("codec: deflate stream ends too early");
    }

private:
    static voidpf take(voidpf self, uInt count, uInt size) {
        MutBytes& free = static_cast<Inflate*>(self)->free_;
        const size_t padding = (16 - (reinterpret_cast<uintptr_t>(free.data()) & 15)) & 15;
        const size_t bytes = size_t{count} * size;
        if (padding > free.size() || bytes > free.size() - padding) return nullptr;
        const voidpf block = free.data() + padding;
        free = free.subspan(padding + bytes);
        return block;
    }

    MutBytes memory_;
    MutBytes free_;
};

static_assert(Codec<Inflate>);

}  // namespace vdisk
