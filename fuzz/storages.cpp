// SPDX-License-Identifier: BSL-1.0
// Fuzz target: one image in a mapped file, in a file read through a cache of one page, and in
// memory. All must agree in every byte and every error.
#include <unistd.h>

#include <vdisk/format/qcow2/format.hpp>
#include <vdisk/storage/mmap.hpp>

#include "vhd.hpp"
#include "vhdx.hpp"

using namespace vdisk;

template <class Format>
static void compare(Bytes image, const char* path) {
    const auto mapped = MmapStorage::open(path);
    const auto file = PreadStorage::open(path, Access::read);
    fuzz::require(mapped && file, "the file cannot be opened");
    const OpenOptions options = fuzz::Both<Format>::options(Purpose::data);
    fuzz::Both<Format, MemoryStorage, MmapStorage> left(MemoryStorage(image), *mapped, options);
    if (left) fuzz::Walk(*left.memory, *left.file);
    fuzz::Both<Format, MemoryStorage, PreadStorage> right(MemoryStorage(image), *file, options);
    if (right) fuzz::Walk(*right.memory, *right.file);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0 || size > fuzz::Sheet::capacity) return 0;
    static const int fd = ::memfd_create("image", MFD_CLOEXEC);
    static const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const Bytes input = fuzz::bytes_of(data, size - 1);
    const unsigned kind = data[size - 1] % 3;  // the last byte: images begin where they begin
    fuzz::Sheet& file = kind == 0   ? fuzz::paper(input)
                        : kind == 1 ? fuzz::paper(fuzz::sealed(input))
                                    : fuzz::vhdx_file(input, fuzz::Use::change);
    const auto put = [&](uint64_t at, size_t length) {
        const Bytes bytes = file.bytes().subspan(at, std::min(length, file.bytes().size() - at));
        return ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)) > 0;
    };
    bool written = ::ftruncate(fd, 0) == 0 && ::ftruncate(fd, static_cast<off_t>(file.size())) == 0;
    file.each_written([&](uint64_t at) { written = written && put(at, fuzz::Sheet::page); });
    fuzz::require(written, "the file cannot be written");
    if (kind == 0) compare<Qcow2>(file.bytes(), path.c_str());
    else if (kind == 1) compare<Vhd>(file.bytes(), path.c_str());
    else compare<Vhdx>(file.bytes(), path.c_str());
    return 0;
}
