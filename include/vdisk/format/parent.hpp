// SPDX-License-Identifier: BSL-1.0
// What an image says of the image it stands on. Formats differ: a name in the file as it is
// (`backing_file`), or several of which one may be right (`parent_name`); a format, or none; and
// some know their parent by an id. Here they answer alike.
#pragma once

#include <vdisk/core/guid.hpp>
#include <vdisk/format/image.hpp>

namespace vdisk {

/// An image that may name its parent in several ways, the best first. `parent_name(choice, out)`
/// writes the choice-th as UTF-8 with slashes; Errc::not_found where there are no more.
template <class I>
concept ManyParentNames = requires(const I& image, unsigned choice, std::span<char> out) {
    { image.has_parent() } -> std::same_as<bool>;
    { image.parent_name(choice, out) } -> std::same_as<Result<std::string_view>>;
    { image.parent_format(out) } -> std::same_as<Result<std::string_view>>;
};

/// An image with an id, which a child remembers. The first write to a VHDX image
/// changes it.
template <class I>
concept Identified = requires(const I& image, const Guid& id) {
    { image.identity() } -> std::same_as<Guid>;
    { image.is_child_of(id) } -> std::same_as<bool>;
};

template <class I>
[[nodiscard]] bool has_parent(const I& image) {
    if constexpr (ManyParentNames<I>) return image.has_parent();
    else if constexpr (requires { image.backing_file(); }) return image.backing_file().length > 0;
    else return false;
}

/// The choice-th name of the parent; it may lie in `out`. Not trusted. Errc::not_found after the
/// last.
template <class I>
Result<std::string_view> parent_name(const I& image, unsigned choice, std::span<char> out) {
    if constexpr (ManyParentNames<I>) {
        return image.parent_name(choice, out);
    } else {
        if (choice == 0 && has_parent(image)) {
            if constexpr (requires { image.backing_file(); }) {
                return read_text(image.file(), image.backing_file(), out);
            }
        }
        return fail(Errc::not_found, "open: the image names no other parent");
    }
}

/// The parent's format, as the image states it; empty where it does not.
template <class I>
Result<std::string_view> parent_format(const I& image, std::span<char> out) {
    if constexpr (ManyParentNames<I>) return image.parent_format(out);
    else if constexpr (requires { image.backing_format(); })
        return read_text(image.file(), image.backing_format(), out);
    else return std::string_view();
}

/// Nil where a format has no ids.
template <class I>
[[nodiscard]] Guid identity(const I& image) {
    if constexpr (Identified<I>) return image.identity();
    else return {};
}

/// Whether an image of that identity is the parent meant. Formats without ids take any.
template <class I>
[[nodiscard]] bool is_child_of(const I& image, const Guid& parent) {
    if constexpr (Identified<I>) return image.is_child_of(parent);
    else return true;
}

}  // namespace vdisk
