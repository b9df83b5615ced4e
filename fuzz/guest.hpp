// SPDX-License-Identifier: BSL-1.0
// What the guest sees of a disk: remembered at a bounded number of places, compared later.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <vdisk/format/parent.hpp>
#include <vdisk/io/read.hpp>

#include "require.hpp"

namespace fuzz {

/// As std::ranges::equal, but fast where every comparison is counted.
inline bool same(Bytes left, Bytes right) {
    return left.size() == right.size() && std::memcmp(left.data(), right.data(), left.size()) == 0;
}

/// What is below an image that has a parent of `end` bytes: what no image holds by chance, so that
/// nothing said is told from zeros. Without a parent, zeros.
struct Below {
    uint64_t end = 0;

    Status operator()(uint64_t at, MutBytes out) const {
        while (!out.empty()) {
            const auto length = static_cast<size_t>(std::min<uint64_t>(512 - at % 512, out.size()));
            std::memset(out.data(), at < end ? 0x80 | static_cast<int>(at >> 9 & 0x7F) : 0, length);
            at += length;
            out = out.subspan(length);
        }
        return {};
    }
};

/// Below an image whose parent is as long as it is, if it has one.
template <class Image>
Below below(const Image& image) {
    return {has_parent(image) ? image.size() : 0};
}

/// The bytes of a disk at some places: spread over all of it, its first and its last sector among
/// them, and where its first extents begin. What cannot be read is left out.
class Seen {
public:
    struct Place {
        uint64_t at = 0, length = 0;
        std::array<byte, 512> bytes = {};
    };

    Seen() = default;
    template <class Image>
    explicit Seen(const Image& image) : below_(fuzz::below(image)) {
        const uint64_t size = image.size();
        if (size == 0) return;
        places_.reserve(spread + extents);
        for (uint64_t i = 0; i + 1 < spread; ++i) look(image, (size - 1) / (spread - 1) * i);
        look(image, size - 1);
        for (uint64_t at = 0, i = 0; i < extents && at < size; ++i) {
            const auto extent = image.lookup(at, std::min(window, size - at));
            if (extent) look(image, at);
            at += extent ? extent->length : uint64_t{512} << i % 12;
        }
    }

    [[nodiscard]] const std::vector<Place>& places() const { return places_; }
    [[nodiscard]] const Below& below() const { return below_; }

    /// What was seen of [from, end), a part of `place`, is to be seen in `image`.
    template <class Image>
    void compare(const Image& image, const Place& place, uint64_t from, uint64_t end,
                 const char* what) const {
        std::array<byte, 512> now;
        const MutBytes out = MutBytes(now).first(static_cast<size_t>(end - from));
        require(bool(read(image, from, out, below_)), what);
        const Bytes then = Bytes(place.bytes).subspan(static_cast<size_t>(from - place.at));
        require(same(out, then.first(out.size())), what);
    }
    /// All of it before `end`.
    template <class Image>
    void compare(const Image& image, const char* what, uint64_t end = ~uint64_t{0}) const {
        for (const Place& place : places_) {
            if (place.at >= end) continue;
            compare(image, place, place.at, std::min(end, place.at + place.length), what);
        }
    }

private:
    static constexpr uint64_t spread = 32, extents = 32;
    static constexpr uint64_t window = 1_MiB;  ///< of a lookup: every cluster in it is visited

    template <class Image>
    void look(const Image& image, uint64_t at) {
        Place place{.at = align_down(at, 9)};
        place.length = std::min<uint64_t>(place.bytes.size(), image.size() - place.at);
        // A byte of a compressed block costs the whole block.
        const auto first = image.lookup(place.at, place.length);
        if (!first || first->packed.unit > allowance_) return;
        allowance_ -= first->packed.unit;
        const MutBytes out = MutBytes(place.bytes).first(static_cast<size_t>(place.length));
        if (read(image, place.at, out, below_)) places_.push_back(place);
    }

    Below below_;
    std::vector<Place> places_;
    uint64_t allowance_ = 2_MiB;
};

}  // namespace fuzz
