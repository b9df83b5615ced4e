// SPDX-License-Identifier: BSL-1.0
// How compressed blocks are unpacked and packed: whole block in, whole block out.
#pragma once

#include <concepts>

#include <vdisk/core/extent.hpp>
#include <vdisk/core/result.hpp>

namespace vdisk {

/// Unpacks one block. Success means that all of `out` was filled; bytes of `in` after the stream
/// are ignored, and so is what the stream holds beyond `out`. A codec may keep state between
/// calls: one per thread.
template <class C>
concept Codec = std::movable<C> && requires(C& c, Packing packing, Bytes in, MutBytes out) {
    { c.unpack(packing, in, out) } -> std::same_as<Status>;
};

/// Packs one block as well: writes a stream for `in` to `out` and tells its bytes. Errc::limit says
/// that it does not fit: the block is then stored as it is. A stream that would fit with less than
/// 16 bytes to spare may be refused, too. Once a block was packed, no call takes more memory until
/// a larger one comes.
template <class C>
concept PackingCodec = Codec<C> && requires(C& c, Packing packing, Bytes in, MutBytes out) {
    { c.pack(packing, in, out) } -> std::same_as<Result<size_t>>;
};

namespace codec {

[[nodiscard]] constexpr Error does_not_fit() {
    return fail(Errc::limit, "codec: the packed block does not fit");
}

}  // namespace codec

}  // namespace vdisk
