// SPDX-License-Identifier: BSL-1.0
// Reads and unpacks compressed blocks, and keeps the last one: guests read a block in pieces.
#pragma once

#include <concepts>
#include <cstring>

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/codec/none.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// Memory is taken at the first compressed block: one unpacked block, and the packed bytes where
/// the storage cannot lend them. Not for several threads at once.
template <Allocation A, Codec C>
class Unpacker {
public:
    Unpacker(A allocation, C codec)
        : codec_(std::move(codec)), stored_(allocation), block_(std::move(allocation)) {}

    /// Fills `out` with the extent's bytes; `out` is as long as the extent. The caller has checked
    /// that the packed bytes lie inside the storage.
    template <Storage S>
    Status unpack(const S& storage, const Extent& extent, MutBytes out) {
        const Extent::Packed& packed = extent.packed;
        // Says so at once, and takes no memory for what it cannot do.
        if constexpr (std::same_as<C, NoCodec>) return codec_.unpack(packed.packing, {}, out);
        in_use_ = true;
        if (held_at_ != extent.at || held_ != key(packed)) {
            // A whole block goes straight to the caller; there is no piece left to keep.
            if (out.size() == packed.unit) return fill(storage, extent, out);
            auto block = block_.reserve(packed.unit);
            if (!block) return block.error();
            held_ = {};
            if (Status filled = fill(storage, extent, block->first(packed.unit)); !filled) {
                return filled;
            }
            held_at_ = extent.at;
            held_ = key(packed);
        }
        std::memcpy(out.data(), block_.bytes().data() + packed.skip, out.size());
        return {};
    }

    /// True from the first block on until `release`.
    [[nodiscard]] bool in_use() const { return in_use_; }

    /// Keeps no piece of the last block: its place in the file may hold another one now.
    void forget() { held_ = {}; }

    /// Gives all memory back, the codec's included; the next block takes it again.
    void release() {
        stored_.release();
        block_.release();
        if constexpr (std::default_initializable<C>) codec_ = C{};
        held_ = {};
        in_use_ = false;
    }

private:
    // Two extents show pieces of the same block if they differ in nothing but `skip`.
    static Extent::Packed key(Extent::Packed packed) {
        packed.skip = 0;
        return packed;
    }

    template <Storage S>
    Status fill(const S& storage, const Extent& extent, MutBytes block) {
        const uint32_t length = extent.packed.stored;
        if constexpr (ViewableStorage<S>) {
            const auto stored = storage.view(extent.at, length);
            if (!stored) return stored.error();
            return codec_.unpack(extent.packed.packing, *stored, block);
        } else {
            auto stored = stored_.reserve(length);
            if (!stored) return stored.error();
            const MutBytes input = stored->first(length);
            if (Status read = storage.read(extent.at, input); !read) return read;
            return codec_.unpack(extent.packed.packing, input, block);
        }
    }

    [[no_unique_address]] C codec_;
    Buffer<A> stored_;
    Buffer<A> block_;
    uint64_t held_at_ = 0;
    Extent::Packed held_ = {};  ///< which block `block_` holds; unit 0 = none
    bool in_use_ = false;
};

}  // namespace vdisk
