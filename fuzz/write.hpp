// SPDX-License-Identifier: BSL-1.0
// What the fuzz targets that write share: an image that may be anything, and steps that say what is
// written where. What was written must be there at once.
#pragma once

#include <vdisk/io/zero.hpp>
#include <vdisk/storage/borrowed.hpp>

#include "sheet.hpp"
#include "support.hpp"

namespace fuzz {

struct Step {
    uint8_t what;
    uint8_t at[4];
    uint8_t length;
};

/// The steps are the end of the input.
inline constexpr size_t steps = 12;
inline constexpr size_t step_bytes = steps * sizeof(Step);

template <class Writer>
Status take(Writer& image, const Step& step) {
    const uint64_t seed = load_le32(reinterpret_cast<const byte*>(step.at));
    const uint64_t at = seed * 512 % image.size();
    uint64_t length = (uint64_t{step.length} + 1) << (step.what >> 5);
    if (length > image.size() - at) length = image.size() - at;
    std::array<byte, 4096> scratch;
    std::array<byte, 512> data;
    data.fill(byte{step.length});
    switch (step.what % 5) {
        case 0: return zero(image, at, length, scratch);
        case 1: return discard(image, at, length);
        case 2: return image.flush();
        default: break;
    }
    const Bytes in = Bytes(data).first(std::min<uint64_t>(length, data.size()));
    if (Status put = write(image, at, in, scratch); !put) return put;
    std::array<byte, 512> seen;
    const MutBytes out = MutBytes(seen).first(in.size());
    if (Status got = read(image, at, out); !got) return got;
    require(std::ranges::equal(in, out), "what was written is not there");
    return {};
}

/// Takes the steps until one fails; flushes.
template <class Writer>
Status take_all(Writer& image, Bytes input) {
    const Bytes end = input.last(step_bytes);
    for (size_t i = 0; i < steps; ++i) {
        Step step;
        std::memcpy(&step, end.data() + i * sizeof(Step), sizeof(Step));
        if (!take(image, step)) break;
    }
    return image.flush();
}

/// Takes the steps on the image before them, if `may(image)`; it must open again.
template <class Format, class May>
void write_and_reopen(Bytes input, May may) {
    if (input.size() < step_bytes) return;
    Sheet& file = paper(input.first(input.size() - step_bytes));
    {
        auto image = Format::open_writer(Borrowed(file), OpenOptions{.cache = one_small_page},
                                         Rationed{}, SystemCodecs{});
        if (!image || image->size() == 0 || !may(*image)) return;
        static_cast<void>(take_all(*image, input));
    }
    const auto again =
        Format::open(MemoryStorage(file.bytes()), OpenOptions{}, Rationed{}, SystemCodecs{});
    require(bool(again), "the image does not open again");
}

}  // namespace fuzz
