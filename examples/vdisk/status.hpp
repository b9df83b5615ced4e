// SPDX-License-Identifier: BSL-1.0
// What stands where on a disk, told with the words and rules of QEMU's block status.
#pragma once

#include <vector>

#include <vdisk/io/walk.hpp>

#include "tool.hpp"

namespace tool {

/// One run of guest bytes.
struct BlockStatus {
    uint64_t length = 0;
    uint32_t depth = 0;    ///< how many images down it was found
    bool present = false;  ///< some image says what it is
    bool zero = false;     ///< reads as zeros
    bool data = false;     ///< takes space in a file, or did not say that it is zero
    bool compressed = false;
    bool has_offset = false;
    uint64_t offset = 0;  ///< in the file, if has_offset

    friend bool operator==(const BlockStatus&, const BlockStatus&) = default;
};

/// Asks a disk. Holes of files count as zeros where QEMU looks for them: in raw images and fixed
/// disks, and in qcow2 images that look as if their clusters had been allocated in advance.
class Survey {
public:
    explicit Survey(const Disk& disk);

    /// What stands at `at`, at most `length` bytes of it: one run, not the longest.
    vdisk::Result<BlockStatus> at(uint64_t at, uint64_t length);

    /// Calls `visit(at, status)` for [at, at + length), in order.
    template <class Visit>
    vdisk::Status walk(uint64_t at, uint64_t length, Visit&& visit) {
        vdisk::Window window;
        while (length > 0) {
            const uint64_t asked = window.of(length);
            const vdisk::Result<BlockStatus> status = this->at(at, asked);
            if (!status) return status.error();
            window.answered(status->length, asked);
            visit(at, *status);
            at += status->length;
            length -= status->length;
        }
        return {};
    }

private:
    struct Known {
        bool raw = false;           ///< one piece of the file, holes and all
        bool whole = false;         ///< see hides_all_below
        bool checked = false;       ///< whether `preallocated` was found out
        bool preallocated = false;  ///< data may be holes of the file
    };

    vdisk::Result<vdisk::Extent> extent(uint32_t depth, uint64_t at, uint64_t length) const;
    bool is_preallocated(uint32_t depth);

    const Disk* disk_;
    std::vector<Known> known_;
};

/// Whether QEMU takes the image to answer for all of its disk, what it does not store included: one
/// that stands alone, in a format that says so of each image (vpc).
template <class Any>
bool hides_all_below(const Any& any) {
    return any.visit([](const auto& image) {
        if constexpr (requires { image.layout().footer_copy; }) return !image.has_parent();
        else return false;
    });
}

/// Bytes the file takes on its file system; 0 if that cannot be told.
uint64_t allocated_size(const Storage& storage);

}  // namespace tool
