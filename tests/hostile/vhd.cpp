// SPDX-License-Identifier: BSL-1.0
// Every field of footer and header at its edges, and beyond.
#include "hostile/vhd_damage.hpp"

namespace vdisk::test {

namespace {

using namespace vhd_damage;

constexpr auto corrupt = Errc::corrupt, unsupported = Errc::unsupported, limit = Errc::limit;
constexpr uint64_t all = ~uint64_t{0};

constexpr const char* bad_version = "vhd: file format version is not 1";
constexpr const char* bad_type = "vhd: disk type is none of fixed, dynamic, differencing";
constexpr const char* bad_size = "vhd: current size is not a multiple of 512";
constexpr const char* too_large = "vhd: size is beyond 2040 GiB";
constexpr const char* no_footer = "vhd: there is no footer, at the end or at the front";
constexpr const char* poisoned = "vhd: the image is marked as not to be used (v_poison)";
constexpr const char* odd_header = "vhd: data offset is not a multiple of 512";
constexpr const char* header_place =
    "vhd: the header overlaps a footer or is past the end of the file";
constexpr const char* no_header = "vhd: no header where the footer says (cxsparse)";
constexpr const char* bad_header_version = "vhd: header version is not 1";
constexpr const char* bad_block = "vhd: block size is not a power of two, 512 or more";
constexpr const char* large_block = "vhd: block size is beyond 256 MiB";
constexpr const char* odd_table = "vhd: table offset is not a multiple of 512";
constexpr const char* table_past_end = "vhd: block allocation table ends past the end of the file";
constexpr const char* table_overlaps =
    "vhd: block allocation table overlaps the footer or the header";
constexpr const char* small_table = "vhd: block allocation table is too small for the disk";
constexpr const char* large_table = "vhd: block allocation table is larger than 256 MiB";
constexpr const char* footer_checksum =
    "vhd: checksum of the footer is wrong (ignoring checksums reads it)";
constexpr const char* header_checksum =
    "vhd: checksum of the header is wrong (ignoring checksums reads it)";

// 150 blocks of 4 KiB, of which four are there.
const BuiltVhd& plain() {
    static const BuiltVhd image = build(VhdSpec{
        .size = 600_KiB, .blocks = {{0}, {1}, {70}, {149}}, .gap_at_front = 2, .gap_at_table = 3});
    return image;
}
const BuiltVhd& fixed() {
    static const BuiltVhd image = build(VhdSpec{.type = 2, .size = 8_KiB});
    return image;
}

}  // namespace

TEST_CASE("vhd: footer fields", "[vhd][hostile]") {
    CHECK(judged(plain().file).bytes == plain().guest.bytes);
    const uint64_t end = plain().footer_at;
    run(plain(),
        {
            {"cookie", footer64(0, 0), corrupt, no_footer},
            {"cookie of a header", footer64(0, 0x6378737061727365), corrupt, no_footer},
            {"poison", footer64(0, 0x765F706F69736F6E), unsupported, poisoned},
            {"unknown features", footer32(8, ~0u), corrupt, fine},
            {"version 0", footer32(12, 0), unsupported, bad_version},
            {"version 1.1", footer32(12, 0x00010001), unsupported, fine},
            {"version 2", footer32(12, 0x00020000), unsupported, bad_version},
            {"version 65535", footer32(12, ~0u), unsupported, bad_version},
            {"type 0", footer32(60, 0), unsupported, bad_type},
            {"type 1", footer32(60, 1), unsupported, bad_type},
            {"type 5", footer32(60, 5), unsupported, bad_type},
            {"type 6", footer32(60, 6), unsupported, bad_type},
            {"type 2^32 - 1", footer32(60, ~0u), unsupported, bad_type},
            {"size 0", footer64(48, 0), corrupt, fine},
            {"size 1", footer64(48, 1), corrupt, bad_size},
            {"size 511", footer64(48, 600_KiB - 1), corrupt, bad_size},
            {"a block more than the table has", footer64(48, 600_KiB + 512), corrupt, small_table},
            {"2040 GiB", footer64(48, 2040_GiB), corrupt, small_table},
            {"2040 GiB and a sector", footer64(48, 2040_GiB + 512), limit, too_large},
            {"2^63", footer64(48, uint64_t{1} << 63), limit, too_large},
            {"2^64 - 512", footer64(48, all - 511), limit, too_large},
            {"2^64 - 1", footer64(48, all), corrupt, bad_size},
            {"saved state", footer32(84, ~0u), corrupt, fine},
            {"header at 0", footer64(16, 0), corrupt, header_place},
            {"header at 511", footer64(16, 511), corrupt, odd_header},
            {"header at 512, where none is", footer64(16, 512), corrupt, no_header},
            {"header where none is", footer64(16, plain().table_at), corrupt, no_header},
            {"header into the footer", footer64(16, end - 512), corrupt, header_place},
            {"header at the footer", footer64(16, end), corrupt, header_place},
            {"header past the end", footer64(16, end + 512), corrupt, header_place},
            {"header at 2^63", footer64(16, uint64_t{1} << 63), corrupt, header_place},
            {"header whose end wraps", footer64(16, all - 1023), corrupt, header_place},
            {"header nowhere", footer64(16, all), corrupt, odd_header},
        });
}

TEST_CASE("vhd: footer fields of a fixed disk", "[vhd][hostile]") {
    const char* const too_short = "vhd: the file is shorter than the fixed disk in it";
    run(fixed(), {
                     {"as it is", footer32(8, 2), corrupt, fine},
                     {"size 0", footer64(48, 0), corrupt, fine},
                     {"a sector less", footer64(48, 8_KiB - 512), corrupt, fine},
                     {"a sector more", footer64(48, 8_KiB + 512), corrupt, too_short},
                     {"2040 GiB", footer64(48, 2040_GiB), corrupt, too_short},
                     {"2^64 - 512", footer64(48, all - 511), limit, too_large},
                     {"a data offset", footer64(16, 77), corrupt, fine},
                     {"no longer fixed", footer32(60, 3), corrupt, odd_header},
                     {"cookie", footer64(0, 0), corrupt, no_footer},
                     {"poison", footer64(0, 0x765F706F69736F6E), unsupported, poisoned},
                 });
}

TEST_CASE("vhd: header fields", "[vhd][hostile]") {
    const uint64_t end = plain().footer_at, header = plain().header_at, table = plain().table_at;
    run(plain(),
        {
            {"cookie", header64(0, 0), corrupt, no_header},
            {"next structure", header64(8, 0), corrupt, fine},
            {"version 0", header32(24, 0), unsupported, bad_header_version},
            {"version 1.1", header32(24, 0x00010001), unsupported, fine},
            {"version 2", header32(24, 0x00020000), unsupported, bad_header_version},
            {"block size 0", header32(32, 0), corrupt, bad_block},
            {"block size 1", header32(32, 1), corrupt, bad_block},
            {"block size 256", header32(32, 256), corrupt, bad_block},
            {"block size 4095", header32(32, 4095), corrupt, bad_block},
            {"block size 6144", header32(32, 6144), corrupt, bad_block},
            {"block size 2^32 - 1", header32(32, ~0u), corrupt, bad_block},
            {"block size 2^29", header32(32, 1u << 29), limit, large_block},
            {"block size 2^31", header32(32, 1u << 31), limit, large_block},
            {"block size 512: too many", header32(32, 512), corrupt, small_table},
            {"table at 0", header64(16, 0), corrupt, table_overlaps},
            {"table at 511", header64(16, 511), corrupt, odd_table},
            {"table into the header", header64(16, header - 512), corrupt, table_overlaps},
            {"table at the header", header64(16, header), corrupt, table_overlaps},
            {"table at its end", header64(16, header + 512), corrupt, table_overlaps},
            {"table into the footer", header64(16, end - 512), corrupt, table_past_end},
            {"table far away", header64(16, end + 512), corrupt, table_past_end},
            {"table at 2^63", header64(16, uint64_t{1} << 63), corrupt, table_past_end},
            {"table whose end wraps", header64(16, all - 511), corrupt, table_past_end},
            {"table nowhere", header64(16, all), corrupt, odd_table},
            {"no entries", header32(28, 0), corrupt, small_table},
            {"an entry short", header32(28, 149), corrupt, small_table},
            {"too many entries", header32(28, (end - table) / 4 + 1), corrupt, table_past_end},
            {"2^26 entries", header32(28, 1u << 26), corrupt, table_past_end},
            {"2^26 entries and one", header32(28, (1u << 26) + 1), limit, large_table},
            {"2^30 entries", header32(28, 1u << 30), limit, large_table},
            {"2^32 - 1 entries", header32(28, ~0u), limit, large_table},
            {"reserved bytes", header32(60, ~0u), corrupt, fine},
            {"time stamp of a parent", header32(56, ~0u), corrupt, fine},
        });
}

TEST_CASE("vhd: checksums that lie", "[vhd][hostile][checksum]") {
    const OpenOptions ignored = {.checksums = Checksums::ignored};
    const auto poke = [](std::initializer_list<uint64_t> places) {
        File file = plain().file;
        for (const uint64_t at : places) file[at] ^= byte{1};
        return file;
    };
    const uint64_t end = plain().footer_at;
    SECTION("of both footers") {
        const File file = poke({64, end + 67});
        check_refusal(judged(file), corrupt, footer_checksum);
        CHECK(judged(file, ignored).bytes == plain().guest.bytes);
        CHECK(writer_says(file) == footer_checksum);
        CHECK(writer_says(file, ignored) == "vhd: an image with a wrong checksum is only read");
    }
    SECTION("of a byte that is reserved") {
        const File file = poke({511, end + 100});
        check_refusal(judged(file), corrupt, footer_checksum);
        CHECK(judged(file, ignored).bytes == plain().guest.bytes);
    }
    SECTION("of the header") {
        const File file = poke({plain().header_at + 36});
        check_refusal(judged(file), corrupt, header_checksum);
        CHECK(judged(file, ignored).bytes == plain().guest.bytes);
        CHECK(writer_says(file, ignored) == "vhd: an image with a wrong checksum is only read");
    }
    SECTION("of one footer: the other serves") {
        CHECK(judged(poke({64})).bytes == plain().guest.bytes);
        CHECK(judged(poke({end + 64})).bytes == plain().guest.bytes);
    }
    SECTION("a right one counts, though the wrong one comes first") {
        File file = poke({end + 64});
        set_be32(file, end + 60, 77);
        CHECK(judged(file, ignored).bytes == plain().guest.bytes);
    }
    SECTION("of a fixed disk") {
        File file = fixed().file;
        file.back() = byte{1};
        check_refusal(judged(file), corrupt, footer_checksum);
        CHECK(judged(file, ignored).bytes == fixed().guest.bytes);
    }
}

TEST_CASE("vhd: ignoring checksums ignores nothing else", "[vhd][hostile][checksum]") {
    const OpenOptions ignored = {.checksums = Checksums::ignored};
    const std::vector<Case> cases = {
        {"type", footer32(60, 9), unsupported, bad_type},
        {"size", footer64(48, all - 511), limit, too_large},
        {"header", footer64(16, all - 511), corrupt, header_place},
        {"block size", header32(32, 0), corrupt, bad_block},
        {"table", header64(16, all - 511), corrupt, table_past_end},
    };
    for (const Case& c : cases) {
        DYNAMIC_SECTION(c.name) {
            File file = plain().file;
            c.change(file, plain());  // and no seal
            check_refusal(judged(file, ignored), c.code, c.what);
        }
    }
}

TEST_CASE("vhd: files too short for anything", "[vhd][hostile]") {
    for (const size_t size : {0u, 1u, 510u, 511u}) {
        CAPTURE(size);
        check_refusal(judged(File(size)), corrupt, no_footer);
        File start(plain().file.begin(), plain().file.begin() + static_cast<int>(size));
        check_refusal(judged(start), corrupt, no_footer);
    }
    // A fixed disk of no bytes is a footer alone, and a footer alone nothing else.
    File alone(fixed().file.end() - 512, fixed().file.end());
    check_refusal(judged(alone), corrupt, "vhd: the file is shorter than the fixed disk in it");
    alone.assign(plain().file.begin(), plain().file.begin() + 512);
    check_refusal(judged(alone), corrupt, header_place);
}

}  // namespace vdisk::test
