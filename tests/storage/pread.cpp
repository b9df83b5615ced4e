// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <csignal>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <vdisk/storage/borrowed.hpp>
#include <vdisk/storage/pread.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"
#include "support/temp.hpp"

using namespace vdisk;

namespace {

PreadStorage make(const std::string& path, Bytes content) {
    auto file = PreadStorage::open(path.c_str(), Access::create);
    REQUIRE(file);
    REQUIRE(file->resize(content.size()));
    REQUIRE(file->write(0, content));
    return *file;
}

// No file of this process may grow past `size`, so a write across it is cut short there.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t size) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        getrlimit(RLIMIT_FSIZE, &old_);
        const rlimit limit = {size, old_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;
    ~FileSizeLimit() {
        setrlimit(RLIMIT_FSIZE, &old_);
        std::signal(SIGXFSZ, handler_);
    }

private:
    rlimit old_ = {};
    void (*handler_)(int);
};

// Memory that nobody may change any more, as a file.
PreadStorage sealed(Bytes content) {
    const int fd = ::memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    REQUIRE(fd >= 0);
    auto file = PreadStorage::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), Access::write);
    REQUIRE(file);
    REQUIRE(file->resize(content.size()));
    REQUIRE(file->write(0, content));
    REQUIRE(::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
    ::close(fd);
    return *file;
}

static_assert(std::copyable<PreadStorage> && !ViewableStorage<PreadStorage>);

}  // namespace

TEST_CASE("pread: what the system's numbers mean", "[pread]") {
    const std::pair<int, Errc> all[] = {{ENOENT, Errc::not_found},
                                        {EACCES, Errc::denied},
                                        {EPERM, Errc::denied},
                                        {ENOSPC, Errc::no_space},
                                        {EDQUOT, Errc::no_space},
                                        {EROFS, Errc::read_only},
                                        {EIO, Errc::io}};
    for (const auto& [os, code] : all) {
        CHECK(detail::os_error(os, "").code == code);
        CHECK(detail::os_error(os, "").os == os);
    }
    CHECK(detail::open_error(EISDIR).code == Errc::unsupported);
    CHECK(detail::open_error(EACCES).code == Errc::denied);
}

TEST_CASE("pread: what the system refuses is told", "[pread]") {
    const std::vector<byte> data = test::noise(8192);
    PreadStorage file = sealed(data);
    CHECK(file.write(0, Bytes(data).first(10)).error().code == Errc::denied);
    CHECK(file.resize(100).error().code == Errc::denied);
    CHECK(file.punch(0, 4096).error().code == Errc::denied);
    CHECK(file.size() == 8192);
    std::vector<byte> out(8192);
    REQUIRE(file.read(0, out));
    CHECK(out == data);
}

TEST_CASE("pread: room and holes, of nothing and past the end", "[pread]") {
    const test::TempDir dir;
    PreadStorage file = make(dir / "a", test::noise(8192));
    CHECK(file.reserve(8000, 193).error().code == Errc::invalid);
    CHECK(file.reserve(8192, 0));
    CHECK(file.reserve(0, 8192));
    CHECK(file.punch(8000, 193).error().code == Errc::invalid);
    CHECK(file.punch(8192, 0));
    CHECK(file.flush());
}

TEST_CASE("pread: what is written is read back by another handle", "[pread]") {
    const test::TempDir dir;
    const std::vector<byte> data = test::noise(10000);
    PreadStorage file = make(dir / "a", data);
    REQUIRE(file.flush());
    const auto reader = PreadStorage::open((dir / "a").c_str(), Access::read);
    REQUIRE(reader);
    CHECK(reader->size() == data.size());
    std::vector<byte> out(9000);
    REQUIRE(reader->read(1000, out));
    CHECK(std::ranges::equal(out, Bytes(data).subspan(1000)));
    CHECK(reader->read(1001, out).error().code == Errc::invalid);
    CHECK(reader->read(~uint64_t{0}, out).error().code == Errc::invalid);
    CHECK(reader->read(10000, {}));
    CHECK(file.write(9999, Bytes(out).first(2)).error().code == Errc::invalid);
}

TEST_CASE("pread: a short file gives an error", "[pread]") {
    const test::TempDir dir;
    const std::vector<byte> data = test::noise(8192);
    const PreadStorage file = make(dir / "a", data);
    REQUIRE(::truncate((dir / "a").c_str(), 5000) == 0);
    std::vector<byte> out(8192);
    CHECK(file.read(0, MutBytes(out).first(5000)));
    const Status across = file.read(0, out);
    REQUIRE_FALSE(across);
    CHECK(across.error().code == Errc::io);
    CHECK(across.error().at == 5000);
    CHECK(across.error().what ==
          std::string_view("pread: the file is shorter than it was at open"));
    CHECK(file.read(8000, MutBytes(out).first(10)).error().at == 8000);
}

TEST_CASE("pread: a write that the system cuts short says where", "[pread]") {
    const test::TempDir dir;
    PreadStorage file = make(dir / "a", test::noise(8192, 1));
    const std::vector<byte> fresh = test::noise(8192, 2);
    Status written;
    {
        const FileSizeLimit limit(5000);
        written = file.write(0, fresh);
    }
    REQUIRE_FALSE(written);
    CHECK(written.error().os == EFBIG);
    CHECK(written.error().at == 5000);
    std::vector<byte> out(5000);
    REQUIRE(file.read(0, out));
    CHECK(std::ranges::equal(out, Bytes(fresh).first(5000)));
}

TEST_CASE("pread: reading only means no writing", "[pread]") {
    const test::TempDir dir;
    make(dir / "a", test::noise(100));
    auto file = PreadStorage::open((dir / "a").c_str(), Access::read);
    REQUIRE(file);
    CHECK(file->write(0, test::noise(1)).error().code == Errc::read_only);
    CHECK(file->resize(0).error().code == Errc::read_only);
    CHECK(file->resize(100).error().code == Errc::read_only);
}

TEST_CASE("pread: opening refuses what is no disk", "[pread]") {
    const test::TempDir dir;
    const auto error = [](const std::string& path, Access access) {
        const auto file = PreadStorage::open(path.c_str(), access);
        REQUIRE_FALSE(file);
        return file.error();
    };
    CHECK(error(dir / "none", Access::read).code == Errc::not_found);
    CHECK(error(dir / "none", Access::write).os == ENOENT);
    CHECK(error(dir / "", Access::read).what == std::string_view("file: is a directory"));
    CHECK(error(dir / "", Access::write).what == std::string_view("file: is a directory"));
    CHECK(error("/dev/null", Access::read).code == Errc::unsupported);
    // Would hang if the open waited for the other end.
    REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
    CHECK(error(dir / "fifo", Access::read).code == Errc::unsupported);
    CHECK(error(dir / "fifo", Access::write).code == Errc::unsupported);

    make(dir / "a", test::noise(1));
    CHECK(error(dir / "a", Access::create).os == EEXIST);
    if (::geteuid() != 0) {  // nothing is denied to root
        REQUIRE(::chmod((dir / "a").c_str(), 0400) == 0);
        CHECK(error(dir / "a", Access::write).code == Errc::denied);
    }
}

TEST_CASE("pread: the descriptor waits again, and no child inherits it", "[pread]") {
    const test::TempDir dir;
    const PreadStorage file = make(dir / "a", test::noise(1));
    CHECK((::fcntl(file.descriptor(), F_GETFL) & O_NONBLOCK) == 0);
    CHECK((::fcntl(file.descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("pread: the last copy closes the file", "[pread]") {
    const test::TempDir dir;
    int fd = -1;
    {
        const PreadStorage outer = [&] {
            const PreadStorage inner = make(dir / "a", test::noise(1));
            return PreadStorage(inner);
        }();
        fd = outer.descriptor();
        CHECK(::fcntl(fd, F_GETFD) >= 0);
    }
    CHECK(::fcntl(fd, F_GETFD) < 0);
}

TEST_CASE("pread: identity sees through links", "[pread]") {
    const test::TempDir dir;
    const PreadStorage file = make(dir / "a", test::noise(1));
    const PreadStorage other = make(dir / "b", test::noise(1));
    REQUIRE(::symlink("a", (dir / "soft").c_str()) == 0);
    REQUIRE(::link((dir / "a").c_str(), (dir / "hard").c_str()) == 0);
    CHECK(PreadStorage::open((dir / "soft").c_str(), Access::read)->identity() == file.identity());
    CHECK(PreadStorage::open((dir / "hard").c_str(), Access::read)->identity() == file.identity());
    CHECK_FALSE(other.identity() == file.identity());
}

TEST_CASE("pread: resize grows with zeros and knows its limit", "[pread]") {
    const test::TempDir dir;
    PreadStorage file = make(dir / "a", test::noise(100));
    REQUIRE(file.resize(50));
    REQUIRE(file.resize(200));
    std::vector<byte> out(150, byte{1});
    REQUIRE(file.read(50, out));
    CHECK(std::ranges::all_of(out, [](byte b) { return b == byte{0}; }));
    CHECK(file.resize(uint64_t{1} << 63).error().code == Errc::invalid);
    constexpr uint64_t largest = (uint64_t{1} << 63) - 1;  // few file systems hold that
    const Status grown = file.resize(largest);
    CHECK(file.size() == (grown ? largest : 200));
}

TEST_CASE("pread: holes are found, and never where data is", "[pread]") {
    const test::TempDir dir;
    auto file = PreadStorage::open((dir / "a").c_str(), Access::create);
    REQUIRE(file);
    constexpr uint64_t size = 4_MiB;
    REQUIRE(file->resize(size));
    REQUIRE(file->write(1_MiB, test::noise(64_KiB)));

    const Result<Hole> whole = file->hole(3_MiB, 1_MiB);
    REQUIRE(whole);
    if (!whole->is_hole) return;  // this file system cannot tell
    CHECK(whole->length == 1_MiB);
    CHECK(file->hole(3_MiB, 5)->length == 5);
    CHECK(file->hole(0, size)->is_hole);
    CHECK(file->hole(0, size)->length == 1_MiB);
    CHECK_FALSE(file->hole(1_MiB + 5, size - 1_MiB - 5)->is_hole);
    CHECK(file->hole(1_MiB + 5, size - 1_MiB - 5)->length == 64_KiB - 5);
    CHECK(file->hole(1_MiB, 100)->length == 100);
    CHECK(file->hole(size, 0)->length == 0);
    CHECK(file->hole(size, 1).error().code == Errc::invalid);

    // What a shrunk file has lost is not a hole: reading it must give the error.
    REQUIRE(::truncate((dir / "a").c_str(), 2_MiB) == 0);
    CHECK(file->hole(1_MiB + 64_KiB, 512_KiB)->is_hole);
    CHECK_FALSE(file->hole(1_MiB + 64_KiB, 2_MiB)->is_hole);
    CHECK_FALSE(file->hole(3_MiB, 1_MiB)->is_hole);
}
