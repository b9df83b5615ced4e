// SPDX-License-Identifier: BSL-1.0
// Which footer serves, and which of the sizes in it counts.
#include "hostile/vhd_damage.hpp"

namespace vdisk::test {

namespace {

using namespace vhd_damage;
using vhd::FooterCopy;

BuiltVhd dynamic() { return build(VhdSpec{.size = 64_KiB, .blocks = {{3}, {9}, {15}}}); }
BuiltVhd fixed(bool short_footer = false) {
    return build(VhdSpec{.type = 2, .size = 8_KiB, .short_footer = short_footer});
}

Result<vhd::Layout> layout_of(const File& file, OpenOptions options = {}) {
    return vhd::load_layout(MemoryStorage(file), options.checksums, options.size_rule);
}
FooterCopy copy_of(const File& file) { return value_of(layout_of(file)).footer_copy; }

void spoil(File& file, uint64_t at, uint64_t length) {
    std::fill_n(file.begin() + static_cast<ptrdiff_t>(at), length, byte{0xEE});
}

// What `creator` makes of a disk of 8 MiB whose geometry says 1 MiB less.
uint64_t size_of(std::string_view creator, SizeRule rule,
                 std::array<uint16_t, 3> geometry = {7 * 16, 4, 32}) {
    VhdSpec spec{.size = 8_MiB, .block_bits = 16, .geometry = geometry};
    spec.creator = creator;
    const File file = build(spec).file;
    return value_of(layout_of(file, {.size_rule = rule})).size;
}

}  // namespace

TEST_CASE("vhd: the footer at the end serves, else the copy at the front", "[vhd][footer]") {
    const BuiltVhd image = dynamic();
    File file = image.file;
    CHECK(copy_of(file) == FooterCopy::end);
    CHECK(value_of(layout_of(file)).data_end == image.footer_at);
    SECTION("the front is lost") {
        spoil(file, 0, 512);
        CHECK(copy_of(file) == FooterCopy::end);
    }
    SECTION("the end is rubbish") {
        spoil(file, image.footer_at, 512);
        CHECK(copy_of(file) == FooterCopy::front);
        CHECK(value_of(layout_of(file)).data_end == file.size());
    }
    SECTION("the end is cut off, or torn") {
        for (const uint64_t left : {0u, 1u, 100u, 511u}) {
            file.resize(image.footer_at + left);
            CHECK(copy_of(file) == FooterCopy::front);
        }
    }
    SECTION("something was added") {
        for (const uint64_t more : {1u, 511u, 512u, 70000u}) {
            file.resize(image.file.size() + more);
            CHECK(copy_of(file) == FooterCopy::front);
        }
    }
    CHECK(judged(file).bytes == image.guest.bytes);
}

TEST_CASE("vhd: both footers lost", "[vhd][footer]") {
    const BuiltVhd image = dynamic();
    File file = image.file;
    spoil(file, 0, 512);
    file.resize(image.footer_at);
    check_refusal(judged(file), Errc::corrupt,
                  "vhd: there is no footer, at the end or at the front");
}

TEST_CASE("vhd: a footer of 511 bytes", "[vhd][footer]") {
    const BuiltVhd image = fixed(true);
    CHECK(image.file.size() == 8_KiB + 511);
    CHECK(copy_of(image.file) == FooterCopy::short_end);
    CHECK(value_of(layout_of(image.file)).data_end == 8_KiB);
    CHECK(judged(image.file).bytes == image.guest.bytes);
    CHECK(writer_says(image.file) == "");
    CHECK(rule(judged(File(image.file.begin(), image.file.end() - 1))) ==
          "vhd: there is no footer, at the end or at the front");
}

TEST_CASE("vhd: the front alone makes no fixed disk", "[vhd][footer]") {
    File file = fixed().file;
    File guest(file.end() - 512, file.end());  // a guest wrote it there
    guest.resize(64_KiB);
    check_refusal(judged(guest), Errc::corrupt,
                  "vhd: there is no footer, at the end or at the front");
    std::copy_n(guest.begin(), 512, file.begin());
    CHECK(copy_of(file) == FooterCopy::end);
}

TEST_CASE("vhd: what a guest has at the front of a fixed disk is no footer", "[vhd][footer]") {
    const BuiltVhd inner = dynamic();
    File file = fixed().file;
    std::copy_n(inner.file.begin(), 512, file.begin());
    CHECK(value_of(layout_of(file)).is_fixed());
    CHECK(copy_of(file) == FooterCopy::end);
}

TEST_CASE("vhd: Xen's flag in byte 85 may be missing in the checksum", "[vhd][footer]") {
    VhdSpec spec{.size = 64_KiB};
    const auto with = [&](std::string creator, uint32_t version, uint64_t at) {
        spec.creator = creator;
        const BuiltVhd image = build(spec);
        File file = image.file;
        set_be32(file, 32, version);
        set_be32(file, image.footer_at + 32, version);
        seal(file, image);
        file[at] = file[image.footer_at + at] = byte{1};
        return rule(judged(file));
    };
    const char* const wrong = "vhd: checksum of the footer is wrong (ignoring checksums reads it)";
    CHECK(with("tap", 0x00000001, 85) == fine);
    CHECK(with("tap", 0x00010001, 85) == fine);
    CHECK(with("tap", 0x00010003, 85) == wrong);
    CHECK(with("tap", 0x00000001, 86) == wrong);
    CHECK(with("win ", 0x00000001, 85) == wrong);
}

TEST_CASE("vhd: the size rules", "[vhd][size]") {
    constexpr uint64_t by_geometry = 7_MiB;
    for (const char* const creator : {"vpc ", "vs  ", "qemu", "vbox", "wa", "Win ", "qem", ""}) {
        CAPTURE(creator);
        CHECK(size_of(creator, SizeRule::bytes) == 8_MiB);
        CHECK(size_of(creator, SizeRule::geometry) == by_geometry);
        CHECK(size_of(creator, SizeRule::creator) == by_geometry);
    }
    const std::string nul(1, '\0');
    for (const std::string& creator :
         {std::string("win "), std::string("qem2"), std::string("d2v "), "d2v" + nul,
          std::string("tap "), "tap" + nul, std::string("CTXS")}) {
        CAPTURE(creator);
        CHECK(size_of(creator, SizeRule::bytes) == 8_MiB);
        CHECK(size_of(creator, SizeRule::geometry) == by_geometry);
        CHECK(size_of(creator, SizeRule::creator) == 8_MiB);
    }
    for (const auto rule : {SizeRule::bytes, SizeRule::geometry, SizeRule::creator}) {
        CHECK(size_of("qemu", rule, {65535, 16, 255}) == 8_MiB);
    }
}

TEST_CASE("vhd: a geometry that says more", "[vhd][size]") {
    const OpenOptions options = {.size_rule = SizeRule::geometry};
    const BuiltVhd small = build(VhdSpec{.size = 64_KiB, .geometry = {2, 2, 33}});
    check_refusal(judge<Vhd>(small.file, options), Errc::corrupt,
                  "vhd: block allocation table is too small for the disk");
    const BuiltVhd spare =
        build(VhdSpec{.size = 64_KiB, .blocks = {{15}}, .more_entries = 1, .geometry = {2, 2, 33}});
    File wanted = spare.guest.bytes;
    wanted.resize(66_KiB);
    CHECK(judge<Vhd>(spare.file, options).bytes == wanted);
    CHECK(writer_says(spare.file, options) == "vhd: a size by geometry is only read");
    CHECK(writer_says(spare.file) == "");

    VhdSpec spec{.type = 2, .size = 64_KiB, .geometry = {2, 2, 33}};
    check_refusal(judge<Vhd>(build(spec).file, options), Errc::corrupt,
                  "vhd: the file is shorter than the fixed disk in it");
    spec.geometry = {0, 0, 0};
    CHECK(judge<Vhd>(build(spec).file, options).bytes.empty());
    CHECK(judged(build(spec).file).bytes.size() == 64_KiB);
}

}  // namespace vdisk::test
