// SPDX-License-Identifier: BSL-1.0
// Bytes to test with.
#pragma once

#include <random>
#include <string_view>
#include <vector>

#include <vdisk/core/types.hpp>

namespace vdisk::test {

/// `size` bytes without a pattern, the same for the same seed.
inline std::vector<byte> noise(size_t size, uint32_t seed = 1) {
    std::mt19937 random(seed);
    std::vector<byte> bytes(size);
    for (byte& b : bytes) b = static_cast<byte>(random());
    return bytes;
}

/// `a`, then `b`.
inline std::vector<byte> joined(std::vector<byte> a, Bytes b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

/// Noise twice: the only matches reach 30 KiB back, which a window of 12 bits cannot hold.
inline std::vector<byte> far_matches() { return joined(noise(30000), noise(30000)); }

/// `size` bytes that compress well.
inline std::vector<byte> prose(size_t size) {
    constexpr std::string_view words = "the quick brown fox jumps over the lazy dog, again and ";
    std::vector<byte> bytes(size);
    for (size_t i = 0; i != size; ++i) {
        bytes[i] =
            static_cast<byte>(static_cast<unsigned char>(words[i % words.size()]) ^ (i >> 10));
    }
    return bytes;
}

}  // namespace vdisk::test
