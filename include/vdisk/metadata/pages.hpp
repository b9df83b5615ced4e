// SPDX-License-Identifier: BSL-1.0
// Page frames in memory, found by page number: the cache beneath the tables.
#pragma once

#include <cstring>
#include <utility>

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/core/result.hpp>

namespace vdisk {

/// The size of the table cache; not used where tables are read in place. Both are powers of two,
/// together at most 1 GiB.
struct CacheShape {
    uint8_t page_bits = 12;  ///< bytes per page: 9 (512) to 20
    uint8_t count_bits = 8;  ///< number of pages: 0 (one page) to 16
};

namespace metadata {

/// 2^count_bits frames of 2^page_bits bytes. A page may stand in any frame of its set of 8 (or of
/// all, if there are fewer); within a set the frame to be reused is found by a clock.
template <Allocation A>
class Pages {
public:
    static constexpr size_t none = ~size_t{0};

    static Result<Pages> make(CacheShape shape, A allocation) {
        if (shape.page_bits < 9 || shape.page_bits > 20 || shape.count_bits > 16 ||
            shape.page_bits + shape.count_bits > 30) {
            return invalid("metadata: cache shape out of range");
        }
        Pages made(shape, std::move(allocation));
        const size_t slots = made.count() * sizeof(Slot);
        auto memory = made.memory_.reserve((made.count() << shape.page_bits) + slots);
        if (!memory) return memory.error();
        std::memset(made.slot(0), 0, slots);
        return made;
    }

    [[nodiscard]] size_t count() const { return size_t{1} << shape_.count_bits; }
    [[nodiscard]] size_t page_size() const { return size_t{1} << shape_.page_bits; }
    [[nodiscard]] unsigned page_bits() const { return shape_.page_bits; }

    /// The bytes of frame `index`.
    [[nodiscard]] byte* frame(size_t index) const {
        return memory_.bytes().data() + (index << shape_.page_bits);
    }

    /// The frame that holds page `number`, or `none`.
    [[nodiscard]] size_t find(uint64_t number) const {
        const size_t first = set_of(number);
        for (size_t way = 0; way < size_t{1} << way_bits(); ++way) {
            Slot* const found = slot(first + way);
            if (found->tag == number + 1) {
                found->age = 1;
                return first + way;
            }
        }
        return none;
    }

    /// A frame that page `number` may be put into, now empty. `may_go(index)` says whether what
    /// stands there may be dropped; `none` if nothing may.
    template <class MayGo>
    [[nodiscard]] size_t victim(uint64_t number, const MayGo& may_go) const {
        const size_t first = set_of(number);
        const size_t ways = size_t{1} << way_bits();
        // In two rounds the clock has cleared every mark.
        for (size_t step = 0; step < 2 * ways; ++step) {
            const size_t index = first + (hand_++ & (ways - 1));
            if (slot(index)->tag != 0 && !may_go(index)) continue;
            if (std::exchange(slot(index)->age, 0) != 0) continue;
            slot(index)->tag = 0;
            return index;
        }
        return none;
    }

    /// Says that frame `index` now holds page `number`.
    void assign(size_t index, uint64_t number) const { *slot(index) = {number + 1, 1}; }

    /// Empties frame `index`.
    void drop(size_t index) const { *slot(index) = {0, 0}; }

    [[nodiscard]] bool is_used(size_t index) const { return slot(index)->tag != 0; }
    /// The page in a used frame.
    [[nodiscard]] uint64_t number(size_t index) const { return slot(index)->tag - 1; }

private:
    struct Slot {
        uint64_t tag;  ///< page number + 1; 0 is an empty frame
        uint64_t age;  ///< 1 if used since the hand passed
    };

    Pages(CacheShape shape, A allocation) : memory_(std::move(allocation)), shape_(shape) {}

    [[nodiscard]] unsigned way_bits() const {
        return shape_.count_bits < 3 ? shape_.count_bits : 3;
    }
    [[nodiscard]] size_t set_of(uint64_t number) const {
        const unsigned set_bits = shape_.count_bits - way_bits();
        const uint64_t hash = number * 0x9E3779B97F4A7C15;
        return static_cast<size_t>(hash >> 1 >> (63 - set_bits)) << way_bits();
    }
    [[nodiscard]] Slot* slot(size_t index) const {
        return reinterpret_cast<Slot*>(frame(count())) + index;
    }

    Buffer<A> memory_;  ///< the frames, then their slots
    CacheShape shape_;
    mutable uint32_t hand_ = 0;
};

}  // namespace metadata
}  // namespace vdisk
