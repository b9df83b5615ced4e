// SPDX-License-Identifier: BSL-1.0
// An image whose format is known only at run time. A new format is one include and one name here.
#pragma once

#include <variant>

#include <vdisk/format/qcow/format.hpp>
#include <vdisk/format/qcow2/format.hpp>
#include <vdisk/format/raw/format.hpp>
#include <vdisk/format/vhd/format.hpp>
#include <vdisk/format/vhdx/format.hpp>
#include <vdisk/io/read.hpp>

namespace vdisk {

/// A list of formats, as types.
template <class... Formats>
struct FormatList {};

using AllFormats = FormatList<Raw, Qcow, Qcow2, Vhd, Vhdx>;

/// Whether `text` names the format; some have two names.
template <class Format>
[[nodiscard]] constexpr bool is_named(std::string_view text) {
    if constexpr (requires { Format::alias; }) {
        if (text == Format::alias) return true;
    }
    return text == Format::name;
}

/// What an image and a writer of a format known only at run time have in common. Calls are
/// dispatched by the variant's index.
template <Storage S, class... Images>
class AnyOf {
public:
    /// The format's name, as qemu-img spells it.
    [[nodiscard]] std::string_view format() const { return format_; }

    /// Calls `f(image)` with the image of the real format.
    template <class F>
    decltype(auto) visit(F&& f) const {
        return std::visit(std::forward<F>(f), image_);
    }
    template <class F>
    decltype(auto) visit(F&& f) {
        return std::visit(std::forward<F>(f), image_);
    }

    [[nodiscard]] uint64_t size() const {
        return visit([](const auto& image) { return image.size(); });
    }
    /// The image file itself; `storage` may be another one (qcow2: external data file).
    [[nodiscard]] const S& file() const {
        return visit([](const auto& image) -> const S& { return image.file(); });
    }
    [[nodiscard]] const S& storage() const {
        return visit([](const auto& image) -> const S& {
            // Some images read through a wrapper of their own.
            using Own = std::remove_cvref_t<decltype(image.storage())>;
            if constexpr (std::same_as<Own, S>) return image.storage();
            else return image.file();
        });
    }
    Result<Extent> lookup(uint64_t at, uint64_t length) const {
        return visit([&](const auto& image) { return image.lookup(at, length); });
    }
    Result<Extent> survey(uint64_t at, uint64_t length) const {
        return visit([&](const auto& image) -> Result<Extent> {
            if constexpr (requires { image.survey(at, length); }) return image.survey(at, length);
            else return image.lookup(at, length);
        });
    }
    Status unpack(const Extent& extent, MutBytes out) const {
        return visit([&](const auto& image) -> Status {
            if constexpr (requires { image.unpack(extent, out); }) return image.unpack(extent, out);
            else return unsupported("read: this format has no compressed blocks");
        });
    }

    /// True if `unpack` has taken memory; `release` gives it back until the next block.
    [[nodiscard]] bool holds_memory() const {
        return visit([](const auto& image) {
            if constexpr (requires { image.holds_memory(); }) return image.holds_memory();
            else return false;
        });
    }
    void release() const {
        visit([](const auto& image) {
            if constexpr (requires { image.release(); }) image.release();
        });
    }

    [[nodiscard]] bool has_parent() const {
        return visit([](const auto& image) { return vdisk::has_parent(image); });
    }
    /// As the functions of these names for one image, in format/parent.hpp.
    Result<std::string_view> parent_name(unsigned choice, std::span<char> out) const {
        return visit([&](const auto& image) { return vdisk::parent_name(image, choice, out); });
    }
    Result<std::string_view> parent_format(std::span<char> out) const {
        return visit([&](const auto& image) { return vdisk::parent_format(image, out); });
    }
    [[nodiscard]] Guid identity() const {
        return visit([](const auto& image) { return vdisk::identity(image); });
    }
    [[nodiscard]] bool is_child_of(const Guid& parent) const {
        return visit([&](const auto& image) { return vdisk::is_child_of(image, parent); });
    }
    /// The name of the external data file; `needs_data_file` may be true without a name.
    [[nodiscard]] Text data_file() const {
        return visit([](const auto& image) -> Text {
            if constexpr (requires { image.layout().data_file; }) return image.layout().data_file;
            else return {};
        });
    }
    [[nodiscard]] bool needs_data_file() const {
        return visit([](const auto& image) {
            if constexpr (requires { image.layout().has_data_file; })
                return image.layout().has_data_file;
            else return false;
        });
    }
    Status attach_data_file(S storage) {
        return visit([&](auto& image) -> Status {
            if constexpr (requires { image.attach_data_file(std::move(storage)); }) {
                return image.attach_data_file(std::move(storage));
            } else {
                return unsupported("open: this format has no external data file");
            }
        });
    }

protected:
    template <class I>
    AnyOf(std::string_view format, I image) : format_(format), image_(std::move(image)) {}

private:
    std::string_view format_;
    std::variant<Images...> image_;
};

template <class List, Storage S, Allocation A, Codec C>
class AnyImage;

/// One image of one of the formats; is itself an Image. `read` dispatches once per request, not
/// once per block.
template <class... Formats, Storage S, Allocation A, Codec C>
class AnyImage<FormatList<Formats...>, S, A, C>
    : public AnyOf<S, typename Formats::template Image<S, A, C>...> {
    using Base = AnyOf<S, typename Formats::template Image<S, A, C>...>;

public:
    using List = FormatList<Formats...>;

    /// Opens `storage` as the named format. Errc::not_found if no format has that name.
    static Result<AnyImage> open(std::string_view format, S storage, OpenOptions options = {},
                                 A allocation = A{}, C codec = C{}) {
        Result<AnyImage> opened = fail(Errc::not_found, "open: unknown format name");
        const auto attempt = [&]<class Format>(std::type_identity<Format>) {
            if (!is_named<Format>(format)) return false;
            auto image =
                Format::open(std::move(storage), options, std::move(allocation), std::move(codec));
            if (image) opened = AnyImage(Format::name, *std::move(image));
            else opened = image.error();
            return true;
        };
        static_cast<void>((attempt(std::type_identity<Formats>{}) || ...));
        return opened;
    }

    /// Shows an internal snapshot instead of the current state.
    Status select_snapshot(std::string_view id_or_name) {
        return this->visit([&](auto& image) -> Status {
            if constexpr (requires { image.select_snapshot(id_or_name); }) {
                return image.select_snapshot(id_or_name);
            } else {
                return fail(Errc::not_found, "open: this format has no internal snapshots");
            }
        });
    }

private:
    template <class I>
    AnyImage(std::string_view format, I image) : Base(format, std::move(image)) {}
};

/// As read of one image; the format is looked up once.
template <class List, Storage S, Allocation A, Codec C, class Below = Zeros>
Status read(const AnyImage<List, S, A, C>& any, uint64_t at, MutBytes out, Below&& below = {}) {
    return any.visit([&](const auto& image) { return read(image, at, out, below); });
}

}  // namespace vdisk
