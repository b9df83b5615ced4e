// SPDX-License-Identifier: BSL-1.0
// The region table: where BAT and metadata are ([MS-VHDX] 2.2.3).
#pragma once

#include <vdisk/format/vhdx/layout.hpp>

namespace vdisk::vhdx {

namespace layout {

/// One copy of the region table.
template <Storage S>
class Regions {
public:
    Regions(const S& storage, uint64_t table_at) : storage_(storage), at_(table_at) {}

    /// False where signature or checksum are wrong.
    Result<bool> is_valid() {
        const auto header = load<RegionTableHeader>(storage_, at_);
        if (!header) return header.error();
        if (header->signature != region_signature) return false;
        count_ = header->entry_count.value();
        const auto sum = checksum(storage_, at_, region_table_bytes);
        if (!sum) return sum.error();
        return *sum == header->checksum.value();
    }

    /// Of the copy.
    [[nodiscard]] uint64_t at() const { return at_; }

    Status read(Layout& out) {
        if (count_ > max_regions) {
            return corrupt("vhdx: more than 2047 regions", {count_, at_ + 8});
        }
        Status done =
            each([&](const RegionTableEntry& e, uint64_t at) { return take(e, at, out); });
        if (!done) return done;
        if (out.bat_at == 0) return corrupt("vhdx: there is no BAT region", {Error::none, at_});
        if (out.metadata_at == 0) {
            return corrupt("vhdx: there is no metadata region", {Error::none, at_});
        }
        return each(
            [&](const RegionTableEntry& e, uint64_t at) { return check_apart(e, at, out); });
    }

    template <class Visit>
    Status each(Visit visit) const {
        for (uint32_t i = 0; i < count_; ++i) {
            const uint64_t at =
                at_ + sizeof(RegionTableHeader) + uint64_t{i} * sizeof(RegionTableEntry);
            const auto e = load<RegionTableEntry>(storage_, at);
            if (!e) return e.error();
            if (Status visited = visit(*e, at); !visited) return visited;
        }
        return {};
    }

private:
    Status take(const RegionTableEntry& e, uint64_t at, Layout& out) {
        const uint64_t offset = e.file_offset.value();
        const uint32_t length = e.length.value();
        if (offset < mib || !is_aligned(offset, mib_bits) || !is_aligned(length, mib_bits) ||
            length == 0 || !fits(offset, length, storage_.size())) {
            return corrupt("vhdx: region is not whole MiB inside the file, behind the first",
                           {offset, at + 16});
        }
        if (e.guid == region::bat) {
            if (out.bat_at != 0) return corrupt("vhdx: two BAT regions", {Error::none, at});
            out.bat_at = offset;
            out.bat_length = length;
        } else if (e.guid == region::metadata) {
            if (out.metadata_at != 0) {
                return corrupt("vhdx: two metadata regions", {Error::none, at});
            }
            out.metadata_at = offset;
            out.metadata_length = length;
        } else if ((e.required.value() & 1) != 0) {
            return unsupported("vhdx: a region is required that is not known", {Error::none, at});
        }
        return {};
    }

    // Regions that are known meet neither the log nor any other; what others do is theirs.
    static Status check_apart(const RegionTableEntry& e, uint64_t at, const Layout& out) {
        const uint64_t offset = e.file_offset.value();
        const uint32_t length = e.length.value();
        const bool meets =
            overlaps(offset, length, out.log.at, out.log.length) ||
            (e.guid != region::bat && overlaps(offset, length, out.bat_at, out.bat_length)) ||
            (e.guid != region::metadata &&
             overlaps(offset, length, out.metadata_at, out.metadata_length));
        if (!meets) return {};
        return corrupt("vhdx: region overlaps the log or another region", {offset, at + 16});
    }

    const S& storage_;
    uint64_t at_;
    uint32_t count_ = 0;
};

/// The first copy that is valid.
template <Storage S>
Result<Regions<S>> find_regions(const S& storage) {
    for (const uint64_t place : region_table_places) {
        Regions<S> regions(storage, place);
        const auto valid = regions.is_valid();
        if (!valid) return valid.error();
        if (*valid) return regions;
    }
    return corrupt("vhdx: neither region table is valid", {Error::none, region_table_places[0]});
}

template <Storage S>
Status read_regions(const S& storage, Layout& out) {
    auto regions = find_regions(storage);
    return regions ? regions->read(out) : Status(regions.error());
}

}  // namespace layout

}  // namespace vdisk::vhdx
