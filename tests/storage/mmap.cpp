// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <fstream>
#include <string>

#include <vdisk/storage/mmap.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"
#include "support/temp.hpp"

using namespace vdisk;

namespace {

std::string make(const test::TempDir& dir, Bytes content) {
    std::string path = dir / "file";
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()),
               static_cast<std::streamsize>(content.size()));
    return path;
}

}  // namespace

TEMPLATE_TEST_CASE("mmap: lends and reads the file's bytes", "[mmap]", MmapStorage,
                   FrozenMmapStorage) {
    const test::TempDir dir;
    const std::vector<byte> data = test::noise(10000);
    const auto opened = TestType::open(make(dir, data).c_str());
    REQUIRE(opened);
    const TestType file = *opened;
    CHECK(file.size() == data.size());
    const Result<Bytes> view = file.view(1, 9999);
    REQUIRE(view);
    CHECK(std::ranges::equal(*view, Bytes(data).subspan(1)));
    CHECK(view->data() == opened->view(1, 1)->data());  // one mapping
    std::vector<byte> out(9999);
    REQUIRE(file.read(1, out));
    CHECK(std::ranges::equal(out, *view));
    CHECK(file.view(1, 10000).error().code == Errc::invalid);
    CHECK(file.view(2, ~uint64_t{0}).error().code == Errc::invalid);
    CHECK(file.read(2, out).error().code == Errc::invalid);
}

TEMPLATE_TEST_CASE("mmap: an empty file works", "[mmap]", MmapStorage, FrozenMmapStorage) {
    const test::TempDir dir;
    const auto file = TestType::open(make(dir, {}).c_str());
    REQUIRE(file);
    CHECK(file->size() == 0);
    CHECK(file->read(0, {}));
    REQUIRE(file->view(0, 0));
    CHECK(file->view(0, 0)->empty());
    CHECK(file->view(0, 1).error().code == Errc::invalid);
}

TEST_CASE("mmap: a file that shrinks gives an error, no signal", "[mmap]") {
    const test::TempDir dir;
    const std::vector<byte> data = test::noise(64 * 1024);
    const std::string path = make(dir, data);
    const auto file = MmapStorage::open(path.c_str());
    REQUIRE(file);
    REQUIRE(::truncate(path.c_str(), 10000) == 0);

    std::vector<byte> out(10000);
    CHECK(file->view(0, 1).error().code == Errc::io);
    REQUIRE(file->read(0, out));  // still there
    CHECK(std::ranges::equal(out, Bytes(data).first(10000)));
    CHECK(file->read(1, out).error().code == Errc::io);
    CHECK(file->read(50000, out).error().code == Errc::io);

    REQUIRE(::truncate(path.c_str(), 64 * 1024) == 0);
    REQUIRE(file->view(50000, 1));
    CHECK((*file->view(50000, 1))[0] == byte{0});
}

TEST_CASE("mmap: a sealed memory file can be frozen", "[mmap]") {
    const int fd = ::memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    REQUIRE(fd >= 0);
    const std::vector<byte> data = test::noise(5000);
    REQUIRE(::write(fd, data.data(), data.size()) == 5000);
    REQUIRE(::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
    const auto file = FrozenMmapStorage::open(("/proc/self/fd/" + std::to_string(fd)).c_str());
    ::close(fd);
    REQUIRE(file);
    CHECK(std::ranges::equal(*file->view(0, 5000), data));
}

TEST_CASE("mmap: opening fails as with pread", "[mmap]") {
    const test::TempDir dir;
    CHECK(MmapStorage::open((dir / "none").c_str()).error().code == Errc::not_found);
    CHECK(MmapStorage::open((dir / "").c_str()).error().code == Errc::unsupported);
}
