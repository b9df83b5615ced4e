// SPDX-License-Identifier: BSL-1.0
// A writer of an image whose format is known only at run time.
#pragma once

#include <vdisk/disk/any.hpp>
#include <vdisk/io/zero.hpp>

namespace vdisk {

template <class List, WritableStorage S, Allocation A, Codec C>
class AnyWriter;

/// A writer of one of the formats; is itself an ErasableImage. `read`, `write`, `zero` and
/// `discard` dispatch once per request, not once per block.
template <class... Formats, WritableStorage S, Allocation A, Codec C>
class AnyWriter<FormatList<Formats...>, S, A, C>
    : public AnyOf<S, typename Formats::template Writer<S, A, C>...> {
    using Base = AnyOf<S, typename Formats::template Writer<S, A, C>...>;

public:
    using List = FormatList<Formats...>;

    /// Opens `storage` as the named format, to read and write. Errc::not_found if no format has
    /// that name.
    static Result<AnyWriter> open(std::string_view format, S storage, OpenOptions options = {},
                                  A allocation = A{}, C codec = C{}) {
        Result<AnyWriter> opened = fail(Errc::not_found, "open: unknown format name");
        const auto attempt = [&]<class Format>(std::type_identity<Format>) {
            if (!is_named<Format>(format)) return false;
            auto writer = Format::open_writer(std::move(storage), options, std::move(allocation),
                                              std::move(codec));
            if (writer) opened = AnyWriter(Format::name, *std::move(writer));
            else opened = writer.error();
            return true;
        };
        static_cast<void>((attempt(std::type_identity<Formats>{}) || ...));
        return opened;
    }

    using Base::storage;
    [[nodiscard]] S& storage() {
        return this->visit([](auto& image) -> S& { return image.storage(); });
    }

    Result<Placement> place(uint64_t at, uint64_t length) {
        return this->visit([&](auto& image) { return image.place(at, length); });
    }
    Status commit(uint64_t at, const Placement& placement) {
        return this->visit([&](auto& image) { return image.commit(at, placement); });
    }
    Status flush() {
        return this->visit([](auto& image) { return image.flush(); });
    }
    /// As flush, and the image is as others open it. Writing may go on, and then needs another.
    Status close() {
        return this->visit([](auto& image) -> Status {
            if constexpr (requires { image.close(); }) return image.close();
            else return image.flush();
        });
    }

    [[nodiscard]] uint64_t block_size() const {
        return this->visit([](const auto& image) -> uint64_t {
            if constexpr (requires { image.block_size(); }) return image.block_size();
            else return 512;
        });
    }
    /// Does nothing where the format shows no zeros without storing them.
    Result<uint64_t> zero(uint64_t at, uint64_t length) {
        return this->visit([&]<class I>(I& image) -> Result<uint64_t> {
            if constexpr (ErasableImage<I>) return image.zero(at, length);
            else return uint64_t{0};
        });
    }
    Result<uint64_t> discard(uint64_t at, uint64_t length) {
        return this->visit([&]<class I>(I& image) -> Result<uint64_t> {
            if constexpr (ErasableImage<I>) return image.discard(at, length);
            else return length;
        });
    }

    /// Whole blocks in the range are absent from now on, contents and space given up. Says how far
    /// it came. Errc::unsupported where a format knows no way.
    Result<uint64_t> drop(uint64_t at, uint64_t length) {
        return this->visit([&](auto& image) -> Result<uint64_t> {
            if constexpr (requires { image.drop(at, length); }) return image.drop(at, length);
            else return unsupported("write: this format cannot give up what it holds");
        });
    }

    /// Guest bytes of a packed block; 0 where the image can hold none.
    [[nodiscard]] uint64_t pack_unit() const {
        return this->visit([](const auto& image) -> uint64_t {
            if constexpr (requires { image.layout().has_data_file; }) {
                if (image.layout().has_data_file) return 0;
            }
            if constexpr (requires { image.pack_unit(); }) return image.pack_unit();
            else return 0;
        });
    }
    [[nodiscard]] Packing packing() const {
        return this->visit([](const auto& image) -> Packing {
            if constexpr (requires { image.packing(); }) return image.packing();
            else return Packing::deflate;
        });
    }
    Result<uint64_t> place_packed(uint64_t stored) {
        return this->visit([&](auto& image) -> Result<uint64_t> {
            if constexpr (requires { image.place_packed(stored); }) {
                return image.place_packed(stored);
            } else {
                return unsupported("write: this format has no compressed blocks");
            }
        });
    }
    Status commit_packed(uint64_t at, uint64_t home, uint64_t stored) {
        return this->visit([&](auto& image) -> Status {
            if constexpr (requires { image.commit_packed(at, home, stored); }) {
                return image.commit_packed(at, home, stored);
            } else {
                return unsupported("write: this format has no compressed blocks");
            }
        });
    }

private:
    template <class I>
    AnyWriter(std::string_view format, I image) : Base(format, std::move(image)) {}
};

/// As read, write, zero and discard of one image; the format is looked up once.
template <class List, WritableStorage S, Allocation A, Codec C, class Below = Zeros>
Status read(const AnyWriter<List, S, A, C>& any, uint64_t at, MutBytes out, Below&& below = {}) {
    return any.visit([&](const auto& image) { return read(image, at, out, below); });
}
template <class List, WritableStorage S, Allocation A, Codec C, class Below = Zeros>
Status write(AnyWriter<List, S, A, C>& any, uint64_t at, Bytes in, MutBytes scratch,
             Below&& below = {}) {
    return any.visit([&](auto& image) { return write(image, at, in, scratch, below); });
}
template <class List, WritableStorage S, Allocation A, Codec C, class Below = Zeros>
Status zero(AnyWriter<List, S, A, C>& any, uint64_t at, uint64_t length, MutBytes scratch,
            Below&& below = {}) {
    return any.visit([&](auto& image) { return zero(image, at, length, scratch, below); });
}
template <class List, WritableStorage S, Allocation A, Codec C>
Status discard(AnyWriter<List, S, A, C>& any, uint64_t at, uint64_t length) {
    return any.visit([&](auto& image) { return discard(image, at, length); });
}

}  // namespace vdisk
