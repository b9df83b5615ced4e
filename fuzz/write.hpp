// SPDX-License-Identifier: BSL-1.0
// What the fuzz targets that write share: an image that may be anything, and steps that say what is
// written where. What was written must be there at once and, in an image that was sound, in the
// end, when the image is sound still.
#pragma once

#include <optional>

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

/// What the guest has to see.
class Model {
public:
    /// From now on a range holds `value`, or nothing that is promised.
    void set(uint64_t at, uint64_t length, std::optional<byte> value) {
        ranges_[count_++] = {at, length, value};
    }

    /// The first and the last sector of each range.
    template <class Image>
    void compare(const Image& image) const {
        for (size_t i = 0; i < count_; ++i) {
            const Range& range = ranges_[i];
            if (!range.value) continue;
            const uint64_t length = std::min<uint64_t>(range.length, 512);
            compare(image, i, range.at, length);
            compare(image, i, range.at + range.length - length, length);
        }
    }

private:
    struct Range {
        uint64_t at = 0, length = 0;
        std::optional<byte> value;
    };

    template <class Image>
    void compare(const Image& image, size_t i, uint64_t at, uint64_t length) const {
        std::array<byte, 512> seen;
        const MutBytes out = MutBytes(seen).first(static_cast<size_t>(length));
        require(bool(read(image, at, out)), "what was written cannot be read");
        for (uint64_t k = 0; k < length; ++k) {
            require(is_hidden(i, at + k) || seen[k] == *ranges_[i].value,
                    "what was written is lost");
        }
    }

    [[nodiscard]] bool is_hidden(size_t i, uint64_t at) const {
        while (++i < count_) {
            if (at >= ranges_[i].at && at - ranges_[i].at < ranges_[i].length) return true;
        }
        return false;
    }

    std::array<Range, 2 * steps> ranges_;
    size_t count_ = 0;
};

template <class Writer>
Status take(Writer& image, const Step& step, Model& model) {
    const uint64_t seed = load_le32(reinterpret_cast<const byte*>(step.at));
    const uint64_t at = seed * 512 % image.size();
    uint64_t length = (uint64_t{step.length} + 1) << (step.what >> 5);
    if (length > image.size() - at) length = image.size() - at;
    std::array<byte, 4096> scratch;
    std::array<byte, 512> data;
    data.fill(byte{step.length});
    const unsigned what = step.what % 5;
    if (what == 2) return image.flush();
    if (what > 2) length = std::min<uint64_t>(length, data.size());
    model.set(at, length, std::nullopt);  // old or new, until it is done
    if (what == 1) return discard(image, at, length);
    const Bytes in = Bytes(data).first(static_cast<size_t>(what == 0 ? 0 : length));
    const Status put = what == 0 ? zero(image, at, length, scratch) : write(image, at, in, scratch);
    if (!put) return put;
    std::array<byte, 512> seen;
    const MutBytes out = MutBytes(seen).first(in.size());
    if (Status got = read(image, at, out); !got) return got;
    require(std::ranges::equal(in, out), "what was written is not there");
    model.set(at, length, what == 0 ? byte{0} : data[0]);
    return {};
}

/// Takes the steps until one fails; flushes.
template <class Writer>
Status take_all(Writer& image, Bytes input, Model& model) {
    const Bytes end = input.last(step_bytes);
    for (size_t i = 0; i < steps; ++i) {
        Step step;
        std::memcpy(&step, end.data() + i * sizeof(Step), sizeof(Step));
        if (!take(image, step, model)) break;
    }
    return image.flush();
}

/// What a check has found: nothing but space that is lost.
template <class Report>
bool is_sound(const Report& report) {
    return report && report->corruptions + report->check_errors == 0;
}

/// Takes the steps on the image before them, if `may(image)`; it must open again. `check(storage)`
/// says whether it is sound.
template <class Format, class May, class Check>
void write_and_reopen(Bytes input, May may, Check check) {
    if (input.size() < step_bytes) return;
    Sheet& file = paper(input.first(input.size() - step_bytes));
    Borrowed storage(file);
    const bool was_sound = check(storage);
    Model model;
    bool flushed = false;
    {
        auto image = Format::open_writer(storage, OpenOptions{.cache = one_small_page}, Rationed{},
                                         SystemCodecs{});
        if (!image || image->size() == 0 || !may(*image)) return;
        flushed = bool(take_all(*image, input, model));
    }
    const auto again =
        Format::open(MemoryStorage(file.bytes()), OpenOptions{}, Rationed{}, SystemCodecs{});
    require(bool(again), "the image does not open again");
    if (!was_sound || !flushed) return;
    require(check(storage), "writing has damaged the image");
    model.compare(*again);
}

}  // namespace fuzz
