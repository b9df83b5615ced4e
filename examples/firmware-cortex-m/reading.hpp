// SPDX-License-Identifier: BSL-1.0
// What both programs do: tell, and read a disk from end to end.
#pragma once

#include <array>

#include <vdisk/core/crc32c.hpp>
#include <vdisk/format/raw/image.hpp>
#include <vdisk/io/read.hpp>
#include <vdisk/storage/ref.hpp>

#include "host_storage.hpp"

// One page of tables in memory; flash needs none.
inline constexpr vdisk::OpenOptions small{.cache = {.page_bits = 9, .count_bits = 0}};

alignas(8) inline std::array<std::byte, 4096> buffer;
alignas(8) inline std::array<std::byte, 512> sector;

inline bool tell(const char* what, const vdisk::Error& error) {
    board::print(what);
    board::print(": ");
    board::print(error.what);
    board::print("\n");
    return false;
}

inline void tell(const char* what, const char* unit, uint32_t number) {
    board::print(what);
    board::print(unit);
    board::print(number);
    board::print("\n");
}

/// The CRC-32C of the disk as its guest sees it.
template <vdisk::Image I>
vdisk::Result<uint32_t> checksum(const I& image) {
    uint32_t sum = 0;
    for (uint64_t at = 0; at < image.size(); at += buffer.size()) {
        const uint64_t rest = image.size() - at;
        const vdisk::MutBytes piece =
            vdisk::MutBytes(buffer).first(rest < buffer.size() ? size_t(rest) : buffer.size());
        if (const vdisk::Status got = vdisk::read(image, at, piece); !got) return got.error();
        sum = vdisk::crc32c(piece, sum);
    }
    return sum;
}

/// A file of the host as a card.
inline vdisk::Result<HostCard> card(const char* name) {
    return HostCard::open({board::HostFile::open(name, board::HostFile::Mode::read)}, sector);
}

/// That of the file disk.raw, which all others have to have.
inline vdisk::Result<uint32_t> expected_checksum() {
    const auto file = card("disk.raw");
    if (!file) return file.error();
    const auto raw = vdisk::raw::Image<vdisk::StorageRef>::open(vdisk::StorageRef(*file));
    if (!raw) return raw.error();
    return checksum(*raw);
}
