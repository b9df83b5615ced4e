// SPDX-License-Identifier: BSL-1.0
// Access to on-disk tables by file offset, in bounded memory: no table is ever loaded whole.
// In place where the storage lends its bytes, through a few cached pages where it does not.
#pragma once

#include <array>
#include <utility>

#include <vdisk/core/endian.hpp>
#include <vdisk/core/math.hpp>
#include <vdisk/metadata/pages.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk {

namespace metadata {

/// The smallest piece of a table that is read as one: 8 bytes.
inline constexpr uint64_t entry_size = 8;
inline constexpr std::array<byte, entry_size> no_entry{};

/// Tables end where the file ends: an entry that is not wholly inside reads as zero, as it does
/// in images whose last cluster is cut short.
[[nodiscard]] constexpr bool inside(uint64_t at, uint64_t file_size) {
    return fits(at, entry_size, file_size);
}

}  // namespace metadata

/// Owns the storage of one image and reads its tables. Every format reads them through this class
/// and no other way.
///
/// This is the paged form: `entries` may read from the storage and changes the cache, so one
/// thread at a time may use it. What `entries` returns is valid until the next call.
template <Storage S, Allocation A>
class Metadata {
public:
    static constexpr bool in_place = false;

    static Result<Metadata> make(S storage, CacheShape shape, A allocation) {
        auto pages = metadata::Pages<A>::make(shape, std::move(allocation));
        if (!pages) return pages.error();
        return Metadata(std::move(storage), *std::move(pages));
    }

    [[nodiscard]] const S& storage() const { return storage_; }
    [[nodiscard]] S& storage() { return storage_; }

    /// Bytes of a table from `at`: at least one entry of 8 bytes, at most `length`.
    Result<Bytes> entries(uint64_t at, uint64_t length) const {
        if (!metadata::inside(at, storage_.size())) return Bytes(metadata::no_entry);
        const size_t offset = static_cast<size_t>(at & (pages_.page_size() - 1));
        if (pages_.page_size() - offset < metadata::entry_size) return straddling(at);
        const auto page = this->page(at >> pages_.page_bits());
        if (!page) return page.error();
        uint64_t usable = pages_.page_size() - offset;
        if (usable > storage_.size() - at) usable = storage_.size() - at;
        if (usable > length) usable = length;
        return Bytes(*page + offset, static_cast<size_t>(usable));
    }

    /// The big-endian entry at `at`.
    Result<uint64_t> be64(uint64_t at) const {
        const auto bytes = entries(at, metadata::entry_size);
        if (!bytes) return bytes.error();
        return load_be64(bytes->data());
    }
    /// The little-endian entry at `at`.
    Result<uint64_t> le64(uint64_t at) const {
        const auto bytes = entries(at, metadata::entry_size);
        if (!bytes) return bytes.error();
        return load_le64(bytes->data());
    }
    /// The big-endian entry of 4 bytes at `at`, a multiple of 4.
    Result<uint32_t> be32(uint64_t at) const {
        const uint64_t pair = at & ~uint64_t{7};
        if (!metadata::inside(pair, storage_.size())) return last(at);
        const auto bytes = entries(pair, metadata::entry_size);
        if (!bytes) return bytes.error();
        return load_be32(bytes->data() + (at & 4));
    }

    /// Table bytes were changed in the storage by somebody else.
    void changed(uint64_t at, Bytes bytes) {
        while (!bytes.empty()) {
            const size_t offset = static_cast<size_t>(at & (pages_.page_size() - 1));
            const size_t rest = pages_.page_size() - offset;
            const Bytes piece = bytes.first(rest < bytes.size() ? rest : bytes.size());
            const size_t index = pages_.find(at >> pages_.page_bits());
            if (index != pages_.none) {
                std::memcpy(pages_.frame(index) + offset, piece.data(), piece.size());
            }
            at += piece.size();
            bytes = bytes.subspan(piece.size());
        }
    }

    /// What is known of these bytes is read again.
    void forget(uint64_t at, uint64_t length) {
        for (size_t i = 0; i < pages_.count(); ++i) {
            if (!pages_.is_used(i)) continue;
            const uint64_t page_at = pages_.number(i) << pages_.page_bits();
            if (overlaps(page_at, pages_.page_size(), at, length)) pages_.drop(i);
        }
    }

private:
    Metadata(S storage, metadata::Pages<A> pages)
        : storage_(std::move(storage)), pages_(std::move(pages)) {}

    // A table of an odd number of entries of 4 bytes may end where the file ends.
    [[gnu::noinline]] Result<uint32_t> last(uint64_t at) const {
        if (!fits(at, 4, storage_.size())) return uint32_t{0};
        if (const Status read = storage_.read(at, MutBytes(split_).first(4)); !read) {
            return read.error();
        }
        return load_be32(split_.data());
    }

    Result<const byte*> page(uint64_t number) const {
        const size_t index = pages_.find(number);
        if (index == pages_.none) [[unlikely]]
            return fetch(number);
        return static_cast<const byte*>(pages_.frame(index));
    }

    [[gnu::noinline]] Result<const byte*> fetch(uint64_t number) const {
        const size_t index = pages_.victim(number, [](size_t) { return true; });
        const uint64_t at = number << pages_.page_bits();
        const uint64_t rest = storage_.size() - at;
        const size_t length =
            rest < pages_.page_size() ? static_cast<size_t>(rest) : pages_.page_size();
        const Status read = storage_.read(at, MutBytes(pages_.frame(index), length));
        if (!read) return read.error();
        pages_.assign(index, number);
        return static_cast<const byte*>(pages_.frame(index));
    }

    // An entry of a table that is not 8-aligned in the file may lie in two pages.
    [[gnu::noinline]] Result<Bytes> straddling(uint64_t at) const {
        if (const Status read = storage_.read(at, split_); !read) return read.error();
        return Bytes(split_);
    }

    S storage_;
    metadata::Pages<A> pages_;
    mutable std::array<byte, metadata::entry_size> split_{};
};

/// The in-place form: no cache, no memory, and any number of threads may read.
template <ViewableStorage S, Allocation A>
class Metadata<S, A> {
public:
    static constexpr bool in_place = true;

    static Result<Metadata> make(S storage, CacheShape /*shape*/, const A& /*allocation*/) {
        return Metadata(std::move(storage));
    }

    [[nodiscard]] const S& storage() const { return storage_; }
    [[nodiscard]] S& storage() { return storage_; }

    Result<Bytes> entries(uint64_t at, uint64_t length) const {
        const uint64_t size = storage_.size();
        if (!metadata::inside(at, size)) return Bytes(metadata::no_entry);
        return storage_.view(at, length < size - at ? length : size - at);
    }

    Result<uint64_t> be64(uint64_t at) const {
        if (!metadata::inside(at, storage_.size())) return uint64_t{0};
        const auto bytes = storage_.view(at, metadata::entry_size);
        if (!bytes) return bytes.error();
        return load_be64(bytes->data());
    }
    Result<uint64_t> le64(uint64_t at) const {
        if (!metadata::inside(at, storage_.size())) return uint64_t{0};
        const auto bytes = storage_.view(at, metadata::entry_size);
        if (!bytes) return bytes.error();
        return load_le64(bytes->data());
    }
    Result<uint32_t> be32(uint64_t at) const {
        if (!fits(at, 4, storage_.size())) return uint32_t{0};
        const auto bytes = storage_.view(at, 4);
        if (!bytes) return bytes.error();
        return load_be32(bytes->data());
    }

    void changed(uint64_t /*at*/, Bytes /*bytes*/) {}

private:
    explicit Metadata(S storage) : storage_(std::move(storage)) {}

    S storage_;
};

}  // namespace vdisk
