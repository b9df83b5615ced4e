// SPDX-License-Identifier: BSL-1.0
// Text from images, made harmless: a name in a hostile image may not drive the user's terminal.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include <vdisk/core/types.hpp>

namespace vdisk::text {

/// One character of UTF-8 text; `code` is `invalid` for a byte that belongs to none.
struct CodePoint {
    static constexpr uint32_t invalid = ~uint32_t{0};
    uint32_t code = invalid;
    size_t length = 1;  ///< bytes
};

/// The character `text` begins with; `text` is not empty. Overlong forms and surrogates are
/// invalid.
[[nodiscard]] inline CodePoint decode(std::string_view text) {
    const auto first = static_cast<unsigned char>(text[0]);
    if (first < 0x80) return {first, 1};
    const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || text.size() < length) return {};
    uint32_t code = first & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; ++i) {
        const auto next = static_cast<unsigned char>(text[i]);
        if ((next & 0xC0) != 0x80) return {};
        code = code << 6 | (next & 0x3F);
    }
    constexpr uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    if (code < smallest[length] || code > 0x10FFFF || surrogate) return {};
    return {code, length};
}

/// True for characters that only show: no controls, no line ends, nothing that turns the order
/// of what follows or hides in it.
[[nodiscard]] constexpr bool is_printable(uint32_t code) {
    if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return false;
    if (code == 0xAD || code == 0x61C || code == 0xFEFF) return false;
    if ((code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E)) return false;
    if (code >= 0x2060 && code <= 0x206F) return false;
    return code < 0xE0000;
}

/// `text` with everything that is not printable as \xNN, byte by byte.
[[nodiscard]] inline std::string printable(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const CodePoint point = decode(text);
        const std::string_view bytes = text.substr(0, point.length);
        text.remove_prefix(point.length);
        if (is_printable(point.code)) {
            out += bytes;
            continue;
        }
        for (const char c : bytes) {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\x%02x", unsigned{static_cast<uint8_t>(c)});
            out += escaped;
        }
    }
    return out;
}

}  // namespace vdisk::text
