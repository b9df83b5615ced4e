// SPDX-License-Identifier: BSL-1.0
// The answer of every format to "where are these bytes?".
#pragma once

#include <vdisk/core/types.hpp>

namespace vdisk {

/// What a run of guest bytes is.
enum class Kind : uint8_t {
    absent,      ///< this image says nothing about it: ask below (a base image reads as zeros)
    zero,        ///< zeros, and they hide what is below
    data,        ///< stored as it is, contiguous in the file
    compressed,  ///< part of one block that must be unpacked
};

/// How a compressed block is packed.
enum class Packing : uint8_t {
    deflate,  ///< raw deflate, RFC 1951
    zstd,     ///< Zstandard frames, RFC 8878
};

/// One run of guest bytes that has a single kind and, for data, is contiguous in the file.
struct Extent {
    Kind kind = Kind::absent;
    uint64_t at = 0;      ///< offset in the file. compressed: where the stream starts.
                          ///< zero, absent: the home that is reserved for the run, or 0
    uint64_t length = 0;  ///< guest bytes in this run; never 0, never more than was asked for
    uint32_t depth = 0;   ///< in a chain: how many images down it was found; 0 is the top

    /// Only for Kind::compressed.
    struct Packed {
        uint32_t stored = 0;  ///< bytes of the file that may hold the stream (it may end earlier)
        uint32_t unit = 0;    ///< bytes of the whole block when unpacked
        uint32_t skip = 0;    ///< where in the unpacked block this run begins
        Packing packing = Packing::deflate;
        friend bool operator==(const Packed&, const Packed&) = default;
    } packed = {};

    friend bool operator==(const Extent&, const Extent&) = default;
};

}  // namespace vdisk
