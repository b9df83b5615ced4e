// SPDX-License-Identifier: BSL-1.0
// A part of another storage as a storage of its own: a partition, an extent, an image in an image.
#pragma once

#include <utility>

#include <vdisk/core/math.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// [at, at + length) of an S held by value; offers what S offers, but keeps its size.
template <Storage S>
class WindowStorage {
public:
    static Result<WindowStorage> open(S storage, uint64_t at, uint64_t length) {
        if (!fits(at, length, storage.size())) {
            return invalid("window: does not lie inside the storage", {.at = at});
        }
        return WindowStorage(std::move(storage), at, length);
    }

    [[nodiscard]] uint64_t size() const { return length_; }

    Status read(uint64_t at, MutBytes out) const {
        if (!fits(at, out.size(), length_)) return invalid("window: read past the end");
        return storage_.read(start_ + at, out);
    }

    [[nodiscard]] Result<Bytes> view(uint64_t at,
                                     uint64_t length) const requires ViewableStorage<S> {
        if (!fits(at, length, length_)) return invalid("window: view past the end");
        return storage_.view(start_ + at, length);
    }

    Status write(uint64_t at, Bytes in) requires WritableStorage<S> {
        if (!fits(at, in.size(), length_)) return invalid("window: write past the end");
        return storage_.write(start_ + at, in);
    }

    /// Only the size it has.
    Status resize(uint64_t size) requires WritableStorage<S> {
        if (size == length_) return {};
        return unsupported("window: a window keeps its size", {.value = size});
    }

    Status flush() requires WritableStorage<S> { return storage_.flush(); }

    [[nodiscard]] Result<Hole> hole(uint64_t at, uint64_t length) const requires SparseStorage<S> {
        if (!fits(at, length, length_)) return invalid("window: hole past the end");
        return storage_.hole(start_ + at, length);
    }

private:
    WindowStorage(S storage, uint64_t start, uint64_t length)
        : storage_(std::move(storage)), start_(start), length_(length) {}

    S storage_;
    uint64_t start_;
    uint64_t length_;
};

}  // namespace vdisk
