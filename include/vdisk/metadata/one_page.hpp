// SPDX-License-Identifier: BSL-1.0
// Tables through one page that the caller lends: a cache of one, without the code of a larger one.
#pragma once

#include <vdisk/allocation/one_page.hpp>
#include <vdisk/metadata/metadata.hpp>

namespace vdisk {

/// As the paged form.
template <Storage S>
requires(!ViewableStorage<S>) class Metadata<S, OnePage> {
public:
    static constexpr bool in_place = false;

    static Result<Metadata> make(S storage, CacheShape /*shape*/, OnePage memory) {
        return Metadata(std::move(storage), memory);
    }

    [[nodiscard]] const S& storage() const { return storage_; }
    [[nodiscard]] S& storage() { return storage_; }

    Result<Bytes> entries(uint64_t at, uint64_t length) const {
        const uint64_t size = storage_.size();
        if (!metadata::inside(at, size)) return Bytes(metadata::no_entry);
        const auto offset = static_cast<uint32_t>(at & (page_size - 1));
        // An entry that lies in two pages has one made for it.
        const bool is_split = page_size - offset < metadata::entry_size;
        const uint64_t start = is_split ? at : at - offset;
        uint64_t there = size - start;
        if (there > page_size) there = page_size;
        if (start != held_) {
            held_ = nothing;
            const Status read = storage_.read(start, MutBytes(page_, size_t(there)));
            if (!read) return read.error();
            held_ = start;
        }
        const uint64_t usable = is_split ? metadata::entry_size : there - offset;
        return Bytes(page_ + (is_split ? 0 : offset), size_t(usable < length ? usable : length));
    }

    Result<uint64_t> be64(uint64_t at) const {
        const auto bytes = entries(at, metadata::entry_size);
        if (!bytes) return bytes.error();
        return load_be64(bytes->data());
    }
    Result<uint64_t> le64(uint64_t at) const {
        const auto bytes = entries(at, metadata::entry_size);
        if (!bytes) return bytes.error();
        return load_le64(bytes->data());
    }
    Result<uint32_t> be32(uint64_t at) const {
        // The last of an odd number may end where the file ends.
        const uint64_t pair = at & ~uint64_t{7};
        const auto bytes = entries(pair, metadata::entry_size);
        if (!bytes) return bytes.error();
        if (bytes->data() != metadata::no_entry.data()) {
            return load_be32(bytes->data() + (at & 4));
        }
        if (!fits(at, 4, storage_.size())) return uint32_t{0};
        held_ = nothing;
        const Status read = storage_.read(at, MutBytes(page_, 4));
        if (!read) return read.error();
        return load_be32(page_);
    }

    void changed(uint64_t /*at*/, Bytes /*bytes*/) { held_ = nothing; }
    void forget(uint64_t /*at*/, uint64_t /*length*/) { held_ = nothing; }

private:
    static constexpr uint64_t page_size = OnePage::page_size;
    static constexpr uint64_t nothing = ~uint64_t{0};

    Metadata(S storage, OnePage memory) : storage_(std::move(storage)), page_(memory.page) {}

    S storage_;
    byte* page_;
    mutable uint64_t held_ = nothing;  ///< where in the file the page begins
};

}  // namespace vdisk
