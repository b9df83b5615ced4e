// SPDX-License-Identifier: BSL-1.0
// A parent locator as it is written.
#pragma once

#include <vdisk/core/utf16.hpp>
#include <vdisk/format/vhdx/items.hpp>

namespace vdisk::vhdx {

/// The image a differencing image is made on. Paths are UTF-8 with slashes.
struct ParentLink {
    Guid data_write_guid;
    std::string_view relative_path = {};  ///< from the folder of the child
    std::string_view absolute_path = {};
};

namespace create_parts {

/// A parent locator, in memory.
class Locator {
public:
    static constexpr size_t max_bytes = 24576;

    Locator() {
        ParentLocatorHeader h{};
        h.locator_type = vhdx_parent_locator;
        std::memcpy(bytes_.data(), &h, sizeof h);
    }

    /// A path gets backslashes.
    Status add(std::string_view key, std::string_view value, bool is_path) {
        if (value.empty()) return {};
        ParentLocatorEntry e{};
        const auto k = text(key, false);
        if (!k) return k.error();
        e.key_offset = static_cast<uint32_t>(end_);
        e.key_length = static_cast<uint16_t>(*k);
        end_ += *k;
        const auto v = text(value, is_path);
        if (!v) return v.error();
        e.value_offset = static_cast<uint32_t>(end_);
        e.value_length = static_cast<uint16_t>(*v);
        end_ += *v;
        std::memcpy(bytes_.data() + sizeof(ParentLocatorHeader) + count_++ * sizeof e, &e,
                    sizeof e);
        store_le16(bytes_.data() + 18, count_);
        return {};
    }
    [[nodiscard]] Bytes bytes() const { return Bytes(bytes_).first(end_); }

private:
    static constexpr size_t max_entries = 8;

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

}  // namespace create_parts

}  // namespace vdisk::vhdx
