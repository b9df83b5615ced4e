// SPDX-License-Identifier: BSL-1.0
// The codecs of this system, chosen by the headers that are found.
//
// A header that is found has to be linked as well: the CMake target vdisk::codecs links what this
// file picks. Whoever builds without it names the codecs wanted: `Codecs<Zlib>`.
#pragma once

#include <vdisk/codec/codecs.hpp>
#include <vdisk/codec/zlib.hpp>

#if __has_include(<libdeflate.h>) && !defined(VDISK_WITHOUT_LIBDEFLATE)
#include <vdisk/codec/libdeflate.hpp>
#endif
#if __has_include(<zstd.h>) && !defined(VDISK_WITHOUT_ZSTD)
#include <vdisk/codec/zstd.hpp>
#endif

namespace vdisk {

namespace detail {
#if __has_include(<libdeflate.h>) && !defined(VDISK_WITHOUT_LIBDEFLATE)
using SystemDeflate = Codecs<Libdeflate, Zlib>;
#else
using SystemDeflate = Codecs<Zlib>;
#endif
#if __has_include(<zstd.h>) && !defined(VDISK_WITHOUT_ZSTD)
using SystemZstd = Codecs<Zstd>;
#else
using SystemZstd = Codecs<>;
#endif
}  // namespace detail

/// Deflate always, zstd where libzstd is installed. One per thread. What is installed but not to be
/// used is named to CMake: -DVDISK_WITHOUT=libdeflate.
using SystemCodecs = Codecs<detail::SystemDeflate, detail::SystemZstd>;

}  // namespace vdisk
