// SPDX-License-Identifier: BSL-1.0
// raw: the file is the disk. A disk is made of sectors: a file that ends inside one is
// taken as if zeros followed.
#pragma once

#include <vdisk/core/math.hpp>
#include <vdisk/format/image.hpp>

namespace vdisk::raw {

/// Every byte is data at its own offset.
template <Storage S>
class Image {
public:
    static constexpr bool in_place = true;

    static Result<Image> open(S storage, OpenOptions /*options*/ = {}) {
        if (storage.size() > max_size) return fail(Errc::limit, "raw: larger than 2^63 bytes");
        return Image(std::move(storage));
    }

    /// Bytes, a multiple of 512.
    [[nodiscard]] uint64_t size() const {
        return (storage_.size() + sector_size - 1) & ~(sector_size - 1);
    }
    [[nodiscard]] const S& file() const { return storage_; }
    [[nodiscard]] const S& storage() const { return storage_; }

    Result<Extent> lookup(uint64_t at, uint64_t length) const {
        const uint64_t stored = storage_.size();
        if (at >= stored) return Extent{.kind = Kind::zero, .length = length};
        return Extent{
            .kind = Kind::data, .at = at, .length = length < stored - at ? length : stored - at};
    }

    /// As lookup, but holes of a sparse file are zeros.
    Result<Extent> survey(uint64_t at, uint64_t length) const {
        return survey_holes(storage_, lookup(at, length));
    }

protected:
    [[nodiscard]] S& storage_mut() { return storage_; }

private:
    static constexpr uint64_t sector_size = 512;
    static constexpr uint64_t max_size = uint64_t{1} << 63;

    explicit Image(S storage) : storage_(std::move(storage)) {}

    S storage_;
};

}  // namespace vdisk::raw
