// SPDX-License-Identifier: BSL-1.0
// A parent locator as it is written.
#pragma once

#include <vdisk/core/utf16.hpp>
#include <vdisk/format/vhdx/items.hpp>

namespace vdisk::vhdx {

/// The image a differencing image is made on. Paths are UTF-8 with slashes.
struct ParentLink {
    Guid data_write_guid;
    /// Another that it may have, as long as somebody merges into it; nil: none.
    Guid next_data_write_guid = {};
    std::string_view relative_path = {};  ///< from the folder of the child
    std::string_view absolute_path = {};
};

namespace create_parts {

/// "{00112233-...}" of a GUID of the file.
[[nodiscard]] inline std::array<char, 38> text_of(const Guid& guid) {
    constexpr std::array<uint8_t, 16> order = {3, 2, 1,  0,  5,  4,  7,  6,
                                               8, 9, 10, 11, 12, 13, 14, 15};
    std::array<char, 38> out{};
    size_t at = 0;
    out[at++] = '{';
    for (size_t i = 0; i < 16; ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) out[at++] = '-';
        const auto value = static_cast<unsigned>(guid.bytes[order[i]]);
        out[at++] = "0123456789abcdef"[value >> 4];
        out[at++] = "0123456789abcdef"[value & 15];
    }
    out[at] = '}';
    return out;
}

/// A parent locator, in memory.
class Locator {
public:
    static constexpr size_t max_bytes = 24576;

    static Error too_long() {
        return fail(Errc::limit, "vhdx: parent locator is longer than 24 KiB");
    }

    Locator() {
        ParentLocatorHeader h{};
        h.locator_type = vhdx_parent_locator;
        std::memcpy(bytes_.data(), &h, sizeof h);
    }

    /// A path gets backslashes. An empty value is left out.
    Status add(std::string_view key, std::string_view value, bool is_path) {
        if (value.empty()) return {};
        const size_t begin = end_;
        const auto k = text(key, false);
        if (!k) return k.error();
        end_ += *k;
        const auto v = text(value, is_path);
        if (!v) return v.error();
        end_ += *v;
        return add_entry(begin, *k, *v);
    }
    /// Both as they stand in another locator.
    Status add(Bytes key, Bytes value) {
        if (!fits(key.size(), value.size(), bytes_.size() - end_)) return too_long();
        const size_t begin = end_;
        for (const Bytes part : {key, value}) {
            std::memcpy(bytes_.data() + end_, part.data(), part.size());
            end_ += part.size();
        }
        return add_entry(begin, key.size(), value.size());
    }
    Status add_link(std::string_view key, const Guid& guid) {
        const auto linkage = text_of(guid);
        return add(key, {linkage.data(), linkage.size()}, false);
    }
    [[nodiscard]] Bytes bytes() const { return Bytes(bytes_).first(end_); }

private:
    static constexpr size_t max_entries = 16;

    Status add_entry(size_t begin, size_t key, size_t value) {
        if (count_ == max_entries) return too_long();
        ParentLocatorEntry e{};
        e.key_offset = static_cast<uint32_t>(begin);
        e.key_length = static_cast<uint16_t>(key);
        e.value_offset = static_cast<uint32_t>(begin + key);
        e.value_length = static_cast<uint16_t>(value);
        std::memcpy(bytes_.data() + sizeof(ParentLocatorHeader) + count_++ * sizeof e, &e,
                    sizeof e);
        store_le16(bytes_.data() + 18, count_);
        return {};
    }

    static void store_le16(byte* p, size_t value) {
        p[0] = static_cast<byte>(value & 0xFF);
        p[1] = static_cast<byte>(value >> 8 & 0xFF);
    }

    Result<size_t> text(std::string_view value, bool is_path) {
        const MutBytes room = MutBytes(bytes_).subspan(end_);
        const auto used = utf16_from_utf8(value, ByteOrder::little, room);
        if (!used || !is_path) return used;
        for (size_t i = 0; i < *used; i += 2) {
            if (utf16::load(room.data() + i, ByteOrder::little) == '/') {
                utf16::store(room.data() + i, '\\', ByteOrder::little);
            }
        }
        return used;
    }

    std::array<byte, max_bytes> bytes_{};
    size_t end_ = sizeof(ParentLocatorHeader) + max_entries * sizeof(ParentLocatorEntry);
    size_t count_ = 0;
};

inline Status put_link(Locator& locator, const ParentLink& parent) {
    Status done = locator.add_link("parent_linkage", parent.data_write_guid);
    if (done && !parent.next_data_write_guid.is_nil()) {
        done = locator.add_link("parent_linkage2", parent.next_data_write_guid);
    }
    return done;
}

inline Status put_paths(Locator& locator, const ParentLink& parent) {
    const Status done = locator.add("relative_path", parent.relative_path, true);
    return done ? locator.add("absolute_win32_path", parent.absolute_path, true) : done;
}

}  // namespace create_parts

}  // namespace vdisk::vhdx
