// SPDX-License-Identifier: BSL-1.0
#include "output.hpp"

#include <cstdlib>
#include <filesystem>
#include <random>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "locks.hpp"
#include "opening.hpp"

namespace tool {

namespace fs = std::filesystem;
using namespace vdisk;

namespace {

/// Makes the new name of a file durable; where the system cannot do that, it is as it is.
void sync_folder(const fs::path& folder) {
    const int fd =
        ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    ::fsync(fd);
    ::close(fd);
}

std::string random_suffix() {
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789";
    std::random_device random;
    std::string suffix;
    for (int i = 0; i < 6; ++i) suffix += letters[random() % letters.size()];
    return suffix;
}

/// Where symbolic links lead, there or not.
std::string follow(fs::path path) {
    for (int links = 0; links < 40; ++links) {
        std::error_code no_link;
        const fs::path next = fs::read_symlink(path, no_link);
        if (no_link) break;
        path = path.parent_path() / next;
    }
    return path.string();
}

/// `error` is that of making a new file in the folder of `target`.
Failure folder_failure(const std::string& path, const fs::path& target, const Error& error) {
    const fs::path parent = target.parent_path();
    const std::string folder = "the folder '" + (parent.empty() ? "." : parent.string()) + "'";
    if (error.code == Errc::not_found) return Failure{path + ": " + folder + " does not exist"};
    if (error.code == Errc::denied || error.code == Errc::read_only) {
        return failure(path + ": " + folder + " must be writable, OUT is made anew there", error);
    }
    return failure(path, error);
}

}  // namespace

Output::Output(const std::string& path, OutputOptions options)
    : path_(local_path(path)), final_(follow(path_)), options_(options) {
    struct stat info = {};
    if (::stat(path_.c_str(), &info) != 0) {
        const Error error = detail::open_error(errno);
        if (errno != ENOENT || options_.existing) throw failure(path_, error);
        if (fs::path(path_).filename().empty()) throw failure(path_, detail::open_error(EISDIR));
        return;
    }
    if (S_ISDIR(info.st_mode)) throw failure(path_, detail::open_error(EISDIR));
    const bool device = S_ISBLK(info.st_mode);
    if (!device && !S_ISREG(info.st_mode)) {
        throw failure(path_, unsupported("file: neither a regular file nor a block device"));
    }
    if (::access(path_.c_str(), W_OK) != 0) throw failure(path_, detail::open_error(errno));
    exists_ = true;
    replaced_ = {info.st_uid, info.st_gid, info.st_mode & 07777};
    in_place_ = device || options_.existing;
    identity_ = {device ? info.st_rdev : info.st_dev, device ? 0 : info.st_ino};
}

Output::~Output() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void refuse_if_read_by(const Disk& disk, const FileIdentity& file, const std::string& path) {
    for (const auto& layer : disk.layers()) {
        if (layer.image.file().identity() == file || layer.image.storage().identity() == file) {
            throw Failure{path + ": is the same file as the input " + layer.origin.path +
                          " (or its data file)"};
        }
    }
}

void Output::refuse_if_read_by(const Disk& disk) const {
    if (exists_) tool::refuse_if_read_by(disk, identity_, path_);
}

bool Output::is_same_as(const Output& other) const {
    if (exists_ && other.exists_) return identity_ == other.identity_;
    return is_at(other.final_);
}

bool Output::is_at(const std::string& path) const {
    std::error_code error;
    if (exists_ && fs::equivalent(path, final_, error)) return true;
    // No file yet: its folder is, or else nothing can be made in it.
    const auto place = [](const fs::path& name, std::error_code& unknown) {
        const fs::path folder = name.parent_path();
        return fs::canonical(folder.empty() ? "." : folder, unknown) / name.filename();
    };
    const fs::path here = place(final_, error);
    if (error) return false;
    const fs::path there = place(follow(path), error);
    return !error && here == there;
}

void Output::open(uint64_t size) {
    if (exists_) {
        const auto file = open_file(path_);  // it may be writable only: then nobody knows
        const Status unused = file ? check_not_in_use(file->storage, Use::write) : Status{};
        if (!unused) throw failure(path_, unused.error());
    }
    if (in_place_) open_in_place(size);
    else open_temporary(size);
}

void Output::open_in_place(uint64_t size) {
    auto storage = Storage::open(path_.c_str(), Access::write);
    if (!storage) throw failure(path_, storage.error());
    if (storage->size() < size) throw Failure{"output file is smaller than input file"};
    storage_.emplace(*std::move(storage));
}

void Output::open_temporary(uint64_t size) {
    const fs::path target(final_);
    const std::string hidden = "." + target.filename().string().substr(0, 240) + ".";  // NAME_MAX
    const fs::path base = target.parent_path() / hidden;
    for (int attempt = 0;; ++attempt) {
        const std::string name = base.string() + random_suffix();
        auto storage = Storage::open(name.c_str(), Access::create);
        if (!storage && storage.error().os == EEXIST && attempt < 100) continue;
        if (!storage) throw folder_failure(path_, target, storage.error());
        temporary_ = name;
        storage_.emplace(*std::move(storage));
        break;
    }
    if (exists_) take_over();
    if (const Status grown = storage_->resize(size); !grown) throw failure(path_, grown.error());
}

// Who may give the file to its owner does; for others it is theirs from now on, and then no
// program of the owner's.
void Output::take_over() {
    const int fd = storage_->descriptor();
    unsigned mode = replaced_.mode;
    if (::fchown(fd, replaced_.user, replaced_.group) != 0) {
        const auto same_user = static_cast<uid_t>(-1);
        if (::fchown(fd, same_user, replaced_.group) != 0) mode &= 0777;
        mode &= 03777;
    }
    if (::fchmod(fd, mode) != 0) {
        throw failure(path_, detail::os_error(errno, "file: its permissions cannot be set"));
    }
}

bool Output::clear(uint64_t size) {
    if (!in_place_ || size == 0) return true;
#ifdef FALLOC_FL_PUNCH_HOLE
    // On a device, too, it succeeds only where that is cheaper than writing.
    constexpr int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    for (;;) {
        if (::fallocate(storage_->descriptor(), punch, 0, static_cast<off_t>(size)) == 0) {
            return true;
        }
        if (errno != EINTR) return false;
    }
#else
    return false;
#endif
}

void Output::commit() {
    if (options_.durable) {
        if (const Status flushed = storage_->flush(); !flushed) {
            throw failure(path_, flushed.error());
        }
    }
    if (temporary_.empty()) return;
    if (::rename(temporary_.c_str(), final_.c_str()) != 0) {
        throw failure(path_, detail::os_error(errno, "file: cannot be given its name"));
    }
    temporary_.clear();
    if (options_.durable) sync_folder(fs::path(final_).parent_path());
}

}  // namespace tool
