// SPDX-License-Identifier: BSL-1.0
// Block allocation tables and bitmaps that lie; what is read but not written.
#include <vdisk/format/vhd/recover.hpp>

#include "hostile/vhd_damage.hpp"

namespace vdisk::test {

namespace {

using namespace vhd_damage;

constexpr auto corrupt = Errc::corrupt;
constexpr const char* past_end = "vhd: block lies past the end of the file";
constexpr const char* overlaps_tables =
    "vhd: block overlaps the header or the block allocation table";
constexpr const char* ends_past_end = "vhd: block ends past the end of the file";
constexpr const char* overlaps_areas =
    "vhd: block overlaps the header, a table or a parent locator";
constexpr const char* two_overlap = "vhd: two blocks overlap";
constexpr const char* outside = "vhd: a parent locator or a map ends past the end of the file";
constexpr const char* differ = "vhd: the two footers differ (repair makes them alike)";
constexpr const char* lost_end = "vhd: the footer at the end is lost (repair writes it again)";

const BuiltVhd& plain() {
    static const BuiltVhd image = build(VhdSpec{.type = 4,
                                                .size = 600_KiB,
                                                .blocks = {{0}, {1}, {70}, {149}},
                                                .gap_at_front = 4,
                                                .gap_at_table = 4,
                                                .more_entries = 3,
                                                .locators = {{"W2ru", utf16le(u"p.vhd")}}});
    return image;
}

// The table entry of block 70.
Change entry(uint64_t value) {
    return [=](File& file, const BuiltVhd& image) { set_be32(file, image.entry_at.at(70), value); };
}

File recovered(const File& file) {
    GrowableMemory memory(file);
    Borrowed<GrowableMemory> storage(memory);
    REQUIRE(vhd::recover(storage, Heap{}));
    return File(memory.bytes().begin(), memory.bytes().end());
}

}  // namespace

TEST_CASE("vhd: table entries that lie", "[vhd][hostile]") {
    const BuiltVhd& image = plain();
    const uint64_t end = image.footer_at / sector, header = image.header_at / sector;
    const uint64_t table = image.table_at / sector, stride = 9;
    run(image, {
                   {"not allocated", entry(0xFFFFFFFF), corrupt, fine},
                   {"2^32 - 2", entry(0xFFFFFFFE), corrupt, past_end},
                   {"2^31", entry(0x80000000), corrupt, past_end},
                   {"the front footer", entry(0), corrupt, overlaps_tables},
                   {"a gap too small", entry(1), corrupt, overlaps_tables},
                   {"its last sector is the header", entry(header - 1), corrupt, overlaps_tables},
                   {"the header", entry(header), corrupt, overlaps_tables},
                   {"the end of the header", entry(header + 1), corrupt, overlaps_tables},
                   {"up to the table", entry(table - 1), corrupt, overlaps_tables},
                   {"the table", entry(table), corrupt, overlaps_tables},
                   {"the end of the table", entry(table + 1), corrupt, overlaps_tables},
                   {"the footer", entry(end), corrupt, past_end},
                   {"past the footer", entry(end + 1), corrupt, past_end},
                   {"cut short by the footer", entry(end - 1), corrupt, fine},
                   {"the place of another", entry(end - 2 * stride), corrupt, fine},
               });
}

TEST_CASE("vhd: entries that stand for no block are not looked at", "[vhd][hostile]") {
    File file = plain().file;
    for (uint64_t i = 150; i != 153; ++i) set_be32(file, plain().table_at + i * 4, i - 150);
    CHECK(judged(file).bytes == plain().guest.bytes);
    CHECK(writer_says(file) == "");
}

TEST_CASE("vhd: the writer looks at every entry", "[vhd][hostile][write]") {
    const BuiltVhd& image = plain();
    const uint64_t end = image.footer_at / sector;
    std::vector<uint64_t> places;
    for (const uint64_t index : {0u, 1u, 149u}) places.push_back(image.bitmap_at.at(index));
    std::ranges::sort(places);
    const uint64_t other = places[1] / sector;  // has neighbours on both sides
    const uint64_t locator = get_be64(image.file, image.locator_at[0] + 16) / sector;
    const std::tuple<const char*, uint64_t, const char*> cases[] = {
        {"as it is", image.bitmap_at.at(70) / sector, ""},
        {"not allocated", 0xFFFFFFFF, ""},
        {"2^32 - 2", 0xFFFFFFFE, ends_past_end},
        {"the front footer", 0, overlaps_areas},
        {"the header", image.header_at / sector, overlaps_areas},
        {"the table", image.table_at / sector, overlaps_areas},
        {"a locator", locator, overlaps_areas},
        {"up to a locator", locator - 8, overlaps_areas},
        {"cut short by the footer", end - 1, ends_past_end},
        {"the place of another", other, two_overlap},
        {"its last sector", other + 8, two_overlap},
        {"its first sector", other - 8, two_overlap},
    };
    for (const auto& [name, value, what] : cases) {
        DYNAMIC_SECTION(name) { CHECK(writer_says(damaged(image, entry(value))) == what); }
    }
}

TEST_CASE("vhd: a map of XenServer that lies", "[vhd][hostile][write]") {
    const BuiltVhd image = build(VhdSpec{.size = 600_KiB,
                                         .blocks = {{0, 1, Claims::all}, {1}, {149}},
                                         .creator = std::string("tap\0", 4),
                                         .creator_version = 0x00010003,
                                         .map = true});
    const uint64_t end = image.footer_at, first = image.bitmap_at.begin()->second;
    struct Lie {
        const char* name;
        uint64_t offset;
        uint32_t sectors;
        const char* what;
    };
    const Lie lies[] = {
        {"as it is", image.map_at, 1, ""},
        {"of no size", image.map_at, 0, ""},
        {"the front footer", 0, 1, ""},
        {"the header", image.header_at, 2, ""},
        {"the table", image.table_at, 1, ""},
        {"its own header", image.map_header_at, 1, ""},
        {"a block", first, 1, overlaps_areas},
        {"the last byte of a block", first + 512 + 4095, 1, overlaps_areas},
        {"all of the file", 0, static_cast<uint32_t>(end / sector), overlaps_areas},
        {"the footer", end, 1, outside},
        {"no size at the footer", end, 0, ""},
        {"cut short by the footer", end - 511, 1, outside},
        {"past the footer", end + 512, 0, outside},
        {"2^63", uint64_t{1} << 63, 1, outside},
        {"2^64 - 1", ~uint64_t{0}, 1, outside},
        {"sums wrap", ~uint64_t{0} - 510, 1, outside},
        {"2^32 - 1 sectors", image.map_at, 0xFFFFFFFF, outside},
    };
    for (const Lie& lie : lies) {
        INFO(lie.name);
        File file = image.file;
        set_be64(file, image.map_header_at + 8, lie.offset);
        set_be32(file, image.map_header_at + 16, lie.sectors);
        CHECK(judged(file).bytes == image.guest.bytes);
        CHECK(writer_says(file) == lie.what);
        set_be32(file, image.map_header_at + 20, 0xFFFFFFFF);  // of another version,
        set_be32(file, image.map_header_at + 24, 0x12345678);  // with a wrong checksum
        CHECK(writer_says(file) == lie.what);
        file[image.map_header_at] ^= byte{1};  // no map at all
        CHECK(writer_says(file) == "");
    }
}

TEST_CASE("vhd: what lies past the end of the file is not grown into", "[vhd][hostile][write]") {
    const BuiltVhd& image = plain();
    const uint64_t end = image.footer_at, locator = image.locator_at[0];
    const auto says = [&](uint64_t at, uint64_t space, uint64_t length) {
        File file = image.file;
        set_be32(file, locator + 4, space);
        set_be32(file, locator + 8, length);
        set_be64(file, locator + 16, at);
        seal(file, image);
        return writer_says(file);
    };
    CHECK(says(image.bitmap_at.at(0) + 512, 512, 10) == overlaps_areas);
    CHECK(says(image.table_at - 512, 512, 10) == "");
    for (const uint64_t at : {end + 512, end + 4096, ~uint64_t{0} - 511}) {
        CAPTURE(at);
        CHECK(says(at, 512, 10) == outside);
        CHECK(says(at, 0, 10) == outside);
        CHECK(says(at, 512, 0) == "");
        CHECK(says(at, 0, 0) == "");
    }
    // Room that is claimed is nobody's path.
    CHECK(says(end - 512, 1024, 10) == "");
    CHECK(says(end - 512, 0, ~0u) == outside);
}

TEST_CASE("vhd: a last block that is cut short ends in zeros", "[vhd][eof][hostile]") {
    const BuiltVhd image =
        build(VhdSpec{.size = 16_KiB, .blocks = {{0}, {3, 7, Claims::all}}, .shuffle = 0});
    const uint64_t contents = image.bitmap_at.at(3) + sector;
    for (const uint64_t kept : {4095u, 3000u, 512u, 1u, 0u}) {  // and the end footer is lost
        CAPTURE(kept);
        File file = image.file;
        file.resize(contents + kept);
        File wanted = image.guest.bytes;
        std::fill(wanted.begin() + static_cast<ptrdiff_t>(12_KiB + kept), wanted.end(), byte{0});
        CHECK(judged(file).bytes == wanted);
        CHECK(writer_says(file) == lost_end);
        CHECK(recovered(file) == file);  // a block is damaged: nothing that recovery mends
    }
    File file = image.file;
    file.resize(contents - 1);
    check_refusal(judged(file), corrupt, past_end);
}

TEST_CASE("vhd: tables of an odd number of entries end where the file ends",
          "[vhd][eof][hostile]") {
    for (const uint64_t blocks : {1u, 2u, 3u, 127u}) {
        CAPTURE(blocks);
        const BuiltVhd image = build(VhdSpec{.size = blocks * 4_KiB});
        File file = image.file;
        file.resize(image.table_at + blocks * 4);
        CHECK(judged(file).bytes == image.guest.bytes);
        file.pop_back();
        check_refusal(judged(file), corrupt,
                      "vhd: block allocation table ends past the end of the file");
    }
}

TEST_CASE("vhd: a suspended machine's disk is read, and not written", "[vhd][hostile][write]") {
    const File file = damaged(plain(), footer32(84, 0x01000000));
    CHECK(judged(file).bytes == plain().guest.bytes);
    CHECK(writer_says(file) == "vhd: the disk belongs to a suspended machine");
    CHECK(recovered(file) == file);
}

TEST_CASE("vhd: footers that differ", "[vhd][hostile][write]") {
    File file = plain().file;
    set_be32(file, 24, 12345);  // the time stamp of that at the front
    seal(file, plain());
    CHECK(judged(file).bytes == plain().guest.bytes);
    CHECK(writer_says(file) == differ);
    const File mended = recovered(file);
    CHECK(mended == plain().file);
    CHECK(writer_says(mended) == "");
}

TEST_CASE("vhd: a footer that is lost", "[vhd][hostile][write]") {
    const BuiltVhd& image = plain();
    File file = image.file;
    SECTION("at the front") {
        std::fill_n(file.begin(), 512, byte{0xEE});
        CHECK(judged(file).bytes == image.guest.bytes);
        CHECK(writer_says(file) == differ);
        CHECK(recovered(file) == image.file);
    }
    SECTION("at the end: written again behind the last block") {
        file.resize(image.footer_at);
        CHECK(judged(file).bytes == image.guest.bytes);
        CHECK(writer_says(file) == lost_end);
    }
    SECTION("at the end, which is rubbish of any length") {
        file.resize(image.footer_at + 333, byte{0xEE});
        CHECK(judged(file).bytes == image.guest.bytes);
        CHECK(writer_says(file) == lost_end);
    }
    const File mended = recovered(file);
    CHECK(judged(mended).bytes == image.guest.bytes);
    CHECK(writer_says(mended) == "");
    CHECK(std::equal(mended.end() - 512, mended.end(), image.file.end() - 512));
}

}  // namespace vdisk::test
