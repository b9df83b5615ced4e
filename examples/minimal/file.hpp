// SPDX-License-Identifier: BSL-1.0
// A file as a Storage, by four calls of C.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <vdisk/core/math.hpp>
#include <vdisk/storage/concepts.hpp>

/// Open until the program ends.
class File {
public:
    static vdisk::Result<File> open(const char* path) {
        const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
        const off_t size = fd < 0 ? -1 : ::lseek(fd, 0, SEEK_END);
        if (size < 0) return vdisk::fail(vdisk::Errc::io, "file: cannot be opened");
        return File(fd, static_cast<uint64_t>(size));
    }

    [[nodiscard]] uint64_t size() const { return size_; }

    vdisk::Status read(uint64_t at, vdisk::MutBytes out) const {
        if (!vdisk::fits(at, out.size(), size_)) return vdisk::invalid("file: read past the end");
        while (!out.empty()) {
            const ssize_t got = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(at));
            if (got <= 0) return vdisk::fail(vdisk::Errc::io, "file: cannot be read", {.at = at});
            at += static_cast<uint64_t>(got);
            out = out.subspan(static_cast<size_t>(got));
        }
        return {};
    }

private:
    File(int fd, uint64_t size) : fd_(fd), size_(size) {}

    int fd_;
    uint64_t size_;
};
