// SPDX-License-Identifier: BSL-1.0
// Finds the footer: it stands at the end of the file, and its copy, if there is one, at the front.
// Either is enough.
#pragma once

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
    Footer unmarked = footer;
    unmarked.reserved[0] = byte{0};
    return stored == checksum(unmarked);
}

// What the file holds at one of the places of a footer; nothing recognisable if it is too short.
template <Storage S>
Result<FoundFooter> candidate(const S& storage, FooterCopy copy) {
    const uint64_t length = copy == FooterCopy::short_end ? sizeof(Footer) - 1 : sizeof(Footer);
    FoundFooter out{.footer = {}, .copy = copy};
    if (storage.size() < length) return out;
    if (copy != FooterCopy::front) out.at = storage.size() - length;
    const MutBytes bytes = std::as_writable_bytes(std::span(&out.footer, 1));
    const Status read = storage.read(out.at, bytes.first(static_cast<size_t>(length)));
    if (!read) return read.error();
    out.checksum_right = checksum_right(out.footer);
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

}  // namespace footer

/// The footer to go by: the first whose checksum is right, of those at the end, 511 bytes before
/// the end, and at the front; else, where checksums are ignored, the first that is one.
template <Storage S>
Result<FoundFooter> find_footer(const S& storage, Checksums checksums) {
    Result<FoundFooter> wrong = corrupt("vhd: there is no footer, at the end or at the front");
    for (const auto copy : {FooterCopy::end, FooterCopy::short_end, FooterCopy::front}) {
        const auto found = footer::candidate(storage, copy);
        if (!found) return found;
        if (found->footer.cookie == poisoned_cookie) {
            return unsupported("vhd: the image is marked as not to be used (v_poison)",
                               {Error::none, found->at});
        }
        if (!footer::serves(*found)) continue;
        if (found->checksum_right) return found;
        // What is at the front of a fixed disk is its guest's: it does not stand in for the footer.
        if (found->copy == FooterCopy::end && is_fixed(found->footer)) {
            if (checksums == Checksums::ignored) return found;
            return footer::wrong_checksum(*found);
        }
        if (wrong) continue;
        if (checksums == Checksums::ignored) wrong = found;
        else if (wrong.error().at == Error::none) {
            wrong = footer::wrong_checksum(*found);
        }
    }
    return wrong;
}

}  // namespace vdisk::vhd
