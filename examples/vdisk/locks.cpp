// SPDX-License-Identifier: BSL-1.0
#include "locks.hpp"

namespace tool {

using namespace vdisk;

namespace {

#ifdef F_OFD_GETLK
struct flock at_byte(short type, off_t at) {
    struct flock lock = {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = at;
    lock.l_len = 1;
    return lock;
}
#endif

/// Where the system has no such locks, or the file system none at all, nothing is locked.
bool is_locked(int fd, off_t at) {
#ifdef F_OFD_GETLK
    struct flock lock = at_byte(F_WRLCK, at);
    return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
#else
    return fd < 0 && at < 0;
#endif
}

/// Locks are shared, so that only those who look for them mind. False if somebody has the byte for
/// himself, as nobody should.
bool lock(int fd, off_t at) {
#ifdef F_OFD_GETLK
    struct flock wanted = at_byte(F_RDLCK, at);
    return ::fcntl(fd, F_OFD_SETLK, &wanted) == 0 || (errno != EAGAIN && errno != EACCES);
#else
    return fd >= 0 && at >= 0;
#endif
}

}  // namespace

// From block/file-posix.c: byte 100 + n is locked by who has permission n, byte 200 + n by who
// does not let others have it; 0 is consistent reading, 1 is writing, 3 is changing the size.
Status check_not_in_use(const PreadStorage& file, Use use) {
    const int fd = file.descriptor();
    if (use == Use::write && (is_locked(fd, 201) || is_locked(fd, 203))) {
        return fail(Errc::denied, "Failed to get \"write\" lock: another process uses the file");
    }
    if (is_locked(fd, 101)) {
        return fail(Errc::denied,
                    use == Use::write
                        ? "Failed to get shared \"write\" lock: another process writes to the file"
                        : "Failed to get shared \"write\" lock: another process writes to the file "
                          "(-U reads it all the same)");
    }
    if (is_locked(fd, 200)) {
        return fail(
            Errc::denied,
            use == Use::write
                ? "Failed to get \"consistent read\" lock: another process changes the file"
                : "Failed to get \"consistent read\" lock: another process changes the file "
                  "(-U reads it all the same)");
    }
    return {};
}

Status lock_for_writing(const PreadStorage& file) {
    // First the locks, then a look at those of others: of two who do so at once, one at least sees
    // the other.
    for (const off_t at : {100, 101, 103, 201, 203}) {
        if (!lock(file.descriptor(), at)) {
            return fail(Errc::denied,
                        "Failed to get \"write\" lock: another process uses the file");
        }
    }
    return check_not_in_use(file, Use::write);
}

}  // namespace tool
