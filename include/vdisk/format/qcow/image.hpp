// SPDX-License-Identifier: BSL-1.0
// A qcow version 1 image, read side.
#pragma once

#include <vdisk/format/coalesce.hpp>
#include <vdisk/format/qcow/layout.hpp>
#include <vdisk/format/unpacker.hpp>
#include <vdisk/storage/load.hpp>

namespace vdisk::qcow {

/// `T` is how tables are reached: Metadata to read, StagedMetadata beneath a Writer.
template <Storage S, Allocation A, Codec C, class T = Metadata<S, A>>
class Image {
public:
    using Tables = T;
    static constexpr bool in_place = Tables::in_place;

    /// Opens the image; reads its header and no table.
    static Result<Image> open(S storage, OpenOptions options = {}, A allocation = A{},
                              C codec = C{}) {
        if (storage.size() < sizeof(Header)) {
            return corrupt("qcow: the file is shorter than its header", {storage.size()});
        }
        const auto header = load<Header>(storage, 0);
        if (!header) return header.error();
        const auto layout = check(*header, storage.size());
        if (!layout) return layout.error();
        if (options.purpose == Purpose::data && layout->crypt_method != 0) return encrypted();
        auto tables = Tables::make(std::move(storage), options.cache, allocation);
        if (!tables) return tables.error();
        return Result<Image>(std::in_place, *layout, *std::move(tables), std::move(allocation),
                             std::move(codec));
    }

    [[nodiscard]] uint64_t size() const { return layout_.size; }
    [[nodiscard]] const Layout& layout() const { return layout_; }
    [[nodiscard]] const S& file() const { return tables_.storage(); }
    [[nodiscard]] const S& storage() const { return tables_.storage(); }

    [[nodiscard]] Text backing_file() const { return layout_.backing_file; }
    /// Version 1 has no place for it.
    [[nodiscard]] Text backing_format() const { return {}; }

    Result<Extent> lookup(uint64_t at, uint64_t length) const {
        if (layout_.crypt_method != 0) [[unlikely]]
            return encrypted();
        return coalesce(at, length, [this](uint64_t from, uint64_t) { return piece(from); });
    }

    /// Fills `out` with the bytes of a compressed extent. Not for several threads at once.
    Status unpack(const Extent& extent, MutBytes out) const {
        return unpacker_.unpack(file(), extent, out);
    }
    /// True if `unpack` has taken memory; `release` gives it back until the next block.
    [[nodiscard]] bool holds_memory() const { return unpacker_.in_use(); }
    void release() const { unpacker_.release(); }

protected:
    [[nodiscard]] Tables& tables() { return tables_; }
    [[nodiscard]] const Tables& tables() const { return tables_; }

private:
    friend Result<Image>;

    Image(const Layout& layout, Tables&& tables, A allocation, C codec)
        : layout_(layout),
          tables_(std::move(tables)),
          unpacker_(std::move(allocation), std::move(codec)) {}

    static Error encrypted() { return fail(Errc::encrypted, "qcow: the image is encrypted (AES)"); }

    [[nodiscard]] bool is_metadata(uint64_t at, uint64_t length) const {
        return at < sizeof(Header) || overlaps(at, length, layout_.l1_at, layout_.l1_entries * 8);
    }

    // What the tables say about `at`, up to the end of its cluster or, where there is no L2 table,
    // of the whole stretch that table would map.
    Result<Extent> piece(uint64_t at) const {
        const unsigned shift = layout_.l1_shift();
        const uint64_t l1_entry_at = layout_.l1_at + (at >> shift) * 8;
        const auto table = tables_.be64(l1_entry_at);
        if (!table) return table.error();
        if (*table == 0) {
            const uint64_t stretch = power_of_two(shift);
            return Extent{.kind = Kind::absent, .length = stretch - (at & (stretch - 1))};
        }
        const Found where{*table, l1_entry_at};
        if (!fits(*table, layout_.l2_bytes(), file().size())) {
            return corrupt("qcow: L2 table ends past the end of the file", where);
        }
        if (is_metadata(*table, layout_.l2_bytes())) {
            return corrupt("qcow: L2 table overlaps the header or the L1 table", where);
        }
        const uint64_t index = (at >> layout_.cluster_bits) & (power_of_two(layout_.l2_bits) - 1);
        const uint64_t entry_at = *table + index * 8;
        const auto entry = tables_.be64(entry_at);
        if (!entry) return entry.error();
        return cluster(*entry, at, entry_at);
    }

    Result<Extent> cluster(uint64_t e, uint64_t at, uint64_t entry_at) const {
        const uint64_t skip = at & (layout_.cluster_size() - 1);
        const uint64_t rest = layout_.cluster_size() - skip;
        const Found where{e, entry_at};
        if (e == 0) return Extent{.kind = Kind::absent, .length = rest};
        if ((e & entry::compressed) != 0) return compressed(e, skip, where);
        if (!is_aligned(e, 9))
            return corrupt("qcow: cluster offset is not a multiple of 512", where);
        const uint64_t file_size = file().size();
        if (e >= file_size) return corrupt("qcow: cluster lies past the end of the file", where);
        if (is_metadata(e, layout_.cluster_size())) {
            return corrupt("qcow: cluster overlaps the header or the L1 table", where);
        }
        // The last cluster of a file may be cut short: what is missing reads as zeros.
        if (skip >= file_size - e) return Extent{.kind = Kind::zero, .length = rest};
        const uint64_t stored = file_size - e - skip;
        return Extent{.kind = Kind::data, .at = e + skip, .length = rest < stored ? rest : stored};
    }

    Result<Extent> compressed(uint64_t e, uint64_t skip, Found where) const {
        const unsigned offset_bits = 63u - layout_.cluster_bits;
        const uint64_t start = e & (power_of_two(offset_bits) - 1);
        const uint64_t stored = (e & ~entry::compressed) >> offset_bits;
        if (stored == 0) return corrupt("qcow: compressed cluster of no bytes", where);
        if (!fits(start, stored, file().size())) {
            return corrupt("qcow: compressed cluster ends past the end of the file", where);
        }
        return Extent{.kind = Kind::compressed,
                      .at = start,
                      .length = layout_.cluster_size() - skip,
                      .packed = {.stored = static_cast<uint32_t>(stored),
                                 .unit = static_cast<uint32_t>(layout_.cluster_size()),
                                 .skip = static_cast<uint32_t>(skip),
                                 .packing = Packing::deflate}};
    }

    Layout layout_;
    Tables tables_;
    mutable Unpacker<A, C> unpacker_;
};

}  // namespace vdisk::qcow
