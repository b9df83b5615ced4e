// SPDX-License-Identifier: BSL-1.0
// What info tells of a VHDX image besides what all formats have.
#pragma once

#include <array>

#include <vdisk/disk/open.hpp>

#include "ids.hpp"

namespace tool {

/// The ids by which a VHDX image knows its parent: parent_linkage and, where there is one,
/// parent_linkage2.
template <class Image>
vdisk::Result<std::string> parent_linkage(const Image& image, std::string_view key) {
    std::array<char, 160> buffer{};
    const auto text = vdisk::vhdx::locator_value(image.storage(), image.layout(), key, buffer);
    if (!text) return text.error();
    const auto guid = vdisk::vhdx::guid_from_text(*text);
    return guid ? text_of(turned(*guid)) : std::string(*text);
}

/// What a replay of the log would do.
template <class Out, class Image>
void vhdx_log(Out& out, const Image& image) {
    const vdisk::vhdx::ActiveLog& log = image.log();
    out.value("log-waits", log.entries > 0);
    if (log.entries == 0) return;
    out.value("log-entries", log.entries);
    out.value("log-updates", uint64_t{image.logged_updates()});
    out.value("file-size-after-replay", image.storage().size());
}

/// `Out` is text::Json or text::Tree; `name(choice)` is a name of the parent, empty after the last.
template <class Out, class Image, class Name>
void vhdx_data(Out& out, const Image& image, Name name) {
    const vdisk::vhdx::Layout& layout = image.layout();
    out.value("type", layout.has_parent         ? "differencing"
                      : layout.leaves_allocated ? "fixed"
                                                : "dynamic");
    out.value("block-size", layout.block_size());
    out.value("log-size", layout.log.length);
    out.value("logical-sector-size", 1u << layout.sector_bits);
    out.value("physical-sector-size", 1u << layout.physical_bits);
    out.value("disk-id", text_of(turned(layout.virtual_disk_id)));
    out.value("data-write-id", text_of(turned(layout.data_write_guid)));
    out.value("file-write-id", text_of(turned(layout.file_write_guid)));
    if (layout.has_parent) {
        if (const auto id = parent_linkage(image, "parent_linkage")) out.value("parent-id", *id);
        if (const auto id = parent_linkage(image, "parent_linkage2")) out.value("parent-id-2", *id);
        out.open('[', "parent-names");
        for (unsigned choice = 0;; ++choice) {
            const std::string found = name(choice);
            if (found.empty()) break;
            out.value({}, found);
        }
        out.close(']');
    }
    vhdx_log(out, image);
}

}  // namespace tool
