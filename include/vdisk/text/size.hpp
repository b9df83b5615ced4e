// SPDX-License-Identifier: BSL-1.0
// Sizes as people write and read them, spelled as qemu-img spells them.
#pragma once

#include <cstdio>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <vdisk/core/types.hpp>

namespace vdisk::text {

namespace detail {

[[nodiscard]] inline std::optional<unsigned> unit_bits(char unit) {
    constexpr std::string_view units = "bkmgtpe";
    const char lower = unit >= 'A' && unit <= 'Z' ? static_cast<char>(unit - 'A' + 'a') : unit;
    const size_t found = units.find(lower);
    if (found == std::string_view::npos) return std::nullopt;
    return static_cast<unsigned>(found) * 10;
}

}  // namespace detail

/// "10G", "1.5M", "64k", "0x200", "4096": bytes; units are powers of 1024, a fraction needs one.
/// Nothing if the text is no size or does not fit into 63 bits.
[[nodiscard]] inline std::optional<uint64_t> parse_size(std::string_view text) {
    constexpr uint64_t limit = uint64_t{1} << 63;
    const bool is_hex = text.starts_with("0x") || text.starts_with("0X");
    if (is_hex) text.remove_prefix(2);
    const unsigned base = is_hex ? 16 : 10;
    uint64_t whole = 0;
    size_t digits = 0;
    for (; digits < text.size(); ++digits) {
        const char c = text[digits];
        unsigned digit = 99;
        if (c >= '0' && c <= '9') digit = static_cast<unsigned>(c - '0');
        else if (is_hex && c >= 'a' && c <= 'f') digit = static_cast<unsigned>(c - 'a') + 10;
        else if (is_hex && c >= 'A' && c <= 'F') digit = static_cast<unsigned>(c - 'A') + 10;
        if (digit >= base) break;
        if (whole > (limit - digit) / base) return std::nullopt;
        whole = whole * base + digit;
    }
    if (digits == 0) return std::nullopt;
    text.remove_prefix(digits);
    if (text.empty()) return whole < limit ? std::optional(whole) : std::nullopt;
    if (is_hex) return std::nullopt;

    double fraction = 0;
    if (text.front() == '.') {
        double weight = 0.1;
        for (text.remove_prefix(1); !text.empty() && text.front() >= '0' && text.front() <= '9';
             text.remove_prefix(1), weight /= 10) {
            fraction += weight * (text.front() - '0');
        }
    }
    if (text.size() != 1) return std::nullopt;
    const auto bits = detail::unit_bits(text.front());
    if (!bits || (*bits == 0 && fraction > 0)) return std::nullopt;
    if (whole >= limit >> *bits) return std::nullopt;
    const uint64_t unit = uint64_t{1} << *bits;
    return (whole << *bits) + static_cast<uint64_t>(fraction * static_cast<double>(unit));
}

/// "1.5 GiB": three significant digits, as qemu-img prints sizes.
[[nodiscard]] inline std::string human_size(uint64_t bytes) {
    constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = static_cast<double>(bytes);
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < std::size(units)) {
        value /= 1024;
        ++unit;
    }
    char line[32];
    std::snprintf(line, sizeof line, "%.3g %s", value, units[unit]);
    return line;
}

}  // namespace vdisk::text
