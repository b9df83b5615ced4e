// SPDX-License-Identifier: BSL-1.0
// CRC-32C (Castagnoli): the checksum of VHDX. With the processor's own instruction where it has
// one.
#pragma once

#include <array>
#include <type_traits>

#include <vdisk/core/endian.hpp>

namespace vdisk {

namespace crc {

/// Eight tables of 1 KiB each take eight bytes at a time; where there is no system, one has to do.
inline constexpr size_t table_count = is_hosted ? 8 : 1;

using Table = std::array<std::array<uint32_t, 256>, table_count>;

/// Table n tells what a byte does to the sum when n bytes follow it.
consteval Table make_tables() {
    Table out{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t sum = i;
        for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ ((sum & 1) != 0 ? 0x82F63B78u : 0);
        out[0][i] = sum;
    }
    for (size_t n = 1; n < out.size(); ++n) {
        for (size_t i = 0; i < 256; ++i) {
            out[n][i] = out[n - 1][i] >> 8 ^ out[0][out[n - 1][i] & 0xFF];
        }
    }
    return out;
}
inline constexpr Table tables = make_tables();

constexpr uint32_t portable(Bytes in, uint32_t state) {
    const byte* p = in.data();
    size_t rest = in.size();
    if constexpr (table_count == 8) {
        for (; rest >= 8; p += 8, rest -= 8) {
            const uint64_t word = load_le64(p) ^ state;
            state = 0;
            for (size_t i = 0; i < 8; ++i) state ^= tables[7 - i][word >> (8 * i) & 0xFF];
        }
    }
    for (; rest > 0; ++p, --rest) {
        state = state >> 8 ^ tables[0][(state ^ static_cast<uint32_t>(*p)) & 0xFF];
    }
    return state;
}

#if defined(__x86_64__) && (defined(__SSE4_2__) || __STDC_HOSTED__)
inline constexpr bool may_have_instruction = true;

[[nodiscard]] inline bool has_instruction() {
#if defined(__SSE4_2__)
    return true;
#else
    return __builtin_cpu_supports("sse4.2") != 0;
#endif
}

[[gnu::target("sse4.2")]] inline uint32_t by_instruction(Bytes in, uint32_t state) {
    const byte* p = in.data();
    size_t rest = in.size();
    uint64_t wide = state;
    for (; rest >= 8; p += 8, rest -= 8) {
        uint64_t word;  // as a whole: of eight bytes a sanitizer would look at each
        __builtin_memcpy(&word, p, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    state = static_cast<uint32_t>(wide);
    for (; rest > 0; ++p, --rest) {
        state = __builtin_ia32_crc32qi(state, static_cast<unsigned char>(*p));
    }
    return state;
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
inline constexpr bool may_have_instruction = true;

[[nodiscard]] constexpr bool has_instruction() { return true; }

inline uint32_t by_instruction(Bytes in, uint32_t state) {
    const byte* p = in.data();
    size_t rest = in.size();
    for (; rest >= 8; p += 8, rest -= 8) state = __builtin_aarch64_crc32cx(state, load_le64(p));
    for (; rest > 0; ++p, --rest) {
        state = __builtin_aarch64_crc32cb(state, static_cast<unsigned char>(*p));
    }
    return state;
}
#else
inline constexpr bool may_have_instruction = false;

[[nodiscard]] constexpr bool has_instruction() { return false; }
constexpr uint32_t by_instruction(Bytes in, uint32_t state) { return portable(in, state); }
#endif

}  // namespace crc

/// The CRC-32C of `in`; of a longer piece if `before` is that of what stands before it.
[[nodiscard]] constexpr uint32_t crc32c(Bytes in, uint32_t before = 0) {
    if (!std::is_constant_evaluated() && crc::may_have_instruction && crc::has_instruction()) {
        return ~crc::by_instruction(in, ~before);
    }
    return ~crc::portable(in, ~before);
}

}  // namespace vdisk
