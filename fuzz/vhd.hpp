// SPDX-License-Identifier: BSL-1.0
// Inputs of the VHD targets. A checksum that is wrong would end most of what a fuzzer tries at the
// door: here they are made right.
#pragma once

#include <vdisk/format/vhd/format.hpp>

#include "support.hpp"

namespace fuzz {

template <class T>
void seal_at(std::vector<byte>& file, uint64_t at) {
    if (!fits(at, sizeof(T), file.size())) return;
    T structure;
    std::memcpy(&structure, file.data() + at, sizeof(T));
    vhd::seal(structure);
    std::memcpy(file.data() + at, &structure, sizeof(T));
}

/// The input with every footer and header sealed that it has.
inline std::vector<byte> sealed(Bytes input) {
    std::vector<byte> file(input.begin(), input.end());
    const uint64_t size = file.size();
    if (size < sizeof(vhd::Footer)) return file;
    for (const uint64_t at : {size - sizeof(vhd::Footer), uint64_t{0}}) {
        const auto footer = load<vhd::Footer>(Bytes(file).subspan(static_cast<size_t>(at)));
        if (!vhd::has_cookie(footer)) continue;
        // A header that overlaps the footer is refused: what becomes of it does not matter.
        seal_at<vhd::DynamicHeader>(file, footer.data_offset.value());
        seal_at<vhd::Footer>(file, at);
    }
    return file;
}

}  // namespace fuzz
