// SPDX-License-Identifier: BSL-1.0
// Which files are taken for VHDX, and what they are opened for.
#include <vdisk/allocation/limited.hpp>

#include "catch.hpp"
#include "support/library.hpp"
#include "support/vhdx_builder.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

std::string probed(const File& file) {
    const auto found = probe(MemoryStorage(file), AllFormats{});
    return found ? std::string(*found) : found.error().what;
}

BuiltVhdx image() { return build(VhdxSpec{.size = 1_MiB, .blocks = {{0}}}); }

}  // namespace

TEST_CASE("vhdx: probed by its identifier", "[vhdx][probe]") {
    File file = image().file;
    CHECK(probed(file) == "vhdx");
    CHECK(probed(File(file.begin(), file.begin() + 8)) == "vhdx");
    CHECK(probed(File(file.begin(), file.begin() + 7)) == "probe: no known format");
    std::fill(file.begin() + 0x10000, file.end(), byte{0});  // damaged, and VHDX still
    CHECK(probed(file) == "vhdx");
    file[7] = byte{'E'};
    CHECK(probed(file) == "probe: no known format");
}

TEST_CASE("vhdx: the creator means nothing", "[vhdx][probe]") {
    BuiltVhdx built = image();
    std::fill_n(built.file.begin() + 8, 512, byte{0xD8});  // surrogates that stand alone
    const auto opened = vhdx::Image<MemoryStorage, Heap>::open(MemoryStorage(built.file));
    REQUIRE(opened);
    File out(1_MiB);
    REQUIRE(read(*opened, 0, out));
    CHECK(out == built.guest.bytes);
}

TEST_CASE("vhdx: memory that is refused ends the opening", "[vhdx][log]") {
    const BuiltVhdx built = image();
    const File file = with_log(built, {built.bat_at, built.metadata_at}, 3);
    struct Rationed : Limited<Heap> {
        explicit Rationed(Budget& budget) : Limited(budget) {}
    };
    bool opens = false;
    for (size_t ceiling = 0; !opens; ceiling += 512) {
        REQUIRE(ceiling < 100'000);
        CAPTURE(ceiling);
        Budget budget{.ceiling = ceiling};
        const auto opened = vhdx::Image<PagedMemory, Rationed>::open(
            PagedMemory(file), {.cache = tiny_cache}, Rationed(budget));
        opens = static_cast<bool>(opened);
        if (opens) break;
        CHECK(opened.error().code == Errc::no_memory);
        CHECK(ceiling < 256 * 32 + 2 * 4096 + 2000);
    }
}
