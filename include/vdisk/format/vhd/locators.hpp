// SPDX-License-Identifier: BSL-1.0
// The names a differencing image has for its parent.
#pragma once

#include <vdisk/core/utf16.hpp>
#include <vdisk/format/vhd/layout.hpp>

namespace vdisk::vhd {

/// Bytes of a stored path, at the most.
inline constexpr uint32_t max_locator_bytes = 65536;

namespace locators {

/// In this order the names of the parent are tried; the Unicode name comes last.
inline constexpr std::array<uint32_t, 5> choices = {platform::w2ru, platform::w2ku, platform::macx,
                                                    platform::wi2r, platform::wi2k};

inline Error missing() { return fail(Errc::not_found, "vhd: the image names no other parent"); }

// Backslashes become slashes, and "./" goes from the front.
inline std::string_view as_path(std::span<char> name) {
    for (char& c : name) {
        if (c == '\\') c = '/';
    }
    std::string_view path(name.data(), name.size());
    while (path.starts_with("./")) path.remove_prefix(2);
    return path;
}

constexpr int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// "file://localhost/a%20b" in place: "/a b"; "file://./b", as Xen writes it: "b".
inline Result<std::string_view> from_url(std::span<char> url) {
    std::string_view text(url.data(), url.size());
    if (!text.starts_with("file://")) return missing();
    text.remove_prefix(7);
    if (text.starts_with("localhost/")) text.remove_prefix(9);
    size_t used = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '%' && i + 2 < text.size()) {
            const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
            if (high < 0 || low < 0) return corrupt("vhd: MacX locator is no URL");
            c = static_cast<char>(high * 16 + low);
            i += 2;
        }
        if (c == 0) return corrupt("vhd: MacX locator holds a NUL");
        url[used++] = c;
    }
    std::string_view path(url.data(), used);
    while (path.starts_with("./")) path.remove_prefix(2);
    return path;
}

// A code page is not stated: only what is the same in all of them can be read.
inline Result<std::string_view> from_ascii(std::span<char> text) {
    size_t used = 0;
    for (; used < text.size() && text[used] != 0; ++used) {
        if (static_cast<uint8_t>(text[used]) >= 0x80) return missing();
    }
    return as_path(text.first(used));
}

inline Result<std::string_view> from_utf16(Bytes units, ByteOrder order, std::span<char> out) {
    const auto name = utf8_from_utf16(units, order, out);
    if (!name) return name;
    return as_path(out.first(name->size()));
}

// Where the path of a locator stands, checked.
inline Result<Text> text_of(const ParentLocator& locator, const Layout& layout) {
    const uint64_t at = locator.platform_data_offset.value();
    const uint32_t length = locator.platform_data_length.value();
    if (length > max_locator_bytes || !fits(at, length, layout.data_end)) {
        return corrupt("vhd: parent locator is too long or past the end of the file",
                       {at, layout.header_at + 576});
    }
    return Text{at, length};
}

// UTF-16 is read in pieces that end between code points; `out` takes the UTF-8.
template <Storage S>
Result<std::string_view> load_utf16(const S& storage, Text text, std::span<char> out) {
    std::array<byte, 256> units;
    size_t used = 0;
    for (uint64_t at = text.at, rest = text.length & ~1u; rest > 0;) {
        const MutBytes all(units);
        MutBytes piece = all.first(rest < all.size() ? static_cast<size_t>(rest) : all.size());
        if (const Status read = storage.read(at, piece); !read) return read.error();
        const byte* const last = piece.data() + piece.size() - 2;
        if (piece.size() > 2 && utf16::is_high(utf16::load(last, ByteOrder::little))) {
            piece = piece.first(piece.size() - 2);
        }
        const auto part = utf8_from_utf16(piece, ByteOrder::little, out.subspan(used));
        if (!part) return part;
        used += part->size();
        if (utf16::has_nul(piece)) break;
        at += piece.size();
        rest -= piece.size();
    }
    return as_path(out.first(used));
}

template <Storage S>
Result<std::string_view> load(const S& storage, const ParentLocator& locator, const Layout& layout,
                              std::span<char> out) {
    const auto found = text_of(locator, layout);
    if (!found) return found.error();
    const Text text = *found;
    const uint32_t code = locator.platform_code.value();
    if (code == platform::w2ru || code == platform::w2ku) return load_utf16(storage, text, out);
    if (text.length > out.size()) return fail(Errc::limit, "name: longer than allowed");
    out = out.first(text.length);
    if (Status read = storage.read(text.at, std::as_writable_bytes(out)); !read) {
        return read.error();
    }
    return code == platform::macx ? from_url(out) : from_ascii(out);
}

inline std::string_view base_name(std::string_view path) {
    const size_t slash = path.rfind('/');
    return slash == path.npos ? path : path.substr(slash + 1);
}

}  // namespace locators

/// The choice-th name of the parent, as UTF-8 with slashes in `out`; relative ones are meant from
/// the folder of the image. Names that nobody can read are left out; where there are no others, it
/// is told what is wrong with the first. Errc::not_found after the last.
template <Storage S>
Result<std::string_view> parent_name(const S& storage, const Layout& layout, unsigned choice,
                                     std::span<char> out) {
    const auto header = vdisk::load<DynamicHeader>(storage, layout.header_at);
    if (!header) return header.error();
    const bool is_first = choice == 0;
    Error why = locators::missing();
    for (const uint32_t code : locators::choices) {
        for (const ParentLocator& locator : header->parent_locators) {
            if (locator.platform_code.value() != code) continue;
            const auto name = locators::load(storage, locator, layout, out);
            if (!name && name.error().code == Errc::io) return name;
            if (!name && why.code == Errc::not_found) why = name.error();
            if (!name || name->empty()) continue;
            if (choice == 0) return name;
            --choice;
        }
    }
    if (choice > 0) return locators::missing();
    const auto name = locators::from_utf16(header->parent_unicode_name, ByteOrder::big, out);
    const std::string_view base = name ? locators::base_name(*name) : std::string_view();
    if (!base.empty()) return base;
    if (!is_first) return locators::missing();
    return why.code == Errc::not_found && !name ? name : why;
}

}  // namespace vdisk::vhd
