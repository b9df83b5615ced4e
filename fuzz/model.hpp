// SPDX-License-Identifier: BSL-1.0
// What the guest has to see of a disk that is written.
#pragma once

#include <random>

#include <vdisk/core/zero.hpp>

#include "guest.hpp"
#include "program.hpp"

namespace fuzz {

/// Steps that write to one image.
inline constexpr size_t writes = 12;
/// Bytes of one write.
inline constexpr uint64_t most_written = 256_KiB;

/// Bytes that tell where they belong: a stretch of noise, another one for each place.
inline Bytes noise_for(uint64_t at, uint8_t seed, uint64_t length) {
    static const std::vector<byte> noise = [] {
        std::vector<byte> made(2 * most_written);
        std::minstd_rand random;
        for (byte& b : made) b = static_cast<byte>(random() >> 8 & 0xFF);
        return made;
    }();
    const uint64_t from = (at % 4093 + seed * uint64_t{509}) % most_written;
    return Bytes(noise).subspan(static_cast<size_t>(from), static_cast<size_t>(length));
}

/// What an image keeps of what is written to it.
enum class Trust : uint8_t {
    nothing,  ///< clusters may lie over tables
    sectors,  ///< clusters may be shared: the last write wins
    all,      ///< it is sound
};

template <class Report>
Trust trust_in(const Report& report) {
    return is_sound(report) ? Trust::all : Trust::sectors;
}

/// Some of what was there before, if the image was sound; and all that was written since.
class Model {
public:
    template <class Image>
    Model(const Image& image, Trust trust)
        : below_(fuzz::below(image)),
          trust_(trust),
          before_(trust == Trust::all ? Seen(image) : Seen()) {}

    [[nodiscard]] bool was_sound() const { return trust_ == Trust::all; }
    [[nodiscard]] const Below& below() const { return below_; }

    /// From now on nothing is promised of a range,
    void touch(uint64_t at, uint64_t length) { ranges_[count_++] = {at, at + length}; }
    /// or that it holds this; zeros if there is nothing.
    void holds(Bytes in) {
        ranges_[count_ - 1].is_known = true;
        ranges_[count_ - 1].in = in;
    }

    /// What was written last.
    template <class Image>
    void compare_last(const Image& image) const {
        const Range& last = ranges_[count_ - 1];
        const bool is_alone = last.at / 512 == (last.end - 1) / 512;
        if (trust_ == Trust::nothing || (trust_ == Trust::sectors && !is_alone)) return;
        compare(image, last, last.at, last.end, "what was written is not there");
    }

    template <class Image>
    void compare(const Image& image) const {
        for (size_t i = 0; i < count_; ++i) {
            const Range& range = ranges_[i];
            if (!range.is_known) continue;
            each_visible(i + 1, range.at, range.end, [&](uint64_t from, uint64_t end) {
                compare(image, range, from, end, "what was written is lost");
            });
        }
        for (const Seen::Place& place : before_.places()) {
            each_visible(0, place.at, place.at + place.length, [&](uint64_t from, uint64_t end) {
                before_.compare(image, place, from, end, "what nobody wrote has changed");
            });
        }
    }

private:
    struct Range {
        uint64_t at = 0, end = 0;
        Bytes in = {};
        bool is_known = false;
    };

    /// Calls `visit(from, end)` for what of [at, end) none of the ranges from `i` on lies over.
    template <class Visit>
    void each_visible(size_t i, uint64_t at, uint64_t end, const Visit& visit) const {
        for (; i < count_; ++i) {
            const Range& over = ranges_[i];
            if (over.at >= end || over.end <= at) continue;
            if (at < over.at) each_visible(i + 1, at, over.at, visit);
            if (over.end < end) each_visible(i + 1, over.end, end, visit);
            return;
        }
        visit(at, end);
    }

    // Of long ranges their two ends.
    template <class Image>
    void compare(const Image& image, const Range& range, uint64_t from, uint64_t end,
                 const char* what) const {
        if (end - from > most_written) {
            compare(image, range, from, from + most_written / 2, what);
            from = end - most_written / 2;
        }
        static std::vector<byte> seen(most_written);
        const MutBytes out = MutBytes(seen).first(static_cast<size_t>(end - from));
        require(bool(read(image, from, out, below_)), "what was written cannot be read");
        if (range.in.empty()) return require(is_zero(out), what);
        const Bytes in = range.in.subspan(static_cast<size_t>(from - range.at));
        require(same(out, in.first(out.size())), what);
    }

    Below below_;
    Trust trust_;
    Seen before_;
    std::array<Range, writes> ranges_;
    size_t count_ = 0;
};

}  // namespace fuzz
