// SPDX-License-Identifier: BSL-1.0
// A storage that somebody else owns, as a handle that can be kept by value.
#pragma once

#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// Refers to an S that outlives it and offers exactly what that S offers; `Borrowed<const S>` only
/// reads. Copies refer to the same S.
template <Storage S>
class Borrowed {
public:
    constexpr explicit Borrowed(S& storage) : storage_(&storage) {}

    [[nodiscard]] uint64_t size() const { return storage_->size(); }
    Status read(uint64_t at, MutBytes out) const { return storage_->read(at, out); }

    [[nodiscard]] Result<Bytes> view(uint64_t at,
                                     uint64_t length) const requires ViewableStorage<S> {
        return storage_->view(at, length);
    }

    Status write(uint64_t at, Bytes in) requires WritableStorage<S> {
        return storage_->write(at, in);
    }

    Status resize(uint64_t size) requires WritableStorage<S> { return storage_->resize(size); }

    Status flush() requires WritableStorage<S> { return storage_->flush(); }

    Status punch(uint64_t at, uint64_t length) requires PunchStorage<S> {
        return storage_->punch(at, length);
    }

    Status reserve(uint64_t at, uint64_t length) requires ReservingStorage<S> {
        return storage_->reserve(at, length);
    }

    [[nodiscard]] Result<Hole> hole(uint64_t at, uint64_t length) const requires SparseStorage<S> {
        return storage_->hole(at, length);
    }

private:
    S* storage_;
};

}  // namespace vdisk
