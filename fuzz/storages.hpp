// SPDX-License-Identifier: BSL-1.0
// A sheet as a file in memory that has a path, and an image in it beside the same one in memory.
#pragma once

#include <unistd.h>

#include <vdisk/storage/mmap.hpp>

#include "sheet.hpp"
#include "support.hpp"

namespace fuzz {

/// The path of a file that holds what the sheet holds, until the next call.
inline const char* file_of(Sheet& sheet) {
    static const int fd = ::memfd_create("image", MFD_CLOEXEC);
    static const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const auto put = [&](uint64_t at, size_t length) {
        const Bytes bytes = sheet.bytes().subspan(at, std::min(length, sheet.bytes().size() - at));
        return ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)) > 0;
    };
    bool written =
        ::ftruncate(fd, 0) == 0 && ::ftruncate(fd, static_cast<off_t>(sheet.size())) == 0;
    sheet.each_written([&](uint64_t at) { written = written && put(at, Sheet::page); });
    require(written, "the file cannot be written");
    return path.c_str();
}

template <class Format>
void compare(Bytes image, const char* path) {
    const auto mapped = MmapStorage::open(path);
    const auto file = PreadStorage::open(path, Access::read);
    require(mapped && file, "the file cannot be opened");
    const OpenOptions options = Both<Format>::options(Purpose::data);
    Both<Format, MemoryStorage, MmapStorage> left(MemoryStorage(image), *mapped, options);
    if (left) Walk(*left.memory, *left.file);
    Both<Format, MemoryStorage, PreadStorage> right(MemoryStorage(image), *file, options);
    if (right) Walk(*right.memory, *right.file);
}

}  // namespace fuzz
