// SPDX-License-Identifier: BSL-1.0
// What convert reads: one disk, or several one behind the other.
#pragma once

#include <vector>

#include "salvage.hpp"

namespace tool {

/// Disks in a row, as one disk. Mapped. One thread at a time.
class Source {
public:
    void add(Disk disk) {
        size_ += disk.size();
        parts_.push_back({std::move(disk), size_, ~uint32_t{0}});
    }
    /// From now on Kind::absent says: as `backing` shows it. That is known of what a disk has from
    /// the very file, or from what that stands on.
    void set_backing(const Disk& backing);

    /// From now on what cannot be read is zeros.
    void set_salvage(Salvage& salvage) { salvage_ = &salvage; }

    [[nodiscard]] uint64_t size() const { return size_; }
    [[nodiscard]] vdisk::Result<vdisk::Extent> lookup(uint64_t at, uint64_t length) const;
    vdisk::Status read(uint64_t at, vdisk::MutBytes out) const;

private:
    struct Part {
        Disk disk;
        uint64_t end;     ///< where the next one begins
        uint32_t common;  ///< the layer that is the backing file, too
    };

    [[nodiscard]] size_t index_of(uint64_t at) const;
    [[nodiscard]] uint64_t start_of(size_t index) const {
        return index == 0 ? 0 : parts_[index - 1].end;
    }

    std::vector<Part> parts_;
    uint64_t size_ = 0;
    Salvage* salvage_ = nullptr;
};

/// Fills `out` with the bytes from `at`.
inline vdisk::Status read(const Source& source, uint64_t at, vdisk::MutBytes out) {
    return source.read(at, out);
}

}  // namespace tool
