// SPDX-License-Identifier: BSL-1.0
// Names in UTF-16, as Microsoft's formats have them, to UTF-8 and back. In the caller's memory.
#pragma once

#include <span>
#include <string_view>

#include <vdisk/core/result.hpp>

namespace vdisk {

/// Which byte of a unit or field comes first.
enum class ByteOrder : uint8_t { big, little };

namespace utf16 {

[[nodiscard]] constexpr uint16_t load(const byte* p, ByteOrder order) {
    const auto first = static_cast<unsigned>(p[0]), second = static_cast<unsigned>(p[1]);
    return static_cast<uint16_t>(order == ByteOrder::big ? first << 8 | second
                                                         : second << 8 | first);
}

constexpr void store(byte* p, uint32_t unit, ByteOrder order) {
    const auto high = static_cast<byte>(unit >> 8 & 0xFF), low = static_cast<byte>(unit & 0xFF);
    p[0] = order == ByteOrder::big ? high : low;
    p[1] = order == ByteOrder::big ? low : high;
}

[[nodiscard]] constexpr bool is_high(uint32_t unit) { return unit >> 10 == 0xD800 >> 10; }
[[nodiscard]] constexpr bool is_low(uint32_t unit) { return unit >> 10 == 0xDC00 >> 10; }

/// Whether there is a NUL among the units: names end there.
[[nodiscard]] constexpr bool has_nul(Bytes units) {
    for (size_t i = 0; i + 1 < units.size(); i += 2) {
        if (units[i] == byte{0} && units[i + 1] == byte{0}) return true;
    }
    return false;
}

/// Bytes of `point` in UTF-8.
[[nodiscard]] constexpr size_t width(uint32_t point) {
    return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

/// Writes `point` to `out`, which has room for width(point) characters.
constexpr void put(char* out, uint32_t point) {
    const size_t n = width(point);
    for (size_t i = n; i-- > 1; point >>= 6) out[i] = static_cast<char>(0x80 | (point & 0x3F));
    constexpr unsigned lead[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    out[0] = static_cast<char>(lead[n] | point);
}

/// Takes one code point off the front of `text`; ~0 where it is not UTF-8.
constexpr uint32_t take(std::string_view& text) {
    constexpr uint32_t bad = ~uint32_t{0};
    const auto lead = static_cast<uint8_t>(text[0]);
    const size_t n = lead < 0x80   ? 1
                     : lead < 0xC2 ? 0
                     : lead < 0xE0 ? 2
                     : lead < 0xF0 ? 3
                     : lead < 0xF5 ? 4
                                   : 0;
    if (n == 0 || n > text.size()) return bad;
    uint32_t point = n == 1 ? lead : lead & (0x7Fu >> n);
    for (size_t i = 1; i < n; ++i) {
        const auto next = static_cast<uint8_t>(text[i]);
        if (next >> 6 != 2) return bad;
        point = point << 6 | (next & 0x3F);
    }
    text.remove_prefix(n);
    return width(point) == n && point < 0x110000 && point >> 11 != 0xD800 >> 11 ? point : bad;
}

}  // namespace utf16

/// `units` as UTF-8 in `out`. Ends at a NUL; a last odd byte is left out. Errc::corrupt where a
/// surrogate stands alone, Errc::limit where `out` is too small.
constexpr Result<std::string_view> utf8_from_utf16(Bytes units, ByteOrder order,
                                                   std::span<char> out) {
    size_t used = 0;
    for (size_t at = 0; at + 1 < units.size(); at += 2) {
        uint32_t point = utf16::load(units.data() + at, order);
        if (point == 0) break;
        if (utf16::is_high(point) && at + 3 < units.size()) {
            const uint32_t low = utf16::load(units.data() + at + 2, order);
            if (!utf16::is_low(low)) return corrupt("name: a UTF-16 surrogate stands alone");
            point = 0x10000 + ((point & 0x3FF) << 10 | (low & 0x3FF));
            at += 2;
        } else if (utf16::is_high(point) || utf16::is_low(point)) {
            return corrupt("name: a UTF-16 surrogate stands alone");
        }
        if (out.size() - used < utf16::width(point)) {
            return fail(Errc::limit, "name: longer than allowed");
        }
        utf16::put(out.data() + used, point);
        used += utf16::width(point);
    }
    return std::string_view(out.data(), used);
}

/// Writes `text` as UTF-16 to `out` and says how many bytes that took. Errc::invalid where it is
/// not UTF-8, Errc::limit where `out` is too small.
constexpr Result<size_t> utf16_from_utf8(std::string_view text, ByteOrder order, MutBytes out) {
    size_t used = 0;
    const auto put = [&](uint32_t unit) {
        if (out.size() - used < 2) return false;
        utf16::store(out.data() + used, unit, order);
        used += 2;
        return true;
    };
    while (!text.empty()) {
        const uint32_t point = utf16::take(text);
        if (point == ~uint32_t{0}) return invalid("name: is not UTF-8");
        const bool fitted = point < 0x10000 ? put(point)
                                            : put(0xD800 + ((point - 0x10000) >> 10)) &&
                                                  put(0xDC00 + ((point - 0x10000) & 0x3FF));
        if (!fitted) return fail(Errc::limit, "name: longer than allowed");
    }
    return used;
}

}  // namespace vdisk
