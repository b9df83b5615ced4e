// SPDX-License-Identifier: BSL-1.0
// Several codecs as one, tried in order.
#pragma once

#include <concepts>
#include <utility>

#include <vdisk/codec/concepts.hpp>

namespace vdisk {

/// A Codec that says which packings it knows: `static constexpr bool handles(Packing)`.
template <class C>
concept SelectiveCodec = Codec<C> && requires(Packing packing) {
    { C::handles(packing) } -> std::same_as<bool>;
};

/// Every member that handles the packing is tried until one succeeds, so a fast codec may be
/// followed by a patient one; the error is that of the last. The first that handles the packing and
/// can pack is the one that packs. Sets may be nested.
template <SelectiveCodec... Cs>
class Codecs : private Cs... {  // bases: an ordered set without <tuple>
public:
    Codecs() = default;
    /// Members that are not made by default, such as those of another level.
    explicit Codecs(Cs... codecs) requires(sizeof...(Cs) > 0) : Cs(std::move(codecs))... {}

    static constexpr bool handles([[maybe_unused]] Packing packing) {
        return (Cs::handles(packing) || ...);
    }

    Status unpack(Packing packing, [[maybe_unused]] Bytes in, [[maybe_unused]] MutBytes out) {
        Status status = missing(packing);
        [[maybe_unused]] const auto try_next = [&](auto& codec) {
            if (codec.handles(packing)) status = codec.unpack(packing, in, out);
            return static_cast<bool>(status);
        };
        static_cast<void>((try_next(static_cast<Cs&>(*this)) || ...));
        return status;
    }

    Result<size_t> pack(Packing packing, [[maybe_unused]] Bytes in, [[maybe_unused]] MutBytes out) {
        Result<size_t> packed = missing(packing);
        [[maybe_unused]] const auto try_next = [&]<class C>(C& codec) {
            if constexpr (PackingCodec<C>) {
                if (!codec.handles(packing)) return false;
                packed = codec.pack(packing, in, out);
                // A set within this one may handle a packing that none of its members packs.
                return packed || packed.error().code != Errc::unsupported;
            }
            return false;
        };
        static_cast<void>((try_next(static_cast<Cs&>(*this)) || ...));
        return packed;
    }

private:
    static Error missing(Packing packing) {
        switch (packing) {
            case Packing::deflate: return unsupported("codec: deflate is not part of this build");
            case Packing::zstd: return unsupported("codec: zstd is not part of this build");
        }
        return unsupported("codec: unknown packing");
    }
};

static_assert(SelectiveCodec<Codecs<>> && PackingCodec<Codecs<>>);

}  // namespace vdisk
