// SPDX-License-Identifier: BSL-1.0
// A VHD image, read side.
#pragma once

#include <vdisk/core/bits.hpp>
#include <vdisk/format/coalesce.hpp>
#include <vdisk/format/parent.hpp>
#include <vdisk/format/vhd/locators.hpp>

namespace vdisk::vhd {

/// `T` is how tables are reached: Metadata to read, StagedMetadata beneath a Writer.
template <Storage S, Allocation A, class T = Metadata<S, A>>
class Image {
public:
    using Tables = T;
    static constexpr bool in_place = Tables::in_place;

    /// Opens the image; reads its footer and header, and no table.
    static Result<Image> open(S storage, OpenOptions options = {}, A allocation = A{}) {
        const auto layout = load_layout(storage, options.checksums, options.size_rule);
        if (!layout) return layout.error();
        auto tables = Tables::make(std::move(storage), options.cache, std::move(allocation));
        if (!tables) return tables.error();
        return Result<Image>(std::in_place, *layout, *std::move(tables));
    }

    [[nodiscard]] uint64_t size() const { return layout_.size; }
    [[nodiscard]] const Layout& layout() const { return layout_; }
    [[nodiscard]] const S& file() const { return tables_.storage(); }
    [[nodiscard]] const S& storage() const { return tables_.storage(); }

    [[nodiscard]] bool has_parent() const { return layout_.has_parent(); }
    /// As ManyParentNames says.
    Result<std::string_view> parent_name(unsigned choice, std::span<char> out) const {
        return vhd::parent_name(file(), layout_, choice, out);
    }
    /// A VHD image stands on nothing but VHD images.
    Result<std::string_view> parent_format(std::span<char> /*out*/) const {
        return std::string_view(has_parent() ? "vpc" : "");
    }
    [[nodiscard]] Guid identity() const { return layout_.unique_id; }
    [[nodiscard]] bool is_child_of(const Guid& parent) const {
        return parent == layout_.parent_unique_id;
    }

    Result<Extent> lookup(uint64_t at, uint64_t length) const {
        if (layout_.is_fixed()) return Extent{.kind = Kind::data, .at = at, .length = length};
        return coalesce(at, length,
                        [this](uint64_t from, uint64_t rest) { return piece(from, rest); });
    }

    /// As lookup, but holes of a sparse file are zeros in a fixed disk. In the others no block is
    /// asked about: some file systems take time by the length of the file for each answer.
    Result<Extent> survey(uint64_t at, uint64_t length) const {
        const Result<Extent> extent = lookup(at, length);
        return layout_.is_fixed() ? survey_holes(file(), extent) : extent;
    }

protected:
    [[nodiscard]] Tables& tables() { return tables_; }
    [[nodiscard]] const Tables& tables() const { return tables_; }
    [[nodiscard]] Layout& layout_mut() { return layout_; }

    [[nodiscard]] uint64_t entry_at(uint64_t at) const {
        return layout_.table_at + (at >> layout_.block_bits) * 4;
    }

    /// Where the block begins that a table entry, found at `entry_at`, points to: checked.
    Result<uint64_t> block_at(uint32_t entry, uint64_t entry_at) const {
        const uint64_t at = uint64_t{entry} << sector_bits;
        if (!fits(at, layout_.bitmap_bytes(), layout_.data_end)) {
            return corrupt("vhd: block lies past the end of the file", {entry, entry_at});
        }
        if (at < sizeof(Footer) ||
            overlaps(at, layout_.stride(), layout_.header_at, sizeof(DynamicHeader)) ||
            overlaps(at, layout_.stride(), layout_.table_at, layout_.table_bytes())) {
            return corrupt("vhd: block overlaps the header or the block allocation table",
                           {entry, entry_at});
        }
        return at;
    }

private:
    friend Result<Image>;

    Image(const Layout& layout, Tables&& tables) : layout_(layout), tables_(std::move(tables)) {}

    Result<Extent> piece(uint64_t at, uint64_t length) const {
        const uint64_t skip = at & (layout_.block_size() - 1);
        const uint64_t rest = layout_.block_size() - skip;
        const uint64_t entry_at = this->entry_at(at);
        const auto entry = tables_.be32(entry_at);
        if (!entry) return entry.error();
        if (*entry == unallocated) return Extent{.kind = Kind::absent, .length = rest};
        const auto block = block_at(*entry, entry_at);
        if (!block) return block.error();
        const auto run = bits(*block, skip, length < rest ? length : rest);
        if (!run) return run.error();
        const uint64_t home = *block + layout_.bitmap_bytes() + skip;
        if (!run->value) return unwritten(home, run->length);
        // A last block may be cut short: what is missing reads as zeros.
        if (home >= layout_.data_end) return Extent{.kind = Kind::zero, .length = run->length};
        const uint64_t stored = layout_.data_end - home;
        return Extent{
            .kind = Kind::data, .at = home, .length = run->length < stored ? run->length : stored};
    }

    // What a sector bitmap does not claim comes from the parent, or is zeros where there is none.
    [[nodiscard]] Extent unwritten(uint64_t home, uint64_t length) const {
        const Kind kind = layout_.has_parent() ? Kind::absent : Kind::zero;
        return Extent{.kind = kind, .at = home, .length = length};
    }

    // The run of equal bits from `skip` of a block, in bytes of the disk.
    Result<BitRun> bits(uint64_t block_at, uint64_t skip, uint64_t length) const {
        const uint64_t first = skip >> sector_bits;
        const uint64_t count = blocks((skip & (sector_size - 1)) + length, sector_bits);
        BitRun run;
        while (run.length < count) {
            const uint64_t bit = first + run.length;
            const uint64_t wanted = blocks((bit & 63) + count - run.length, 6) * 8;
            const auto words = tables_.entries(block_at + (bit >> 6) * 8, wanted);
            if (!words) return words.error();
            const BitRun more = bit_run<BitOrder::msb_first>(*words, bit & 63, count - run.length);
            if (run.length > 0 && more.value != run.value) break;
            run = {more.value, run.length + more.length};
            if ((bit & 63) + more.length < words->size() * 8) break;
        }
        const uint64_t bytes = (run.length << sector_bits) - (skip & (sector_size - 1));
        return BitRun{run.value, bytes < length ? bytes : length};
    }

    Layout layout_;
    Tables tables_;
};

}  // namespace vdisk::vhd
