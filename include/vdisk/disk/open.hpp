// SPDX-License-Identifier: BSL-1.0
// Opens an image with all it stands on: data file, backing file, its backing file, and so on.
#pragma once

#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/system.hpp>
#include <vdisk/disk/chain.hpp>

namespace vdisk {

/// Opens `storage` as a format known at compile time: `open<Qcow2>(MemoryStorage(rom))`. Builds
/// without a heap call the image's own `open` with their policies.
template <class Format, Storage S, Allocation A = Heap, Codec C = SystemCodecs>
Result<typename Format::template Image<S, A, C>> open(S storage, OpenOptions options = {},
                                                      A allocation = A{}, C codec = C{}) {
    return Format::open(std::move(storage), options, std::move(allocation), std::move(codec));
}

/// AnyImage with every format and codec this build has, and memory from the heap.
template <Storage S>
using SystemImage = AnyImage<AllFormats, S, Heap, SystemCodecs>;

/// The format of a top image: as stated, or probed.
template <class List, Storage S>
Result<std::string_view> format_of(const S& storage, const ChainOptions& options) {
    if (!options.format.empty()) return options.format;
    const Result<std::string_view> found = probe(storage, List{});
    if (!found && found.error().code == Errc::not_found && options.raw_fallback) return Raw::name;
    return found;
}

namespace chain {

inline constexpr size_t max_name = 4096;
inline constexpr unsigned max_names = 16;  ///< that one image has for its parent

// The name lives in the caller's buffer.
template <class I>
Result<std::string_view> name_of(const I& image, Text text, std::span<char> buffer) {
    const Result<std::string_view> name = read_text(image.file(), text, buffer);
    if (name && name->empty()) return corrupt("open: the image does not name the file it needs");
    return name;
}

template <class I, class G, class Origin>
Status attach_data_file(I& image, G& gate, const Origin& origin,
                        Reference::Use use = Reference::Use::read) {
    if (!image.needs_data_file()) return {};
    std::array<char, max_name> buffer{};
    const auto name = name_of(image, image.data_file(), buffer);
    if (!name) return name.error();
    auto opened = gate.open({Reference::Role::data_file, *name, use}, origin);
    if (!opened) return opened.error();
    return image.attach_data_file(std::move(opened->storage));
}

/// The file an image stands on.
template <class S, class Origin>
struct Below {
    Opened<S, Origin> file;
    std::string_view format;
};

// Whether the file is the parent that `child` means, by its id. The format's name may live in the
// caller's buffer.
template <class S, class I, class Child, class Origin>
Result<Below<S, Origin>> verified(const Child& child, Opened<S, Origin> parent,
                                  const ChainOptions& options, std::span<char> format_buffer) {
    const auto format = backing_format(child, parent.storage, options, format_buffer);
    if (!format) return format.error();
    if (!child.is_child_of(Guid{})) {
        OpenOptions look = options.open;
        look.purpose = Purpose::metadata;
        const auto image = I::open(*format, parent.storage, look);
        if (!image) return image.error();
        if (!child.is_child_of(image->identity())) {
            return corrupt("open: not the parent that the image was made on (its id differs)");
        }
    }
    return Below<S, Origin>{std::move(parent), *format};
}

// Tries the names that the child has for its parent, until one leads to it. What went wrong with
// the first is told.
template <class S, class I, class Child, class G, class Origin>
Result<Below<S, Origin>> open_below(const Child& child, const Origin& origin, G& gate,
                                    const ChainOptions& options, std::span<char> format_buffer) {
    Result<Below<S, Origin>> first = corrupt("open: the image does not name the file it needs");
    for (unsigned choice = 0; choice < max_names; ++choice) {
        std::array<char, max_name> buffer{};
        const auto name = child.parent_name(choice, buffer);
        if (!name && choice > 0) break;
        if (!name && name.error().code != Errc::not_found) return name.error();
        if (!name || name->empty()) break;
        auto parent = gate.open({Reference::Role::backing_file, *name}, origin);
        auto below = parent ? verified<S, I>(child, *std::move(parent), options, format_buffer)
                            : Result<Below<S, Origin>>(parent.error());
        if (below) return below;
        if (choice == 0) first = std::move(below);
    }
    return first;
}

// Opens `next` and all it stands on as the layers of a chain. `above` is what stands on it, if
// anything does.
template <class I, class S, class Origin, class G, class... A>
Result<Chain<I, Origin>> open_layers(Below<S, Origin> next, const Origin* above, G& gate,
                                     const ChainOptions& options, const A&... allocation) {
    std::array<char, max_name> format_buffer{};
    std::vector<Layer<I, Origin>> layers;
    for (;;) {
        const Origin& origin = next.file.origin;
        if (layers.size() + (above != nullptr) == options.max_depth) {
            return fail(Errc::limit, "open: too many backing files", {options.max_depth});
        }
        bool loops = above != nullptr && *above == origin;
        for (const auto& layer : layers) loops = loops || layer.origin == origin;
        if (loops) return corrupt("open: the backing files form a loop");
        auto image =
            I::open(next.format, std::move(next.file.storage), options.open, allocation...);
        if (!image) return image.error();
        if (layers.empty() && above == nullptr && !options.snapshot.empty()) {
            const Status chosen = image->select_snapshot(options.snapshot);
            if (!chosen) return chosen.error();
        }
        const Status data = attach_data_file(*image, gate, origin);
        if (!data) return data.error();
        layers.push_back({*std::move(image), std::move(next.file.origin)});

        const auto& child = layers.back();
        if (!child.image.has_parent()) return Chain<I, Origin>(std::move(layers));
        auto below = open_below<S, I>(child.image, child.origin, gate, options, format_buffer);
        if (!below) return below.error();
        next = *std::move(below);
    }
}

}  // namespace chain

/// Opens the chain that begins with `top`. Every other file comes from `gate`; its format comes
/// from the image that names it. Chains that are too long or lead back to themselves are refused.
/// Every image gets a copy of `allocation`, and a codec of its own.
template <class I, class Origin, class S, Gate<S> G, class... A>
Result<Chain<I, Origin>> open_chain(Opened<S, Origin> top, G& gate, const ChainOptions& options,
                                    const A&... allocation) {
    const Result<std::string_view> format = format_of<typename I::List>(top.storage, options);
    if (!format) return format.error();
    return chain::open_layers<I>(chain::Below<S, Origin>{std::move(top), *format},
                                 static_cast<const Origin*>(nullptr), gate, options, allocation...);
}

}  // namespace vdisk
