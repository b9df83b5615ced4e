// SPDX-License-Identifier: BSL-1.0
// VHDX images that lie: what is changed, and what has to come of it.
#pragma once

#include <functional>

#include "hostile/run.hpp"
#include "support/vhdx_builder.hpp"

namespace vdisk::test::vhdx_damage {

using Change = std::function<void(File&, const BuiltVhdx&)>;

struct Case {
    const char* name;
    Change change;
    Errc code;         ///< of the refusal
    const char* what;  ///< the rule; "" if the image can be read
};
inline constexpr const char* fine = "";

/// A field of `width` bytes in both headers.
inline Change header(uint64_t field, uint64_t value, unsigned width) {
    return [=](File& file, const BuiltVhdx&) {
        for (const uint64_t at : {0x10000, 0x20000}) {
            if (width == 2) set_le16(file, at + field, value);
            if (width == 4) set_le32(file, at + field, value);
            if (width == 8) set_le64(file, at + field, value);
        }
    };
}
/// A field of the region tables: at `field` of the table.
inline Change table32(uint64_t field, uint64_t value) {
    return [=](File& file, const BuiltVhdx&) {
        for (const uint64_t at : {0x30000, 0x40000}) set_le32(file, at + field, value);
    };
}
/// A field of an entry in the region tables.
inline Change region64(uint64_t BuiltVhdx::*entry, uint64_t field, uint64_t value) {
    return [=](File& file, const BuiltVhdx& image) {
        for (const uint64_t more : {0, 0x10000}) {
            set_le64(file, image.*entry + more + field, value);
        }
    };
}
inline Change region32(uint64_t BuiltVhdx::*entry, uint64_t field, uint64_t value) {
    return [=](File& file, const BuiltVhdx& image) {
        for (const uint64_t more : {0, 0x10000}) {
            set_le32(file, image.*entry + more + field, value);
        }
    };
}
/// A field of the table entry of an item, and of the item.
inline Change entry32(const char* item, uint64_t field, uint64_t value) {
    return [=](File& f, const BuiltVhdx& b) { set_le32(f, b.item_entry.at(item) + field, value); };
}
inline Change item32(const char* item, uint64_t field, uint64_t value) {
    return [=](File& f, const BuiltVhdx& b) { set_le32(f, b.item_at.at(item) + field, value); };
}
inline Change item64(const char* item, uint64_t field, uint64_t value) {
    return [=](File& f, const BuiltVhdx& b) { set_le64(f, b.item_at.at(item) + field, value); };
}
/// The BAT entry of a block, and that of the first bitmap.
inline Change block(uint64_t index, uint64_t value) {
    return [=](File& f, const BuiltVhdx& b) { set_le64(f, b.entry_at.at(index), value); };
}
inline Change bitmap(uint64_t value) {
    return [=](File& f, const BuiltVhdx& b) { set_le64(f, b.bitmap_entry_at.at(0), value); };
}
inline Change both(Change first, Change second) {
    return [=](File& file, const BuiltVhdx& image) {
        first(file, image);
        second(file, image);
    };
}

/// The image after a change, its checksums right.
inline File damaged(const BuiltVhdx& image, const Change& change) {
    File file = image.file;
    change(file, image);
    seal_vhdx(file);
    return file;
}

/// What comes of reading it, in every way.
inline Findings judged(const File& file) { return examine<Vhdx>(file); }

inline void run(const BuiltVhdx& image, const std::vector<Case>& cases) {
    for (const Case& c : cases) {
        INFO(c.name);
        check_verdict(judged(damaged(image, c.change)), c.code, c.what);
    }
}

}  // namespace vdisk::test::vhdx_damage
