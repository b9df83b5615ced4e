// SPDX-License-Identifier: BSL-1.0
// Access to on-disk tables by file offset, in bounded memory: no table is ever loaded whole.
// In place where the storage lends its bytes, through a few cached pages where it does not.
#pragma once

#include <array>
#include <cstring>
#include <utility>

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/core/endian.hpp>
#include <vdisk/core/math.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// The size of the table cache; not used where tables are read in place. Both are powers of two.
struct CacheShape {
    uint8_t page_bits = 12;  ///< bytes per page: 9 (512) to 20
    uint8_t count_bits = 8;  ///< number of pages: 0 (one page) to 16
};

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
        if (shape.page_bits < 9 || shape.page_bits > 20 || shape.count_bits > 16) {
            return invalid("metadata: cache shape out of range");
        }
        Metadata made(std::move(storage), shape, std::move(allocation));
        const size_t count = size_t{1} << shape.count_bits;
        auto memory = made.memory_.reserve((count << shape.page_bits) + count * sizeof(Slot));
        if (!memory) return memory.error();
        std::memset(made.slot(0), 0, count * sizeof(Slot));
        return made;
    }

    [[nodiscard]] const S& storage() const { return storage_; }
    [[nodiscard]] S& storage() { return storage_; }

    /// Bytes of a table from `at`: at least one entry of 8 bytes, at most `length`.
    Result<Bytes> entries(uint64_t at, uint64_t length) const {
        if (!metadata::inside(at, storage_.size())) return Bytes(metadata::no_entry);
        const size_t offset = static_cast<size_t>(at & (page_size() - 1));
        if (page_size() - offset < metadata::entry_size) return straddling(at);
        const auto page = this->page(at >> page_bits_);
        if (!page) return page.error();
        uint64_t usable = page_size() - offset;
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

private:
    struct Slot {
        uint64_t tag;  ///< page number + 1; 0 is an empty slot
        uint64_t age;  ///< 1 if used since the hand passed
    };

    Metadata(S storage, CacheShape shape, A allocation)
        : storage_(std::move(storage)),
          memory_(std::move(allocation)),
          page_bits_(shape.page_bits),
          count_bits_(shape.count_bits) {}

    [[nodiscard]] size_t page_size() const { return size_t{1} << page_bits_; }
    // A page may stand in any of the slots of its set: 8, or all if there are fewer.
    [[nodiscard]] unsigned way_bits() const { return count_bits_ < 3 ? count_bits_ : 3; }
    [[nodiscard]] size_t set_of(uint64_t page) const {
        const unsigned set_bits = count_bits_ - way_bits();
        const uint64_t hash = page * 0x9E3779B97F4A7C15;
        return static_cast<size_t>(hash >> 1 >> (63 - set_bits)) << way_bits();
    }
    [[nodiscard]] Slot* slot(size_t index) const {
        byte* slots = memory_.bytes().data() + (page_size() << count_bits_);
        return reinterpret_cast<Slot*>(slots) + index;
    }
    [[nodiscard]] byte* frame(size_t index) const {
        return memory_.bytes().data() + (index << page_bits_);
    }

    Result<const byte*> page(uint64_t number) const {
        const size_t first = set_of(number);
        for (size_t way = 0; way < size_t{1} << way_bits(); ++way) {
            Slot* const found = slot(first + way);
            if (found->tag == number + 1) {
                found->age = 1;
                return static_cast<const byte*>(frame(first + way));
            }
        }
        return fetch(number, first);
    }

    [[gnu::noinline]] Result<const byte*> fetch(uint64_t number, size_t first) const {
        const size_t ways = size_t{1} << way_bits();
        size_t way = hand_ & (ways - 1);
        while (slot(first + way)->age != 0) {
            slot(first + way)->age = 0;
            way = (way + 1) & (ways - 1);
        }
        hand_ = static_cast<uint32_t>(way + 1);
        Slot* const victim = slot(first + way);
        victim->tag = 0;
        const uint64_t at = number << page_bits_;
        const uint64_t rest = storage_.size() - at;
        const size_t length = rest < page_size() ? static_cast<size_t>(rest) : page_size();
        if (const Status read = storage_.read(at, MutBytes(frame(first + way), length)); !read) {
            return read.error();
        }
        victim->tag = number + 1;
        victim->age = 1;
        return static_cast<const byte*>(frame(first + way));
    }

    // An entry of a table that is not 8-aligned in the file may lie in two pages.
    [[gnu::noinline]] Result<Bytes> straddling(uint64_t at) const {
        if (const Status read = storage_.read(at, split_); !read) return read.error();
        return Bytes(split_);
    }

    S storage_;
    Buffer<A> memory_;  ///< the pages, then their slots
    uint8_t page_bits_;
    uint8_t count_bits_;
    mutable uint32_t hand_ = 0;
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

private:
    explicit Metadata(S storage) : storage_(std::move(storage)) {}

    S storage_;
};

}  // namespace vdisk
