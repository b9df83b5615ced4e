// SPDX-License-Identifier: BSL-1.0
// The parent locator of a differencing image: keys and values in UTF-16 ([MS-VHDX] 2.6.2.6).
#pragma once

#include <vdisk/core/utf16.hpp>
#include <vdisk/format/vhdx/items.hpp>

namespace vdisk::vhdx {

/// Values are that long at the most, as UTF-16 in bytes.
inline constexpr uint32_t max_value_bytes = 65534;

namespace locator {

/// In this order the names of the parent are tried.
inline constexpr std::array<std::string_view, 3> path_keys = {"relative_path", "volume_path",
                                                              "absolute_win32_path"};

// A value as UTF-8, up to a NUL; read in pieces that end between code points.
template <Storage S>
Result<std::string_view> load_text(const S& storage, uint64_t at, uint64_t length,
                                   std::span<char> out) {
    std::array<byte, 256> units;
    size_t used = 0;
    bool ends = false;
    while (length > 0 && !ends) {
        const MutBytes all(units);
        MutBytes piece = all.first(length < all.size() ? static_cast<size_t>(length) : all.size());
        if (const Status read = storage.read(at, piece); !read) return read.error();
        const byte* const last = piece.data() + piece.size() - 2;
        if (piece.size() > 2 && utf16::is_high(utf16::load(last, ByteOrder::little))) {
            piece = piece.first(piece.size() - 2);
        }
        const auto part = utf8_from_utf16(piece, ByteOrder::little, out.subspan(used));
        if (!part) return part;
        for (size_t i = 0; i < piece.size(); i += 2) {
            ends |= utf16::load(piece.data() + i, ByteOrder::little) == 0;
        }
        used += part->size();
        at += piece.size();
        length -= piece.size();
    }
    return std::string_view(out.data(), used);
}

// A path with slashes, without what Windows puts before long ones. May change `text`.
inline std::string_view plain_path(std::span<char> text) {
    for (char& c : text) {
        if (c == '\\') c = '/';
    }
    std::string_view path(text.data(), text.size());
    if (path.starts_with("//?/UNC/")) {
        text[6] = '/';
        path.remove_prefix(6);
    } else if (path.starts_with("//?/") && path.size() > 5 && path[5] == ':') {
        path.remove_prefix(4);
    }
    while (path.starts_with("./")) path.remove_prefix(2);
    return path;
}

template <Storage S>
Result<bool> is_key(const S& storage, const Layout& layout, const ParentLocatorEntry& e,
                    std::string_view key) {
    if (e.key_length.value() != 2 * key.size()) return false;
    std::array<char, 64> buffer;
    const auto text = load_text(storage, layout.parent_locator.at + e.key_offset.value(),
                                e.key_length.value(), buffer);
    if (!text) return text.error();
    return *text == key;
}

// An entry whose key and value lie in the item.
inline Status check_entry(const ParentLocatorEntry& e, const Layout& layout, uint64_t at) {
    const uint32_t length = layout.parent_locator.length;
    const auto lies_in = [&](uint32_t offset, uint32_t bytes) {
        return offset != 0 && bytes != 0 && bytes % 2 == 0 && fits(offset, bytes, length);
    };
    if (lies_in(e.key_offset.value(), e.key_length.value()) &&
        lies_in(e.value_offset.value(), e.value_length.value())) {
        return {};
    }
    return corrupt("vhdx: key or value of the parent locator is not inside it", {Error::none, at});
}

}  // namespace locator

/// The value of a key as UTF-8 in `out`. Errc::not_found where there is none.
template <Storage S>
Result<std::string_view> locator_value(const S& storage, const Layout& layout, std::string_view key,
                                       std::span<char> out) {
    const Text item = layout.parent_locator;
    if (item.length < sizeof(ParentLocatorHeader)) {
        return corrupt("vhdx: parent locator is shorter than its header", {item.length, item.at});
    }
    const auto header = load<ParentLocatorHeader>(storage, item.at);
    if (!header) return header.error();
    if (header->locator_type != vhdx_parent_locator) {
        return unsupported("vhdx: parent locator is of an unknown type", {Error::none, item.at});
    }
    const uint32_t count = header->key_value_count.value();
    if (!fits(sizeof(ParentLocatorHeader), uint64_t{count} * sizeof(ParentLocatorEntry),
              item.length)) {
        return corrupt("vhdx: entries of the parent locator are not inside it", {count, item.at});
    }
    for (uint32_t i = 0; i < count; ++i) {
        const uint64_t at =
            item.at + sizeof(ParentLocatorHeader) + uint64_t{i} * sizeof(ParentLocatorEntry);
        const auto e = load<ParentLocatorEntry>(storage, at);
        if (!e) return e.error();
        if (Status inside = locator::check_entry(*e, layout, at); !inside) return inside.error();
        const auto wanted = locator::is_key(storage, layout, *e, key);
        if (!wanted) return wanted.error();
        if (!*wanted) continue;
        return locator::load_text(storage, item.at + e->value_offset.value(),
                                  e->value_length.value(), out);
    }
    return fail(Errc::not_found, "vhdx: the image names no other parent");
}

/// "{00112233-...}" to the bytes of the file; braces may be missing. Errc::corrupt where it is
/// none.
[[nodiscard]] constexpr Result<Guid> guid_from_text(std::string_view text) {
    if (text.size() == 38 && text.front() == '{' && text.back() == '}') text = text.substr(1, 36);
    if (text.size() != 36) return corrupt("vhdx: parent_linkage is no GUID");
    constexpr std::array<uint8_t, 16> order = {3, 2, 1,  0,  5,  4,  7,  6,
                                               8, 9, 10, 11, 12, 13, 14, 15};
    Guid out;
    size_t i = 0;
    for (size_t k = 0; k < text.size(); ++k) {
        const char c = text[k];
        const bool is_dash = k == 8 || k == 13 || k == 18 || k == 23;
        const char lower = static_cast<char>(c | 0x20);
        const bool is_letter = lower >= 'a' && lower <= 'f';
        const bool is_digit = (c >= '0' && c <= '9') || is_letter;
        if (is_dash != (c == '-') || is_dash == is_digit) {
            return corrupt("vhdx: parent_linkage is no GUID");
        }
        if (is_dash) continue;
        const auto digit = static_cast<unsigned>(is_letter ? lower - 'a' + 10 : c - '0');
        byte& b = out.bytes[order[i / 2]];
        b = static_cast<byte>((static_cast<unsigned>(b) << 4 | digit) & 0xFF);
        ++i;
    }
    return out;
}

/// The choice-th name of the parent, as UTF-8 with slashes. One that cannot be read is left out; if
/// that leaves none, the first error is told. Errc::not_found after the last.
template <Storage S>
Result<std::string_view> parent_name(const S& storage, const Layout& layout, unsigned choice,
                                     std::span<char> out) {
    Result<std::string_view> none = fail(Errc::not_found, "vhdx: the image names no other parent");
    bool has_any = false;
    for (const std::string_view key : locator::path_keys) {
        const auto value = locator_value(storage, layout, key, out);
        if (!value) {
            if (!has_any && none.error().code == Errc::not_found) none = value;
            continue;
        }
        const std::string_view path = locator::plain_path(out.first(value->size()));
        if (path.empty()) continue;
        if (choice == 0) return path;
        --choice;
        has_any = true;
    }
    if (has_any) none = fail(Errc::not_found, "vhdx: the image names no other parent");
    return none;
}

/// Whether the parent locator means an image that was last written as `data_write_guid` says.
template <Storage S>
Result<bool> is_linked_to(const S& storage, const Layout& layout, const Guid& data_write_guid) {
    for (const std::string_view key : {"parent_linkage", "parent_linkage2"}) {
        std::array<char, 160> buffer;
        const auto text = locator_value(storage, layout, key, buffer);
        if (!text && text.error().code == Errc::not_found) continue;
        if (!text) return text.error();
        const auto guid = guid_from_text(*text);
        if (!guid) return guid.error();
        if (*guid == data_write_guid) return true;
    }
    return false;
}

}  // namespace vdisk::vhdx
