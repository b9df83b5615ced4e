// SPDX-License-Identifier: BSL-1.0
// An image and everything below it, read as one disk. Formats may be mixed.
#pragma once

#include <array>
#include <vector>

#include <vdisk/disk/gate.hpp>
#include <vdisk/disk/probe.hpp>
#include <vdisk/io/walk.hpp>

namespace vdisk {

struct ChainOptions {
    std::string_view format = {};  ///< of the top image; empty: probe
    std::string_view backing_format =
        {};                          ///< for images that do not say what their backing file is
    std::string_view snapshot = {};  ///< id or name of an internal snapshot of the top image
    bool raw_fallback = false;       ///< a top image that no format claims is raw
    uint32_t max_depth = 200;        ///< images in the chain
    OpenOptions open = {};
};

/// One image of a chain, and where it came from.
template <class I, class From>
struct Layer {
    using Origin = From;
    I image;
    Origin origin;
};

/// A disk made of layers, top first. Mapped; read it with `read(chain, at, out)`.
template <class I, class Origin>
class Chain {
public:
    explicit Chain(std::vector<Layer<I, Origin>> layers) : layers_(std::move(layers)) {}

    /// Bytes the guest sees: the size of the top image.
    [[nodiscard]] uint64_t size() const { return layers_.front().image.size(); }
    [[nodiscard]] std::span<const Layer<I, Origin>> layers() const { return layers_; }
    [[nodiscard]] const I& top() const { return layers_.front().image; }

    /// Extent::depth says which layer answered; Kind::absent means none did.
    Result<Extent> lookup(uint64_t at, uint64_t length) const {
        return find(at, length, [](const I& image, uint64_t from, uint64_t n) {
            return image.lookup(from, n);
        });
    }
    Result<Extent> survey(uint64_t at, uint64_t length) const {
        return find(at, length, [](const I& image, uint64_t from, uint64_t n) {
            return vdisk::survey(image, from, n);
        });
    }

    /// Only the first `count` layers (one or more) stay: what they leave open is absent.
    void keep_first(size_t count) {
        while (layers_.size() > count) layers_.pop_back();
        unpacking_ = 0;
    }

    /// Reads as the layer at `depth` would show it. Recursion ends at the last layer.
    Status read_from(size_t depth, uint64_t at, MutBytes out) const {
        if (depth == layers_.size()) return Zeros{}(at, out);
        const I& image = layers_[depth].image;
        const auto below = [this, depth](uint64_t from, MutBytes piece) {
            return read_from(depth + 1, from, piece);
        };
        Status got = read_clipped(image, at, out, below);
        if constexpr (requires { image.release(); }) {
            // One layer at a time holds the memory that unpacking takes, however many there are.
            if (depth != unpacking_ && image.holds_memory()) {
                layers_[std::exchange(unpacking_, depth)].image.release();
            }
        }
        return got;
    }

private:
    // Walks down with a length that only shrinks, so that no layer answers for more than all the
    // layers above have left open.
    template <class Ask>
    Result<Extent> find(uint64_t at, uint64_t length, Ask ask) const {
        for (uint32_t depth = 0;; ++depth) {
            const I& image = layers_[depth].image;
            if (at >= image.size())
                return Extent{.kind = Kind::zero, .length = length, .depth = depth};
            if (length > image.size() - at) length = image.size() - at;
            Result<Extent> extent = ask(image, at, length);
            if (!extent) return extent;
            extent->depth = depth;
            if (extent->kind != Kind::absent || depth + 1 == layers_.size()) return extent;
            length = extent->length;
        }
    }

    std::vector<Layer<I, Origin>> layers_;
    mutable size_t unpacking_ = 0;  ///< the layer that unpacked last
};

/// Fills `out` with the guest bytes from `at`.
template <class I, class Origin>
Status read(const Chain<I, Origin>& chain, uint64_t at, MutBytes out) {
    if (!fits(at, out.size(), chain.size())) return invalid("read: past the end of the disk");
    return chain.read_from(0, at, out);
}

namespace chain {

/// The format of a backing file. It is never guessed in a dangerous way: whoever can write to a
/// raw disk can make it look like any format, so a probe may only find that it is raw.
template <class I, Storage S>
Result<std::string_view> backing_format(const I& child, const S& parent,
                                        const ChainOptions& options, std::span<char> name) {
    const Result<std::string_view> stated = child.parent_format(name);
    if (!stated) return stated;
    if (!stated->empty()) return stated;
    if (!options.backing_format.empty()) return options.backing_format;
    const Result<std::string_view> guess = probe(parent, typename I::List{});
    if (guess)
        return fail(Errc::ambiguous,
                    "open: the image does not say what format its backing file has");
    if (guess.error().code == Errc::not_found) return Raw::name;
    return guess;
}

}  // namespace chain

}  // namespace vdisk
