// SPDX-License-Identifier: BSL-1.0
// Numbers as they stand in files. The only header that includes Boost.
//
// Members of on-disk structs are Boost.Endian's unaligned buffer types: size and order are in the
// type, and a number leaves the file only where `.value()` is written. Entries of tables are read
// with load_be / load_le. Both are explicit shifts, which every compiler folds into one load and a
// byte swap, also with -ffreestanding, where Boost's own memcpy would stay a call.
#pragma once

#include <concepts>

#include <vdisk/core/types.hpp>

// Without an operating system libstdc++ refuses <iosfwd> (from version 13 on). Boost wants two
// names of it, for operators that nobody calls.
#if !__STDC_HOSTED__ && _GLIBCXX_RELEASE >= 13 && !defined(_GLIBCXX_IOSFWD)
#define _GLIBCXX_IOSFWD 1
namespace std {
template <class, class>
class basic_istream;
template <class, class>
class basic_ostream;
}  // namespace std
#endif
#include <boost/endian/buffers.hpp>

namespace vdisk {

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
[[nodiscard]] constexpr uint16_t load_le16(const byte* p) {
    return static_cast<uint16_t>(uint32_t(p[1]) << 8 | uint32_t(p[0]));
}
[[nodiscard]] constexpr uint32_t load_le32(const byte* p) {
    return uint32_t(p[3]) << 24 | uint32_t(p[2]) << 16 | uint32_t(p[1]) << 8 | uint32_t(p[0]);
}
[[nodiscard]] constexpr uint64_t load_le64(const byte* p) {
    return uint64_t(load_le32(p + 4)) << 32 | load_le32(p);
}

/// The counterparts of load_le and load_be.
constexpr void store_le16(byte* p, uint16_t value) {
    p[0] = static_cast<byte>(value & 0xFF);
    p[1] = static_cast<byte>(value >> 8);
}
constexpr void store_le32(byte* p, uint32_t value) {
    p[0] = static_cast<byte>(value & 0xFF);
    p[1] = static_cast<byte>(value >> 8 & 0xFF);
    p[2] = static_cast<byte>(value >> 16 & 0xFF);
    p[3] = static_cast<byte>(value >> 24);
}
constexpr void store_le64(byte* p, uint64_t value) {
    store_le32(p, static_cast<uint32_t>(value & 0xFFFFFFFF));
    store_le32(p + 4, static_cast<uint32_t>(value >> 32));
}
constexpr void store_be16(byte* p, uint16_t value) {
    p[0] = static_cast<byte>(value >> 8);
    p[1] = static_cast<byte>(value & 0xFF);
}
constexpr void store_be32(byte* p, uint32_t value) {
    p[0] = static_cast<byte>(value >> 24);
    p[1] = static_cast<byte>(value >> 16 & 0xFF);
    p[2] = static_cast<byte>(value >> 8 & 0xFF);
    p[3] = static_cast<byte>(value & 0xFF);
}
constexpr void store_be64(byte* p, uint64_t value) {
    store_be32(p, static_cast<uint32_t>(value >> 32));
    store_be32(p + 4, static_cast<uint32_t>(value & 0xFFFFFFFF));
}

/// A number in a file: the Boost type, read and written by the functions above.
template <class Buffer, auto Load, auto Store>
struct Stored : Buffer {
    using Value = typename Buffer::value_type;

    Stored() = default;
    explicit Stored(Value value) { *this = value; }
    Stored& operator=(Value value) {
        Store(reinterpret_cast<byte*>(this->data()), value);
        return *this;
    }
    [[nodiscard]] Value value() const { return Load(reinterpret_cast<const byte*>(this->data())); }
};

using be16 = Stored<boost::endian::big_uint16_buf_t, load_be16, store_be16>;
using be32 = Stored<boost::endian::big_uint32_buf_t, load_be32, store_be32>;
using be64 = Stored<boost::endian::big_uint64_buf_t, load_be64, store_be64>;
using le16 = Stored<boost::endian::little_uint16_buf_t, load_le16, store_le16>;
using le32 = Stored<boost::endian::little_uint32_buf_t, load_le32, store_le32>;
using le64 = Stored<boost::endian::little_uint64_buf_t, load_le64, store_le64>;

}  // namespace vdisk
