// SPDX-License-Identifier: BSL-1.0
// A file or block device of a POSIX system: positional system calls and nothing in between. A long
// file, since what may be opened and what each system call may answer belong together.
#pragma once

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <vdisk/core/math.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk {

static_assert(sizeof(off_t) == 8, "build with -D_FILE_OFFSET_BITS=64");

/// What a file is opened for. `create` makes a new, empty file to read and write, and fails if
/// there is one already.
enum class Access : uint8_t { read, write, create };

/// Equal for two handles of one file, whatever its names. A block device is {its number, 0}.
struct FileIdentity {
    uint64_t dev = 0;
    uint64_t ino = 0;
    friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

namespace detail {

/// The Error for errno `os`; `at` is the position in the file.
[[nodiscard]] constexpr Error os_error(int os, const char* what, uint64_t at = Error::none) {
    Errc code = Errc::io;
    if (os == ENOENT) code = Errc::not_found;
    if (os == EACCES || os == EPERM) code = Errc::denied;
    if (os == ENOSPC || os == EDQUOT) code = Errc::no_space;
    if (os == EROFS) code = Errc::read_only;
    return {code, os, what, Error::none, at};
}

[[nodiscard]] constexpr Error open_error(int os) {
    if (os == ENOENT) return os_error(os, "file: does not exist");
    if (os == EEXIST) return {Errc::invalid, os, "file: exists already"};
    if (os == EISDIR) return {Errc::unsupported, os, "file: is a directory"};
    return os_error(os, "file: cannot be opened");
}

/// An open descriptor, closed with its last owner.
struct File {
    File() = default;
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() {
        if (fd >= 0) ::close(fd);
    }

    int fd = -1;
    FileIdentity identity;
    uint64_t size = 0;  // at open
};

inline Result<std::shared_ptr<const File>> open_file(const char* path, int flags) {
    std::shared_ptr<File> file;
    try {
        file = std::make_shared<File>();
    } catch (const std::bad_alloc&) {
        return fail(Errc::no_memory, "file: no memory to open it");
    }
    // O_NONBLOCK: a FIFO must be refused, not waited for.
    do {
        file->fd = ::open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    } while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0) return open_error(errno);

    struct stat info = {};
    if (::fstat(file->fd, &info) != 0) return os_error(errno, "file: its kind cannot be told");
    if (S_ISDIR(info.st_mode)) return open_error(EISDIR);
    const bool device = S_ISBLK(info.st_mode);
    if (!device && !S_ISREG(info.st_mode)) {
        return unsupported("file: neither a regular file nor a block device");
    }
    file->identity = {device ? info.st_rdev : info.st_dev, device ? 0 : info.st_ino};

    const int status = ::fcntl(file->fd, F_GETFL);
    if (status < 0 || ::fcntl(file->fd, F_SETFL, status & ~O_NONBLOCK) < 0) {
        return os_error(errno, "file: cannot be made blocking");
    }
    const off_t end = ::lseek(file->fd, 0, SEEK_END);
    if (end < 0) return os_error(errno, "file: its size cannot be told");
    file->size = static_cast<uint64_t>(end);
    return std::shared_ptr<const File>(std::move(file));
}

}  // namespace detail

/// A handle of an open file; copies share the descriptor. Each copy keeps the size it knows: a
/// `resize` through another is not seen. Any number of threads may read, write and flush; a
/// `resize` of a handle is for one thread alone.
class PreadStorage {
public:
    /// Regular files and block devices only.
    static Result<PreadStorage> open(const char* path, Access access) {
        constexpr int flags[] = {O_RDONLY, O_RDWR, O_RDWR | O_CREAT | O_EXCL};
        auto file = detail::open_file(path, flags[static_cast<size_t>(access)]);
        if (!file) return file.error();
        return PreadStorage(*std::move(file), access != Access::read);
    }

    [[nodiscard]] uint64_t size() const { return size_; }
    [[nodiscard]] FileIdentity identity() const { return file_->identity; }
    /// For calls that are not here (ioctl, mmap). It stays open as long as a handle lives.
    [[nodiscard]] int descriptor() const { return fd_; }

    Status read(uint64_t at, MutBytes out) const {
        if (!fits(at, out.size(), size_)) return invalid("pread: read past the end", {.at = at});
        const ssize_t got = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(at));
        if (got >= 0 && static_cast<size_t>(got) == out.size()) [[likely]]
            return {};
        return read_on(at, out, got);
    }

    Status write(uint64_t at, Bytes in) {
        if (!writable_) return fail(Errc::read_only, "pwrite: the file is open for reading only");
        if (!fits(at, in.size(), size_)) return invalid("pwrite: write past the end", {.at = at});
        while (!in.empty()) {
            const ssize_t put = ::pwrite(fd_, in.data(), in.size(), static_cast<off_t>(at));
            if (put < 0 && errno == EINTR) continue;
            if (put < 0) return detail::os_error(errno, "pwrite: writing failed", at);
            if (put == 0) return fail(Errc::io, "pwrite: the system writes nothing", {.at = at});
            at += static_cast<size_t>(put);
            in = in.subspan(static_cast<size_t>(put));
        }
        return {};
    }

    /// New bytes are a hole. A block device keeps its size: any other fails.
    Status resize(uint64_t size) {
        if (!writable_) return fail(Errc::read_only, "resize: the file is open for reading only");
        if (size > uint64_t{std::numeric_limits<off_t>::max()}) {
            return invalid("resize: beyond what a file offset can hold", {.value = size});
        }
        if (size == size_) return {};
        while (::ftruncate(fd_, static_cast<off_t>(size)) != 0) {
            if (errno != EINTR) return detail::os_error(errno, "resize: the system refuses");
        }
        size_ = size;
        return {};
    }

    /// After a failure, what was written since the last success may be lost, and the system may
    /// have forgotten it: a later success proves nothing about those bytes.
    Status flush() {
        while (::fdatasync(fd_) != 0) {
            if (errno != EINTR) return detail::os_error(errno, "flush: the system failed");
        }
        return {};
    }

    /// Room on the disk; what reads as zeros goes on doing so. Takes time where the file system has
    /// to write zeros for it.
    Status reserve(uint64_t at, uint64_t length) {
        if (!fits(at, length, size_)) return invalid("reserve: past the end", {.at = at});
        if (length == 0) return {};
        // The library function writes zeros where the system cannot reserve.
        for (;;) {
            const int error =
                ::posix_fallocate(fd_, static_cast<off_t>(at), static_cast<off_t>(length));
            if (error == 0) return {};
            if (error != EINTR) return detail::os_error(error, "reserve: the system failed");
        }
    }

    Status punch(uint64_t at, uint64_t length) {
        if (!fits(at, length, size_)) return invalid("punch: past the end", {.at = at});
        if (length == 0) return {};
        while (::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                           static_cast<off_t>(length)) != 0) {
            if (errno == EOPNOTSUPP || errno == ENODEV || errno == ENOSYS) {
                return unsupported("punch: the file system cannot make holes");
            }
            if (errno != EINTR) return detail::os_error(errno, "punch: the system failed");
        }
        return {};
    }

    [[nodiscard]] Result<Hole> hole(uint64_t at, uint64_t length) const {
        if (!fits(at, length, size_)) return invalid("hole: past the end", {.at = at});
        const off_t data = ::lseek(fd_, static_cast<off_t>(at), SEEK_DATA);
        // ENXIO says "no data from here on", but also "this is past the end": the file shrank.
        if (data < 0 && errno == ENXIO && length != 0) {
            const off_t end = ::lseek(fd_, 0, SEEK_END);
            return Hole{end >= 0 && fits(at, length, static_cast<uint64_t>(end)), length};
        }
        if (data < 0) return Hole{false, length};  // EINVAL: this file system cannot tell
        const uint64_t start = static_cast<uint64_t>(data);
        if (start > at) return Hole{true, std::min(start - at, length)};
        const off_t end = ::lseek(fd_, data, SEEK_HOLE);
        if (end <= data) return Hole{false, length};
        return Hole{false, std::min(static_cast<uint64_t>(end) - at, length)};
    }

private:
    PreadStorage(std::shared_ptr<const detail::File> file, bool writable)
        : fd_(file->fd), writable_(writable), size_(file->size), file_(std::move(file)) {}

    // The rare rest of a read: after a signal, a short transfer, an error (`got` as from pread).
    Status read_on(uint64_t at, MutBytes out, ssize_t got) const {
        for (;;) {
            if (got == 0) {
                return fail(Errc::io, "pread: the file is shorter than it was at open", {.at = at});
            }
            if (got < 0 && errno != EINTR) {
                return detail::os_error(errno, "pread: reading failed", at);
            }
            if (got > 0) {
                at += static_cast<size_t>(got);
                out = out.subspan(static_cast<size_t>(got));
            }
            if (out.empty()) return {};
            got = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(at));
        }
    }

    int fd_;
    bool writable_;
    uint64_t size_;
    std::shared_ptr<const detail::File> file_;
};

static_assert(WritableStorage<PreadStorage> && SparseStorage<PreadStorage>);

}  // namespace vdisk
