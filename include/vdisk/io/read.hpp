// SPDX-License-Identifier: BSL-1.0
// The one place where guest data is read, for all formats.
#pragma once

#include <cstring>

#include <vdisk/core/math.hpp>
#include <vdisk/format/image.hpp>

namespace vdisk {

/// What is below a base image: zeros.
struct Zeros {
    Status operator()(uint64_t /*at*/, MutBytes out) const {
        if (!out.empty()) std::memset(out.data(), 0, out.size());
        return {};
    }
};

namespace io {

/// Moves the bytes of one extent. `out` is as long as the extent.
template <Image I, class Below>
Status move(const I& image, const Extent& extent, uint64_t at, MutBytes out, Below&& below) {
    switch (extent.kind) {
        case Kind::data: return image.storage().read(extent.at, out);
        case Kind::absent: return below(at, out);
        case Kind::zero: return Zeros{}(at, out);
        case Kind::compressed:
            if constexpr (PackedImage<I>) return image.unpack(extent, out);
    }
    return unsupported("read: this image has no compressed blocks");
}

}  // namespace io

/// Fills `out` with the guest bytes from `at`. `below(at, out)` is asked for every run the image
/// says nothing about: zeros for a base image, the parent for a chain. After a failure the
/// contents of `out` are unspecified.
template <Image I, class Below = Zeros>
Status read(const I& image, uint64_t at, MutBytes out, Below&& below = {}) {
    if (!fits(at, out.size(), image.size())) return invalid("read: past the end of the disk");
    while (!out.empty()) {
        const Result<Extent> extent = image.lookup(at, out.size());
        if (!extent) return extent.error();
        const MutBytes piece = out.first(static_cast<size_t>(extent->length));
        if (const Status moved = io::move(image, *extent, at, piece, below); !moved) return moved;
        at += piece.size();
        out = out.subspan(piece.size());
    }
    return {};
}

/// As read, but what is past the end of the image reads as zeros: a parent may be shorter than its
/// child.
template <Image I, class Below = Zeros>
Status read_clipped(const I& image, uint64_t at, MutBytes out, Below&& below = {}) {
    const uint64_t rest = at < image.size() ? image.size() - at : 0;
    const size_t inside = rest < out.size() ? static_cast<size_t>(rest) : out.size();
    const Status tail = Zeros{}(at + inside, out.subspan(inside));
    if (!tail || inside == 0) return tail;
    return read(image, at, out.first(inside), below);
}

/// What is below a child of `parent`, which must outlive it: `read(child, at, out,
/// Parent{parent})`.
template <Image I>
struct Parent {
    const I& image;
    Status operator()(uint64_t at, MutBytes out) const { return read_clipped(image, at, out); }
};
template <Image I>
Parent(const I&) -> Parent<I>;

}  // namespace vdisk
