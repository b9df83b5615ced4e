// SPDX-License-Identifier: BSL-1.0
// Writes a raw image: every byte in its place.
#pragma once

#include <vdisk/format/raw/image.hpp>

namespace vdisk::raw {

template <WritableStorage S>
class Writer : public Image<S> {
public:
    static constexpr bool never_fresh = true;

    /// A file that ends inside a sector is made longer at the first write to that sector.
    static Result<Writer> open(S storage, OpenOptions options = {}) {
        auto image = Image<S>::open(std::move(storage), options);
        if (!image) return image.error();
        return Writer(*std::move(image));
    }

    using Image<S>::storage;
    [[nodiscard]] S& storage() { return this->storage_mut(); }

    Result<Placement> place(uint64_t at, uint64_t length) {
        if (storage().size() < at + length) {
            if (Status whole = storage().resize(this->size()); !whole) return whole.error();
        }
        return Placement{.at = at, .length = length};
    }
    Status commit(uint64_t /*at*/, const Placement& /*placement*/) { return {}; }

    [[nodiscard]] uint64_t block_size() const { return 512; }
    /// Makes holes where the storage can. As ErasableImage says.
    Result<uint64_t> zero(uint64_t at, uint64_t length) {
        if constexpr (PunchStorage<S>) {
            const auto placed = place(at, length);
            if (!placed) return placed.error();
            const Status punched = storage().punch(at, length);
            if (punched) return length;
            if (punched.error().code != Errc::unsupported) return punched.error();
        }
        return uint64_t{0};
    }
    Result<uint64_t> discard(uint64_t at, uint64_t length) {
        const auto done = zero(at, length);
        return done ? Result<uint64_t>(length) : done;
    }

    Status flush() { return storage().flush(); }

private:
    explicit Writer(Image<S>&& image) : Image<S>(std::move(image)) {}
};

}  // namespace vdisk::raw
