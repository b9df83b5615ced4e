// SPDX-License-Identifier: BSL-1.0
// Writing compressed blocks, for all formats: pack in any thread, write in one.
#pragma once

#include <vdisk/codec/concepts.hpp>
#include <vdisk/core/zero.hpp>
#include <vdisk/io/write.hpp>

namespace vdisk {

/// An image that takes whole blocks packed. A block has `pack_unit()` bytes; a packed one has at
/// least one byte less, or the format would not know it from a plain one.
///
/// `place_packed(stored_bytes)` gives a packed block a home in the file, at any byte;
/// `commit_packed(at, home, stored_bytes)` shows it to the guest at `at`, a multiple of the unit.
/// As with `place`: a cut before the commit loses the new block and space, and nothing else.
template <class I>
concept PackedWritableImage = WritableImage<I> &&
    requires(I& i, const I& c, uint64_t at, uint64_t home, uint64_t stored_bytes) {
    { c.pack_unit() } -> std::same_as<uint64_t>;
    { c.packing() } -> std::same_as<Packing>;
    { i.place_packed(stored_bytes) } -> std::same_as<Result<uint64_t>>;
    { i.commit_packed(at, home, stored_bytes) } -> std::same_as<Status>;
};

/// Packs a whole block into `out`, which is no shorter than the block. Returns the bytes of the
/// packed block, or 0 if it would not be smaller: such a block is written plain. Needs no image,
/// so threads may pack, each with a codec of its own.
template <PackingCodec C>
Result<size_t> pack_block(C& codec, Packing packing, Bytes block, MutBytes out) {
    if (block.empty()) return invalid("pack: an empty block");
    if (out.size() < block.size()) return invalid("pack: less room than the block has");
    const Result<size_t> packed = codec.pack(packing, block, out.first(block.size() - 1));
    if (packed || packed.error().code != Errc::limit) return packed;
    return 0;
}

/// Writes a block that is packed already as the guest block at `at`. Durable after flush. After a
/// failure the guest finds the old block or the new one.
template <PackedWritableImage I>
Status write_packed(I& image, uint64_t at, Bytes packed) {
    const Result<uint64_t> home = image.place_packed(packed.size());
    if (!home) return home.error();
    if (const Status put = image.storage().write(*home, packed); !put) return put;
    return image.commit_packed(at, *home, packed.size());
}

/// What is known of the layer below the image.
struct PackOptions {
    bool below_is_zero = false;  ///< it is absent or zeros: zeros need not be written over it
};

namespace io {

/// True if the guest reads zeros at [at, at + length) although nothing is stored there.
template <Image I>
Result<bool> is_blank(const I& image, uint64_t at, uint64_t length, PackOptions options) {
    while (length > 0) {
        const Result<Extent> run = image.lookup(at, length);
        if (!run) return run.error();
        const bool blank =
            run->kind == Kind::zero || (run->kind == Kind::absent && options.below_is_zero);
        if (!blank) return false;
        at += run->length;
        length -= run->length;
    }
    return true;
}

}  // namespace io

/// Writes one block, packed if that makes it smaller. `in` is the whole block, or what the disk has
/// of its last one; that is packed with zeros behind it. Zeros where the guest reads zeros anyway
/// are left out. `scratch` holds two blocks.
template <PackedWritableImage I, PackingCodec C>
Status write_block(I& image, C& codec, uint64_t at, Bytes in, MutBytes scratch,
                   PackOptions options = {}) {
    const uint64_t unit = image.pack_unit();
    if (at >= image.size() || (at & (unit - 1)) != 0) return invalid("pack: no block begins here");
    const uint64_t rest = image.size() - at;
    if (in.size() != (rest < unit ? rest : unit)) return invalid("pack: not a whole block");
    if (scratch.size() / 2 < unit) return invalid("pack: scratch memory for less than two blocks");

    if (is_zero(in)) {
        const Result<bool> blank = io::is_blank(image, at, in.size(), options);
        if (!blank) return blank.error();
        if (*blank) return {};
    }
    const auto size = static_cast<size_t>(unit);
    const MutBytes packed = scratch.first(size);
    Bytes block = in;
    if (in.size() < size) {
        const MutBytes padded = scratch.subspan(size, size);
        std::memcpy(padded.data(), in.data(), in.size());
        std::memset(padded.data() + in.size(), 0, size - in.size());
        block = padded;
    }
    const Result<size_t> stored = pack_block(codec, image.packing(), block, packed);
    if (!stored) return stored.error();
    if (*stored == 0) return write(image, at, in, scratch);
    return write_packed(image, at, packed.first(*stored));
}

}  // namespace vdisk
