// SPDX-License-Identifier: BSL-1.0
// How compressed blocks are unpacked: whole block in, whole block out.
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

}  // namespace vdisk
