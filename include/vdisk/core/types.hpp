// SPDX-License-Identifier: BSL-1.0
// The few names that every other header uses: fixed-width integers and byte ranges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vdisk {

using std::byte;
using std::size_t;
using std::uint16_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

/// Bytes that are only read. Never owns them.
using Bytes = std::span<const byte>;
/// Bytes that are written. Never owns them.
using MutBytes = std::span<byte>;

/// False where there is no operating system: what is merely faster with more memory has less there.
inline constexpr bool is_hosted = __STDC_HOSTED__ != 0;

/// log2 of the bytes that go onto the stack of a table that is walked or copied piece by piece.
inline constexpr unsigned table_piece_bits = is_hosted ? 9 : 6;
inline constexpr size_t table_piece = size_t{1} << table_piece_bits;

inline namespace sizes {
constexpr uint64_t operator""_KiB(unsigned long long n) { return n << 10; }
constexpr uint64_t operator""_MiB(unsigned long long n) { return n << 20; }
constexpr uint64_t operator""_GiB(unsigned long long n) { return n << 30; }
constexpr uint64_t operator""_TiB(unsigned long long n) { return n << 40; }
}  // namespace sizes

}  // namespace vdisk
