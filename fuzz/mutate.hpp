// SPDX-License-Identifier: BSL-1.0
// How images are changed by libFuzzer: field by field, and without moving what lies behind. What
// has a checksum gets a right one when the target reads the input.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>

/// libFuzzer's own changes; there is none where an input is only replayed.
extern "C" [[gnu::weak]] size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace fuzz {

class Mutation {
public:
    Mutation(uint8_t* data, size_t size, unsigned seed) : data_(data), size_(size), random_(seed) {}

    /// One to four changes of fields. The input keeps its length.
    void run() {
        for (size_t n = below(4) + 1; n > 0; --n) {
            switch (below(4)) {
                case 0: edge(); break;
                case 1: nudge(); break;
                case 2: copy(); break;
                default: piece(); break;
            }
        }
    }

private:
    size_t below(size_t end) { return random_() % end; }

    // Headers are in front, and zeros are seldom read: most changes meet what is there.
    size_t place(size_t width) {
        size_t at = below(size_ - width + 1);
        if (below(2) == 0) at = below(std::min<size_t>(512, size_ - width + 1));
        for (int i = 0; i < 64 && data_[at] == 0; ++i) at = (at + width) % (size_ - width + 1);
        return below(4) == 0 ? at : at & ~(width - 1);
    }

    size_t any_width() { return std::min(size_t{1} << below(4), size_ < 8 ? 1 : size_t{8}); }

    [[nodiscard]] uint64_t load(size_t at, size_t width, bool big) const {
        uint64_t value = 0;
        for (size_t i = 0; i < width; ++i) {
            value |= uint64_t{data_[at + (big ? width - 1 - i : i)]} << 8 * i;
        }
        return value;
    }
    void store(size_t at, size_t width, bool big, uint64_t value) {
        for (size_t i = 0; i < width; ++i) {
            data_[at + (big ? width - 1 - i : i)] = static_cast<uint8_t>(value >> 8 * i);
        }
    }

    // 0, 1, the greatest, a power of two, the length of the file; or one beside these.
    void edge() {
        const uint64_t edges[] = {0, ~uint64_t{0}, uint64_t{1} << below(64), size_,
                                  ~uint64_t{0} >> below(64)};
        const size_t width = any_width();
        store(place(width), width, below(2) == 0, edges[below(5)] + below(3) - 1);
    }

    void nudge() {
        const size_t width = any_width(), at = place(width);
        const bool big = below(2) == 0;
        const uint64_t by = uint64_t{1} << (below(2) == 0 ? 0 : below(8 * width));
        const uint64_t value = load(at, width, big);
        store(at, width, big, below(2) == 0 ? value + by : value - by);
    }

    // A field as another has it: two pointers to one place.
    void copy() {
        const size_t width = any_width(), from = place(width), to = place(width);
        std::memmove(data_ + to, data_ + from, width);
    }

    // What libFuzzer knows: words of the dictionary, values that were compared with.
    void piece() {
        const size_t width = std::min<size_t>(size_, size_t{4} << below(4)), at = place(4);
        const size_t room = std::min(width, size_ - at);
        if (LLVMFuzzerMutate != nullptr) LLVMFuzzerMutate(data_ + at, room, room);
    }

    uint8_t* data_;
    size_t size_;
    std::minstd_rand random_;
};

}  // namespace fuzz

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
    const bool as_usual = size < 64 || seed % 8 == 0;
    if (as_usual) return LLVMFuzzerMutate(data, size, max_size);
    fuzz::Mutation(data, size, seed).run();
    return size;
}
