// SPDX-License-Identifier: BSL-1.0
// A number per cluster of the file: how often it is referred to.
#pragma once

#include <cstring>
#include <limits>

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/format/qcow2/refcount.hpp>

namespace vdisk::qcow2 {

/// Counters as wide as the refcounts of an image, of a byte at least. They stand in memory as they
/// stand in a refcount block of that width, and stay at their maximum.
template <Allocation A>
class Counters {
public:
    /// All zero. `order` is log2 of the width in bits.
    static Result<Counters> make(uint64_t count, unsigned order, A allocation) {
        Counters made(count, order < 3 ? 3 : order, std::move(allocation));
        const unsigned shift = made.order_ - 3;
        if (count > std::numeric_limits<size_t>::max() >> shift) {
            return fail(Errc::no_memory, "qcow2: the file has too many clusters to count", {count});
        }
        auto memory = made.memory_.reserve(static_cast<size_t>(count) << shift);
        if (!memory) return memory.error();
        if (!memory->empty()) std::memset(memory->data(), 0, memory->size());
        return made;
    }

    [[nodiscard]] uint64_t size() const { return size_; }
    [[nodiscard]] unsigned order() const { return order_; }
    /// References that went beyond the maximum.
    [[nodiscard]] uint64_t lost() const { return lost_; }
    /// 0 for what is not counted: where the end of the file cut an entry short, it is nothing until
    /// the file grows, and then leads anywhere.
    [[nodiscard]] uint64_t operator[](uint64_t index) const {
        return index < size_ ? load_refcount(memory_.bytes().data(), index, order_) : 0;
    }

    void add(uint64_t index, uint64_t more) {
        const uint64_t now = (*this)[index];
        const uint64_t room = max_refcount(order_) - now;
        put(index, now + (more < room ? more : room));
        if (more > room) lost_ += more - room;
    }
    void subtract(uint64_t index, uint64_t less) {
        const uint64_t now = (*this)[index];
        put(index, now - (less < now ? less : now));
    }

private:
    Counters(uint64_t size, unsigned order, A allocation)
        : memory_(std::move(allocation)), size_(size), order_(order) {}

    void put(uint64_t index, uint64_t value) {
        if (index < size_) store_refcount(memory_.bytes().data(), index, order_, value);
    }

    Buffer<A> memory_;
    uint64_t size_;
    unsigned order_;
    uint64_t lost_ = 0;
};

}  // namespace vdisk::qcow2
