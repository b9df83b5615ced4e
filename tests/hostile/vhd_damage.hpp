// SPDX-License-Identifier: BSL-1.0
// VHD images that lie: what is changed, and what has to come of it.
#pragma once

#include <functional>

#include "hostile/run.hpp"
#include "support/vhd_builder.hpp"

namespace vdisk::test::vhd_damage {

using Change = std::function<void(File&, const BuiltVhd&)>;

struct Case {
    const char* name;
    Change change;
    Errc code;         ///< of the refusal
    const char* what;  ///< the rule; "" if the image can be read
};
inline constexpr const char* fine = "";

/// A field of every footer there is.
inline Change footer32(uint64_t field, uint64_t value) {
    return [=](File& file, const BuiltVhd& image) {
        set_be32(file, image.footer_at + field, value);
        if (image.has_front) set_be32(file, field, value);
    };
}
inline Change footer64(uint64_t field, uint64_t value) {
    return [=](File& file, const BuiltVhd& image) {
        set_be64(file, image.footer_at + field, value);
        if (image.has_front) set_be64(file, field, value);
    };
}
inline Change header32(uint64_t field, uint64_t value) {
    return [=](File& file, const BuiltVhd& b) { set_be32(file, b.header_at + field, value); };
}
inline Change header64(uint64_t field, uint64_t value) {
    return [=](File& file, const BuiltVhd& b) { set_be64(file, b.header_at + field, value); };
}
inline Change both(Change first, Change second) {
    return [=](File& file, const BuiltVhd& image) {
        first(file, image);
        second(file, image);
    };
}
/// Moves the end: to the first `size` bytes of the file.
inline Change cut(uint64_t size) {
    return [=](File& file, const BuiltVhd&) { file.resize(size); };
}

/// The image after a change, its checksums right.
inline File damaged(const BuiltVhd& image, const Change& change) {
    File file = image.file;
    change(file, image);
    seal(file, image);
    return file;
}

/// What comes of reading it, in every way.
inline Findings judged(const File& file, const OpenOptions& options = {}) {
    return examine<Vhd>(file, options);
}

inline void run(const BuiltVhd& image, const std::vector<Case>& cases,
                const OpenOptions& options = {}) {
    for (const Case& c : cases) {
        INFO(c.name);
        check_verdict(judged(damaged(image, c.change), options), c.code, c.what);
    }
}

/// What a writer says to it; "" if it takes it.
inline std::string writer_says(const File& file, const OpenOptions& options = {}) {
    return judged(file, options).writing;
}

}  // namespace vdisk::test::vhd_damage
