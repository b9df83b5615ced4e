// SPDX-License-Identifier: BSL-1.0
// What the fuzz targets that write share: an image that may be anything, and steps that say what is
// written where. What was written must be there at once and, in an image that was sound, in the
// end, when the image is sound still and the rest of the disk is as it was.
#pragma once

#include <optional>

#include <vdisk/io/zero.hpp>
#include <vdisk/storage/borrowed.hpp>

#include "model.hpp"
#include "sheet.hpp"
#include "support.hpp"

namespace fuzz {

/// A range of the disk.
struct Reach {
    uint64_t at, length;
};

/// Where a step goes: to a sector, or to any byte; from a byte to 256 KiB, zeros up to 4 MiB.
inline Reach reach_of(const Step& step, uint64_t size) {
    static constexpr std::array<unsigned, 8> shifts = {0, 1, 2, 4, 5, 7, 8, 10};
    const bool whole_sectors = step.what % 5 == 3, stores = step.what % 5 > 2;
    const uint64_t into = whole_sectors ? 0 : step.seed() >> 23;
    const unsigned shift = shifts[step.what >> 5] + (stores || step.what < 0xE0 ? 0 : 4);
    Reach out{(step.seed() * 512 + into) % size, (uint64_t{step.length} + 1) << shift};
    out.length -= into & (power_of_two(shift) - 1);
    out.length = std::min(out.length, size - out.at);
    return out;
}

template <class Writer, class Below>
Status put(Writer& image, const Step& step, const Reach& to, Bytes in, const Below& below) {
    std::array<byte, 4096> scratch;
    if (step.what % 5 == 0) return zero(image, to.at, to.length, scratch, below);
    return write(image, to.at, in, scratch, below);
}

template <class Writer>
Status take(Writer& image, const Step& step, Model& model) {
    if (step.what % 5 == 2) return image.flush();
    const Reach to = reach_of(step, image.size());
    model.touch(to.at, to.length);  // old or new, until it is done
    if (step.what % 5 == 1) return discard(image, to.at, to.length);
    Bytes in;
    if (step.what % 5 != 0) in = noise_for(to.at, step.length, to.length);
    const bool has_parent = model.below().end > 0;
    const Status done =
        has_parent ? put(image, step, to, in, model.below()) : put(image, step, to, in, Zeros{});
    if (!done) return done;
    model.holds(in);
    model.compare_last(image);
    return {};
}

/// Takes the steps until one fails; flushes.
template <class Writer>
Status take_all(Writer& image, std::span<const Step> steps, Model& model) {
    for (const Step& step : steps) {
        if (!take(image, step, model)) break;
    }
    return image.flush();
}

/// Takes the steps on the image before them, if `may(image)`; it must open again. `check(storage)`
/// says what is to be trusted.
template <class Format, class May, class Check>
void write_and_reopen(Bytes input, May may, Check check) {
    const auto program = program_of(input, writes);
    if (!program) return;
    Sheet& file = paper(program->image);
    Borrowed storage(file);
    std::optional<Model> model;
    bool flushed = false;
    {
        const Trust trust = check(storage);
        auto image = Format::open_writer(storage, OpenOptions{.cache = one_small_page}, Rationed{},
                                         SystemCodecs{});
        if (!image || image->size() == 0 || !may(*image)) return;
        model.emplace(*image, trust);
        flushed = bool(take_all(*image, program->steps, *model));
    }
    const auto again =
        Format::open(MemoryStorage(file.bytes()), OpenOptions{}, Rationed{}, SystemCodecs{});
    require(bool(again), "the image does not open again");
    if (!model->was_sound() || !flushed) return;
    require(check(storage) == Trust::all, "writing has damaged the image");
    model->compare(*again);
}

}  // namespace fuzz
