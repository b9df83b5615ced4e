// SPDX-License-Identifier: BSL-1.0
// A file mapped for reading: bytes are lent, not copied. For files that do not change.
//
// Touching a lent page that lies past the end of a file which shrank, or that the medium cannot
// deliver, raises SIGBUS. A check of the size closes all of that but the moment between check and
// use (and a view that is kept stays exposed): only a signal handler could close it. Where that
// matters, take PreadStorage, which has no such window.
#pragma once

#include <cstring>

#include <sys/mman.h>

#include <vdisk/storage/pread.hpp>

namespace vdisk {

/// Asks the system for the file's size before it lends bytes: a system call each.
struct CheckedSize {
    static constexpr bool copies = false;
    [[nodiscard]] static bool holds(int fd, uint64_t size) {
        struct stat now = {};
        if (::fstat(fd, &now) != 0) return false;
        return !S_ISREG(now.st_mode) || static_cast<uint64_t>(now.st_size) >= size;
    }
};

/// Trusts the size seen at open: for files nobody can shrink, such as a sealed memfd or a
/// read-only medium.
struct FrozenSize {
    static constexpr bool copies = true;
    [[nodiscard]] static constexpr bool holds(int /*fd*/, uint64_t /*size*/) { return true; }
};

namespace detail {

/// A mapping, undone with its last owner.
struct Mapping {
    Mapping() = default;
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping() {
        if (data != nullptr) ::munmap(data, size);
    }

    void* data = nullptr;
    size_t size = 0;
};

}  // namespace detail

/// A handle of a mapped file; copies share the mapping. Any number of threads may read. When the
/// file has shrunk and `Check` sees it, `view` fails. Where sizes are checked, `read` goes to the
/// file itself: that is a system call as well, costs no page faults, and yields what is still there
/// or a clear error.
template <class Check>
class BasicMmapStorage {
public:
    /// Regular files and block devices only.
    static Result<BasicMmapStorage> open(const char* path) {
        auto file = PreadStorage::open(path, Access::read);
        if (!file) return file.error();
        if (file->size() > std::numeric_limits<size_t>::max()) {
            return fail(Errc::limit, "mmap: the file is larger than the address space");
        }
        std::shared_ptr<detail::Mapping> mapping;
        try {
            mapping = std::make_shared<detail::Mapping>();
        } catch (const std::bad_alloc&) {
            return fail(Errc::no_memory, "mmap: no memory to open it");
        }
        const size_t size = static_cast<size_t>(file->size());
        if (size != 0) {
            void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file->descriptor(), 0);
            if (data == MAP_FAILED) return detail::os_error(errno, "mmap: the system refuses");
            mapping->data = data;
            mapping->size = size;
        }
        return BasicMmapStorage(*std::move(file), std::move(mapping));
    }

    [[nodiscard]] uint64_t size() const { return bytes_.size(); }
    [[nodiscard]] FileIdentity identity() const { return file_.identity(); }

    Status read(uint64_t at, MutBytes out) const {
        if constexpr (!Check::copies) return file_.read(at, out);
        const Result<Bytes> bytes = view(at, out.size());
        if (!bytes) return bytes.error();
        if (!out.empty()) std::memcpy(out.data(), bytes->data(), out.size());
        return {};
    }

    [[nodiscard]] Result<Bytes> view(uint64_t at, uint64_t length) const {
        if (!fits(at, length, size())) return invalid("mmap: view past the end", {.at = at});
        if (!Check::holds(file_.descriptor(), size())) {
            return fail(Errc::io, "mmap: the file is shorter than it was at open", {.at = at});
        }
        return bytes_.subspan(static_cast<size_t>(at), static_cast<size_t>(length));
    }

    [[nodiscard]] Result<Hole> hole(uint64_t at, uint64_t length) const {
        return file_.hole(at, length);
    }

private:
    BasicMmapStorage(PreadStorage file, std::shared_ptr<const detail::Mapping> mapping)
        : bytes_(static_cast<const byte*>(mapping->data), mapping->size),
          file_(std::move(file)),
          mapping_(std::move(mapping)) {}

    Bytes bytes_;
    PreadStorage file_;
    std::shared_ptr<const detail::Mapping> mapping_;
};

/// Survives a file that shrinks, but for the race described above.
using MmapStorage = BasicMmapStorage<CheckedSize>;
/// No system call per access.
using FrozenMmapStorage = BasicMmapStorage<FrozenSize>;

static_assert(ViewableStorage<MmapStorage> && SparseStorage<MmapStorage>);

}  // namespace vdisk
