// SPDX-License-Identifier: BSL-1.0
// How the path of a parent is written down, for each kind of locator.
#pragma once

#include <vdisk/format/vhd/locators.hpp>

namespace vdisk::vhd {

/// The image a differencing image is made on. Paths are UTF-8 with slashes.
struct ParentLink {
    Guid unique_id;
    uint32_t time_stamp = 0;  ///< of its last change: seconds since the year 2000; 0 says nothing
    std::string_view relative_path = {};  ///< from the folder of the child
    std::string_view absolute_path = {};
};

namespace paths {

/// Longer ones are refused.
inline constexpr size_t max_path = 4096;
inline constexpr size_t max_encoded = 2 * max_path + 4;

inline bool is_relative(uint32_t code) { return code == platform::w2ru || code == platform::wi2r; }

// UTF-16LE with backslashes; a relative path begins with a point.
inline Result<size_t> windows(std::string_view path, bool relative, MutBytes out) {
    size_t used = 0;
    if (relative && !path.starts_with("../") && !path.starts_with("./")) {
        const auto prefix = utf16_from_utf8(".\\", ByteOrder::little, out);
        if (!prefix) return prefix;
        used = *prefix;
    }
    const auto rest = utf16_from_utf8(path, ByteOrder::little, out.subspan(used));
    if (!rest) return rest;
    for (size_t i = 0; i < *rest; i += 2) {
        byte* const unit = out.data() + used + i;
        if (utf16::load(unit, ByteOrder::little) == '/') {
            utf16::store(unit, '\\', ByteOrder::little);
        }
    }
    return used + *rest;
}

// "file://" and the path, with what a URL may not hold as %XX.
inline Result<size_t> url(std::string_view path, MutBytes out) {
    size_t used = 0;
    const auto put = [&](char c) {
        if (used < out.size()) out[used] = static_cast<byte>(c);
        ++used;
    };
    for (const char c : std::string_view("file://")) put(c);
    constexpr std::string_view plain = "/.-_~:@!$&'()*+,;=";
    for (const char c : path) {
        const bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                              (c >= 'A' && c <= 'Z') || plain.find(c) != plain.npos;
        if (is_plain) {
            put(c);
            continue;
        }
        put('%');
        put("0123456789ABCDEF"[static_cast<uint8_t>(c) >> 4]);
        put("0123456789ABCDEF"[static_cast<uint8_t>(c) & 15]);
    }
    if (used > out.size()) return fail(Errc::limit, "name: longer than allowed");
    return used;
}

inline Result<size_t> ascii(std::string_view path, MutBytes out) {
    if (path.size() > out.size()) return fail(Errc::limit, "name: longer than allowed");
    for (size_t i = 0; i < path.size(); ++i) {
        if (static_cast<uint8_t>(path[i]) >= 0x80) {
            return unsupported("vhd: this kind of locator holds ASCII alone");
        }
        out[i] = static_cast<byte>(path[i] == '/' ? '\\' : path[i]);
    }
    return path.size();
}

}  // namespace paths

/// Writes the path as a locator of this kind has it, and says how many bytes it took; 0 where there
/// is no such path. Errc::unsupported where that kind cannot hold it.
inline Result<size_t> encode_path(uint32_t code, const ParentLink& link, MutBytes out) {
    const bool relative = paths::is_relative(code);
    const std::string_view path = relative ? link.relative_path : link.absolute_path;
    if (path.empty()) return size_t{0};
    if (code != platform::macx && path.find('\\') != path.npos) {
        return invalid("vhd: a path of Windows cannot have a backslash in a name");
    }
    if (path.size() > paths::max_path) return fail(Errc::limit, "name: longer than allowed");
    switch (code) {
        case platform::w2ru:
        case platform::w2ku: return paths::windows(path, relative, out);
        case platform::macx: return paths::url(path, out);
        case platform::wi2r:
        case platform::wi2k: return paths::ascii(path, out);
        default: return unsupported("vhd: locator of a kind that nobody writes", {code});
    }
}

/// The name field of the header: the file's name alone. It is cut where it is too long.
inline Status put_unicode_name(const ParentLink& link, DynamicHeader& header) {
    const std::string_view path =
        link.relative_path.empty() ? link.absolute_path : link.relative_path;
    header.parent_unicode_name.fill(byte{0});
    const auto name =
        utf16_from_utf8(locators::base_name(path), ByteOrder::big, header.parent_unicode_name);
    if (name) return {};
    if (name.error().code != Errc::limit) return name.error();
    byte* const last = &header.parent_unicode_name[header.parent_unicode_name.size() - 2];
    if (utf16::is_high(utf16::load(last, ByteOrder::big))) utf16::store(last, 0, ByteOrder::big);
    return {};
}

}  // namespace vdisk::vhd
