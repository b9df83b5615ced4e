// SPDX-License-Identifier: BSL-1.0
// Where memory comes from. Nothing in the library calls new or malloc except the Heap policy.
#pragma once

#include <concepts>
#include <utility>

#include <vdisk/core/result.hpp>

namespace vdisk {

/// Hands out bytes or fails with Errc::no_memory; never throws. A small handle, kept by value:
/// copies share the same source of memory. `deallocate` takes exactly what `allocate` returned.
template <class A>
concept Allocation = std::copyable<A> && requires(A& a, size_t bytes, size_t align, MutBytes old) {
    { a.allocate(bytes, align) } -> std::same_as<Result<MutBytes>>;
    { a.deallocate(old) } -> std::same_as<void>;
};

/// Memory from an Allocation policy, given back at the end. Empty until made; can only be moved.
template <Allocation A>
class Buffer {
public:
    explicit Buffer(A allocation = A{}) : allocation_(std::move(allocation)) {}
    Buffer(Buffer&& other) noexcept
        : allocation_(other.allocation_), bytes_(std::exchange(other.bytes_, {})) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(allocation_, other.allocation_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~Buffer() { release(); }

    /// At least `size` bytes; what was in the buffer is lost when it has to grow.
    Result<MutBytes> reserve(size_t size) {
        if (bytes_.size() >= size) return bytes_.first(size);
        release();
        auto fresh = allocation_.allocate(size, alignof(std::max_align_t));
        if (!fresh) return fresh.error();
        bytes_ = *fresh;
        return bytes_;
    }

    /// Gives the memory back now.
    void release() {
        if (!bytes_.empty()) allocation_.deallocate(std::exchange(bytes_, {}));
    }

    [[nodiscard]] MutBytes bytes() const { return bytes_; }
    [[nodiscard]] A allocation() const { return allocation_; }

private:
    [[no_unique_address]] A allocation_;
    MutBytes bytes_;
};

}  // namespace vdisk
