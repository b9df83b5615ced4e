// SPDX-License-Identifier: BSL-1.0
// Numbers as they stand in files. The only header that includes Boost.
//
// Members of on-disk structs are Boost.Endian's unaligned buffer types: size and order are in the
// type, and a number leaves the file only where `.value()` is written. Entries of tables are read
// with load_be / load_le: explicit shifts, which every compiler folds into one load and a byte
// swap, also with -ffreestanding, where Boost's memcpy would stay a call.
#pragma once

#include <concepts>

#include <boost/endian/buffers.hpp>

#include <vdisk/core/types.hpp>

namespace vdisk {

using be16 = boost::endian::big_uint16_buf_t;
using be32 = boost::endian::big_uint32_buf_t;
using be64 = boost::endian::big_uint64_buf_t;
using le16 = boost::endian::little_uint16_buf_t;
using le32 = boost::endian::little_uint32_buf_t;
using le64 = boost::endian::little_uint64_buf_t;

[[nodiscard]] constexpr uint16_t load_be16(const byte* p) {
    return static_cast<uint16_t>(uint32_t(p[0]) << 8 | uint32_t(p[1]));
}
[[nodiscard]] constexpr uint32_t load_be32(const byte* p) {
    return uint32_t(p[0]) << 24 | uint32_t(p[1]) << 16 | uint32_t(p[2]) << 8 | uint32_t(p[3]);
}
[[nodiscard]] constexpr uint64_t load_be64(const byte* p) {
    return uint64_t(p[0]) << 56 | uint64_t(p[1]) << 48 | uint64_t(p[2]) << 40 |
           uint64_t(p[3]) << 32 | uint64_t(p[4]) << 24 | uint64_t(p[5]) << 16 |
           uint64_t(p[6]) << 8 | uint64_t(p[7]);
}
[[nodiscard]] constexpr uint32_t load_le32(const byte* p) {
    return uint32_t(p[3]) << 24 | uint32_t(p[2]) << 16 | uint32_t(p[1]) << 8 | uint32_t(p[0]);
}
[[nodiscard]] constexpr uint64_t load_le64(const byte* p) {
    return uint64_t(load_le32(p + 4)) << 32 | load_le32(p);
}

/// The counterparts of load_le and load_be, for table entries.
constexpr void store_le32(byte* p, uint32_t value) {
    for (int i = 0; i < 4; ++i, value >>= 8) p[i] = static_cast<byte>(value & 0xFF);
}
constexpr void store_le64(byte* p, uint64_t value) {
    for (int i = 0; i < 8; ++i, value >>= 8) p[i] = static_cast<byte>(value & 0xFF);
}
constexpr void store_be32(byte* p, uint32_t value) {
    for (int i = 3; i >= 0; --i, value >>= 8) p[i] = static_cast<byte>(value & 0xFF);
}
constexpr void store_be64(byte* p, uint64_t value) {
    for (int i = 7; i >= 0; --i, value >>= 8) p[i] = static_cast<byte>(value & 0xFF);
}

}  // namespace vdisk
