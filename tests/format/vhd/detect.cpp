// SPDX-License-Identifier: BSL-1.0
// Which files are taken for VHD.
#include "catch.hpp"
#include "support/bytes.hpp"
#include "support/storages.hpp"
#include "support/vhd_builder.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

constexpr const char* no_vhd = "probe: no known format";

std::string probed(const File& file) {
    const auto found = probe(MemoryStorage(file), AllFormats{});
    return found ? std::string(*found) : found.error().what;
}

void put(File& file, uint64_t at, std::string_view text) {
    for (const char c : text) file.at(at++) = static_cast<byte>(c);
}

BuiltVhd fixed(bool short_footer = false) {
    return build(VhdSpec{.type = 2, .size = 8_KiB, .short_footer = short_footer});
}

}  // namespace

TEST_CASE("vhd: probed by a footer at either end", "[vhd][probe]") {
    for (const uint32_t type : {3u, 4u}) {
        const BuiltVhd image = build(VhdSpec{.type = type, .size = 64_KiB});
        CHECK(probed(image.file) == "vpc");
        File file = image.file;
        file.resize(image.footer_at);
        CHECK(probed(file) == "vpc");
        file = image.file;
        std::fill_n(file.begin(), 512, byte{0});
        CHECK(probed(file) == "vpc");
        file.resize(image.footer_at);
        CHECK(probed(file) == no_vhd);
    }
    CHECK(probed(fixed().file) == "vpc");
    CHECK(probed(fixed(true).file) == "vpc");
    CHECK(probed(File(512)) == no_vhd);
    CHECK(probed(File(511)) == no_vhd);
}

TEST_CASE("vhd: a damaged image is VHD still", "[vhd][probe]") {
    File file = build(VhdSpec{.size = 64_KiB}).file;
    file[64] ^= byte{1};
    file[file.size() - 1] ^= byte{1};
    CHECK(probed(file) == "vpc");
    put(file, 0, "v_poison");
    CHECK(probed(file) == "vpc");
}

TEST_CASE("vhd: the end of a raw disk is no footer by its cookie alone", "[vhd][probe]") {
    File raw = noise(64_KiB);
    put(raw, raw.size() - 512, "conectix");
    CHECK(probed(raw) == no_vhd);
    File file = fixed().file;
    file.back() ^= byte{1};
    CHECK(probed(file) == no_vhd);
    file = fixed().file;
    file.push_back(byte{0});
    CHECK(probed(file) == no_vhd);
}

TEST_CASE("vhd: what a guest writes to a fixed disk does not hide its footer", "[vhd][probe]") {
    File file = fixed().file;
    put(file, 0, "conectix");
    CHECK(probed(file) == "vpc");
    const File inner = build(Qcow2Spec{.size = 64_KiB}).file;
    std::copy_n(inner.begin(), 512, file.begin());
    const auto found = probe(MemoryStorage(file), AllFormats{});
    REQUIRE_FALSE(found);
    CHECK(found.error().code == Errc::ambiguous);
    std::fill_n(file.begin(), 512, byte{0});
    CHECK(probed(file) == "vpc");
}
