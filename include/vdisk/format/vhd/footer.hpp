// SPDX-License-Identifier: BSL-1.0
// Finds the footer: it stands at the end of the file, and its copy, if there is one, at the front.
// Either is enough.
#pragma once

#include <optional>

#include <vdisk/core/math.hpp>
#include <vdisk/format/image.hpp>
#include <vdisk/format/vhd/disk.hpp>
#include <vdisk/storage/load.hpp>

namespace vdisk::vhd {

/// Which footer an image is read by.
enum class FooterCopy : uint8_t {
    end,        ///< the last 512 bytes of the file
    short_end,  ///< the last 511, as old versions of Virtual PC wrote it
    front,      ///< the copy at offset 0: that at the end is lost
};

struct FoundFooter {
    Footer footer;
    FooterCopy copy = FooterCopy::end;
    uint64_t at = 0;  ///< where in the file it stands
    bool checksum_right = true;
};

[[nodiscard]] inline bool has_cookie(const Footer& footer) {
    return footer.cookie == footer_cookie;
}

[[nodiscard]] inline bool is_fixed(const Footer& footer) {
    return footer.disk_type.value() == static_cast<uint32_t>(Type::fixed);
}

namespace footer {

// Early tools of Xen set a flag in byte 85 and left the checksum as it was.
[[nodiscard]] inline bool checksum_right(const Footer& footer) {
    const uint32_t stored = footer.checksum.value();
    if (stored == checksum(footer)) return true;
    if (std::memcmp(footer.creator_application.data(), "tap", 3) != 0) return false;
    const uint32_t by = footer.creator_version.value();
    if (by != 1 && by != 0x00010001) return false;
    return stored == checksum(footer) + static_cast<uint32_t>(footer.reserved[0]);
}

// What the file holds at one of the places of a footer; nothing recognisable if it is too short.
template <Storage S>
Status look_at(const S& storage, FooterCopy copy, FoundFooter& out) {
    const uint64_t length = copy == FooterCopy::short_end ? sizeof(Footer) - 1 : sizeof(Footer);
    out.copy = copy;
    out.footer.cookie = {};
    if (storage.size() < length) return {};
    out.at = copy == FooterCopy::front ? 0 : storage.size() - length;
    const MutBytes bytes = std::as_writable_bytes(std::span(&out.footer, 1));
    bytes.back() = byte{0};
    const Status read = storage.read(out.at, bytes.first(static_cast<size_t>(length)));
    if (read) out.checksum_right = checksum_right(out.footer);
    return read;
}

template <Storage S>
Result<FoundFooter> candidate(const S& storage, FooterCopy copy) {
    Result<FoundFooter> out(std::in_place);
    if (const Status looked = look_at(storage, copy, *out); !looked) out = looked.error();
    return out;
}

[[nodiscard]] inline bool serves(const FoundFooter& found) {
    if (!has_cookie(found.footer)) return false;
    const bool fixed = is_fixed(found.footer);
    switch (found.copy) {
        case FooterCopy::end: return true;
        case FooterCopy::short_end: return fixed;
        case FooterCopy::front: return !fixed;
    }
    return false;
}

inline Error wrong_checksum(const FoundFooter& found) {
    return corrupt("vhd: checksum of the footer is wrong (ignoring checksums reads it)",
                   {found.footer.checksum.value(), found.at + 64});
}

// As find_footer.
template <Storage S>
Status find(const S& storage, Checksums checksums, FoundFooter& out) {
    std::optional<FooterCopy> damaged;
    Status wrong = corrupt("vhd: there is no footer, at the end or at the front");
    for (const auto copy : {FooterCopy::end, FooterCopy::short_end, FooterCopy::front}) {
        if (const Status read = look_at(storage, copy, out); !read) return read;
        if (out.footer.cookie == poisoned_cookie) {
            return unsupported("vhd: the image is marked as not to be used (v_poison)",
                               {Error::none, out.at});
        }
        if (!serves(out)) continue;
        if (out.checksum_right) return {};
        if (!damaged) {
            damaged = copy;
            wrong = wrong_checksum(out);
        }
        // What is at the front of a fixed disk is its guest's: it does not stand in for the footer.
        if (copy == FooterCopy::end && is_fixed(out.footer)) break;
    }
    if (!damaged || checksums == Checksums::required) return wrong;
    return look_at(storage, *damaged, out);
}

}  // namespace footer

/// The footer to go by: the first whose checksum is right, of those at the end, 511 bytes before
/// the end, and at the front; else, where checksums are ignored, the first that is one.
template <Storage S>
Result<FoundFooter> find_footer(const S& storage, Checksums checksums) {
    Result<FoundFooter> out(std::in_place);
    if (const Status found = footer::find(storage, checksums, *out); !found) out = found.error();
    return out;
}

}  // namespace vdisk::vhd
