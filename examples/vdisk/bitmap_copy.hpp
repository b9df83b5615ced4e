// SPDX-License-Identifier: BSL-1.0
// convert --bitmaps: the persistent bitmaps of the image that is read, in the image that is made.
#pragma once

#include <vdisk/format/qcow2/bitmaps.hpp>

#include "opening.hpp"

namespace tool {

enum class Broken : uint8_t { refuse, skip };

/// The bitmaps of one image; not those of its backing files.
class BitmapCopy {
public:
    /// Throws Failure unless the image can have bitmaps. Those that were not saved cleanly are
    /// refused, or left out with a warning.
    BitmapCopy(const Input& input, Broken broken);

    /// Bytes of the disk that they describe.
    [[nodiscard]] uint64_t disk_size() const { return size_; }
    /// Adds them to the qcow2 image in `file`, which nobody has open. Throws Failure.
    void add_to(Storage& file, const std::string& path) const;

private:
    struct Entry {
        std::string name;
        unsigned granularity_bits;
        vdisk::qcow2::Recording recording;
    };

    Top source_;
    uint64_t size_;
    std::vector<Entry> entries_;
};

}  // namespace tool
