// SPDX-License-Identifier: BSL-1.0
// Every field of headers, region table, metadata and BAT at its edges, and beyond.
#include "hostile/vhdx_damage.hpp"

namespace vdisk::test {

namespace {

using namespace vhdx_damage;

constexpr auto corrupt = Errc::corrupt, unsupported = Errc::unsupported, limit = Errc::limit;
constexpr uint64_t last_mib = ~uint64_t{0} - (1_MiB - 1);
constexpr auto bat = &BuiltVhdx::bat_region, metadata = &BuiltVhdx::metadata_region;

constexpr const char* no_header = "vhdx: neither header is valid";
constexpr const char* bad_version = "vhdx: version is not 1";
constexpr const char* log_version = "vhdx: log version is not 0";
constexpr const char* log_length = "vhdx: log length is 0 or not a multiple of 1 MiB";
constexpr const char* long_log = "vhdx: log is longer than 1 GiB";
constexpr const char* log_place =
    "vhdx: log is not at a whole MiB inside the file, behind the first";
constexpr const char* no_table = "vhdx: neither region table is valid";
constexpr const char* many_regions = "vhdx: more than 2047 regions";
constexpr const char* no_bat = "vhdx: there is no BAT region";
constexpr const char* no_metadata = "vhdx: there is no metadata region";
constexpr const char* region_place =
    "vhdx: region is not whole MiB inside the file, behind the first";
constexpr const char* region_overlaps = "vhdx: region overlaps the log or another region";
constexpr const char* unknown_region = "vhdx: a region is required that is not known";
constexpr const char* no_items = "vhdx: metadata region has no signature";
constexpr const char* many_items = "vhdx: more than 2047 metadata items";
constexpr const char* item_missing = "vhdx: a metadata item is missing";
constexpr const char* item_place =
    "vhdx: metadata item is too long or not behind the table in its region";
constexpr const char* item_length = "vhdx: metadata item has a wrong length";
constexpr const char* item_twice = "vhdx: metadata item comes twice";
constexpr const char* unknown_item = "vhdx: a metadata item is required that is not known";
constexpr const char* block_size = "vhdx: block size is not a power of two from 1 to 256 MiB";
constexpr const char* bad_size = "vhdx: size is 0 or beyond 64 TiB";
constexpr const char* odd_size = "vhdx: size is not a multiple of the logical sector";
constexpr const char* bad_sector = "vhdx: sector size is neither 512 nor 4096";
constexpr const char* no_locator = "vhdx: differencing image without a parent locator";
constexpr const char* small_bat = "vhdx: BAT region is too small for the disk";
constexpr const char* bad_state = "vhdx: BAT entry has a state that it cannot have";
constexpr const char* reserved = "vhdx: reserved bits of a BAT entry are set";
constexpr const char* block_place = "vhdx: block lies in the first MiB or past the end of the file";
constexpr const char* block_overlaps = "vhdx: block overlaps the log or a region";
constexpr const char* no_bitmap = "vhdx: a block is partially present without a sector bitmap";

// Log, BAT, metadata, and two blocks in 6 MiB.
const BuiltVhdx& plain() {
    static const BuiltVhdx image =
        build(VhdxSpec{.size = 2_MiB + 64_KiB, .blocks = {{0}, {1, 2}, {2}}, .shuffle = 0});
    return image;
}
const BuiltVhdx& child() {
    static const BuiltVhdx image = build(VhdxSpec{.size = 2_MiB + 64_KiB,
                                                  .has_parent = true,
                                                  .blocks = {{0, 7}, {1, 0}, {2, 6}},
                                                  .shuffle = 0});
    return image;
}

}  // namespace

TEST_CASE("vhdx: header fields", "[vhdx][hostile]") {
    CHECK(judged(plain().file).bytes == plain().guest.bytes);
    CHECK(judged(child().file).bytes == child().guest.bytes);
    const auto guid = header(48, 1, 4);
    run(plain(), {
                     {"signature", header(0, 0, 4), corrupt, no_header},
                     {"version 0", header(66, 0, 2), unsupported, bad_version},
                     {"version 2", header(66, 2, 2), unsupported, bad_version},
                     {"version 65535", header(66, 65535, 2), unsupported, bad_version},
                     {"log version, no log", header(64, 1, 2), corrupt, fine},
                     {"log version", both(guid, header(64, 1, 2)), unsupported, log_version},
                     {"no log at all", header(68, 0, 4), corrupt, fine},
                     {"no log, at any place", both(header(68, 0, 4), header(72, 2_MiB + 5, 8)),
                      corrupt, fine},
                     {"no room, but a log", both(guid, header(68, 0, 4)), corrupt, log_length},
                     {"log of 1 byte", header(68, 1, 4), corrupt, log_length},
                     {"log of 512 KiB", header(68, 512_KiB, 4), corrupt, log_length},
                     {"log of 2^32 - 1", header(68, ~0u, 4), corrupt, log_length},
                     {"log of 1 GiB", header(68, 1_GiB, 4), corrupt, log_place},
                     {"log of 1025 MiB", header(68, 1025_MiB, 4), limit, long_log},
                     {"log of 4095 MiB", header(68, 4095_MiB, 4), limit, long_log},
                     {"log at 0", header(72, 0, 8), corrupt, log_place},
                     {"log at 512 KiB", header(72, 512_KiB, 8), corrupt, log_place},
                     {"log at an odd place", header(72, 1_MiB + 1, 8), corrupt, log_place},
                     {"log at the end", header(72, 5_MiB + 1_MiB, 8), corrupt, log_place},
                     {"log whose end wraps", header(72, last_mib, 8), corrupt, log_place},
                     {"log at 2^63", header(72, uint64_t{1} << 63, 8), corrupt, log_place},
                     {"log over the BAT", header(72, 2_MiB, 8), corrupt, region_overlaps},
                     {"log into the BAT", header(68, 2_MiB, 4), corrupt, region_overlaps},
                     {"log over the metadata", header(72, 3_MiB, 8), corrupt, region_overlaps},
                     {"log over a block", header(72, 4_MiB, 8), corrupt, block_overlaps},
                     {"log without entries", guid, corrupt,
                      "vhdx: the header names a log that has no valid entries"},
                     {"reserved bytes", header(4088, 77, 8), corrupt, fine},
                 });
}

TEST_CASE("vhdx: region table fields", "[vhdx][hostile]") {
    const uint64_t nowhere = uint64_t{1} << 63;
    const Change strange_bat = region64(bat, 0, 7), strange_metadata = region64(metadata, 0, 7);
    const auto twice = [](uint64_t BuiltVhdx::*from, uint64_t BuiltVhdx::*to) -> Change {
        return [=](File& file, const BuiltVhdx& image) {
            for (const uint64_t more : {0, 0x10000}) {
                const auto source = file.begin() + static_cast<ptrdiff_t>(image.*from + more);
                std::copy_n(source, 16, file.begin() + static_cast<ptrdiff_t>(image.*to + more));
            }
        };
    };
    run(plain(),
        {
            {"signature", table32(0, 0), corrupt, no_table},
            {"no regions", table32(8, 0), corrupt, no_bat},
            {"one region", table32(8, 1), corrupt, no_bat},
            {"three, one of zeros", table32(8, 3), corrupt, region_place},
            {"2047", table32(8, 2047), corrupt, region_place},
            {"2048", table32(8, 2048), corrupt, many_regions},
            {"2^32 - 1", table32(8, ~0u), corrupt, many_regions},
            {"reserved", table32(12, ~0u), corrupt, fine},
            {"BAT at 0", region64(bat, 16, 0), corrupt, region_place},
            {"BAT at 512 KiB", region64(bat, 16, 512_KiB), corrupt, region_place},
            {"BAT at an odd place", region64(bat, 16, 2_MiB + 512), corrupt, region_place},
            {"BAT at the end", region64(bat, 16, 6_MiB), corrupt, region_place},
            {"BAT at 2^63", region64(bat, 16, nowhere), corrupt, region_place},
            {"BAT whose end wraps", region64(bat, 16, last_mib), corrupt, region_place},
            {"BAT of no bytes", region32(bat, 24, 0), corrupt, region_place},
            {"BAT of 4 KiB", region32(bat, 24, 4096), corrupt, region_place},
            {"BAT of 2^32 - 1", region32(bat, 24, ~0u), corrupt, region_place},
            {"BAT past the end", region32(bat, 24, 5_MiB), corrupt, region_place},
            {"BAT over the log", region64(bat, 16, 1_MiB), corrupt, region_overlaps},
            {"BAT over metadata", region64(bat, 16, 3_MiB), corrupt, region_overlaps},
            {"BAT into metadata", region32(bat, 24, 2_MiB), corrupt, region_overlaps},
            {"BAT over a block", region64(bat, 16, 5_MiB), corrupt, reserved},
            {"metadata at 0", region64(metadata, 16, 0), corrupt, region_place},
            {"metadata in a block", region64(metadata, 16, 4_MiB), corrupt, no_items},
            {"metadata at the end", region64(metadata, 16, 6_MiB), corrupt, region_place},
            {"metadata past the end", region32(metadata, 24, 4_MiB), corrupt, region_place},
            {"BAT twice", twice(bat, metadata), corrupt, "vhdx: two BAT regions"},
            {"metadata twice", twice(metadata, bat), corrupt, "vhdx: two metadata regions"},
            {"unknown region, required", strange_bat, unsupported, unknown_region},
            {"unknown region", both(strange_bat, region32(bat, 28, 2)), corrupt, no_bat},
            {"unknown region for metadata", both(strange_metadata, region32(metadata, 28, 0)),
             corrupt, no_metadata},
            {"nothing is required", both(region32(bat, 28, 0), region32(metadata, 28, 0)), corrupt,
             fine},
        });
}

TEST_CASE("vhdx: the second region table serves where the first is damaged", "[vhdx][hostile]") {
    File file = plain().file;
    file[0x30000 + 1000] ^= byte{1};
    CHECK(judged(file).bytes == plain().guest.bytes);
    file[0x40000 + 1000] ^= byte{1};
    check_refusal(judged(file), corrupt, no_table);
    file = plain().file;  // the first counts, though the second is better
    set_le32(file, 0x30008, 1);
    seal_vhdx(file);
    check_refusal(judged(file), corrupt, no_bat);
}

TEST_CASE("vhdx: metadata table fields", "[vhdx][hostile]") {
    const auto table = [](uint64_t field, uint64_t value) -> Change {
        return [=](File& f, const BuiltVhdx& b) { set_le16(f, b.metadata_at + field, value); };
    };
    const auto named = [](const char* item, const char* other) -> Change {
        return [=](File& file, const BuiltVhdx& b) {
            const auto from = file.begin() + static_cast<ptrdiff_t>(b.item_entry.at(other));
            std::copy_n(from, 32, file.begin() + static_cast<ptrdiff_t>(b.item_entry.at(item)));
        };
    };
    run(plain(),
        {
            {"signature", table(0, 0), corrupt, no_items},
            {"no items", table(10, 0), corrupt, item_missing},
            {"four items", table(10, 4), corrupt, item_missing},
            {"empty ones besides", table(10, 2047), corrupt, fine},
            {"2048", table(10, 2048), corrupt, many_items},
            {"65535", table(10, 65535), corrupt, many_items},
            {"in the table", entry32("size", 16, 65535), corrupt, item_place},
            {"at 0", entry32("size", 16, 0), corrupt, item_place},
            {"at 0, of 0", both(entry32("size", 16, 0), entry32("size", 20, 0)), corrupt,
             item_length},
            {"at the end of the region", entry32("size", 16, 1_MiB), corrupt, item_place},
            {"past it by a byte", entry32("size", 16, 1_MiB - 7), corrupt, item_place},
            {"at the very end", entry32("size", 16, 1_MiB - 8), corrupt, bad_size},
            {"at 2^32 - 1", entry32("size", 16, ~0u), corrupt, item_place},
            {"too long", entry32("size", 20, 1_MiB + 1), corrupt, item_place},
            {"of 2^32 - 1", entry32("size", 20, ~0u), corrupt, item_place},
            {"of 0", entry32("size", 20, 0), corrupt, item_length},
            {"size of 7", entry32("size", 20, 7), corrupt, item_length},
            {"size of 9", entry32("size", 20, 9), corrupt, item_length},
            {"parameters of 4", entry32("parameters", 20, 4), corrupt, item_length},
            {"id of 15", entry32("id", 20, 15), corrupt, item_length},
            {"logical of 8", entry32("logical", 20, 8), corrupt, item_length},
            {"physical of 3", entry32("physical", 20, 3), corrupt, item_length},
            {"size twice", named("id", "size"), corrupt, item_twice},
            {"parameters twice", named("size", "parameters"), corrupt, item_twice},
            {"unknown, required", entry32("id", 0, 9), unsupported, unknown_item},
            {"unknown", both(entry32("id", 0, 9), entry32("id", 24, 2)), corrupt, item_missing},
            {"a user's, required", entry32("size", 24, 7), unsupported, unknown_item},
            {"a user's", entry32("size", 24, 1), corrupt, item_missing},
            {"no flags", entry32("size", 24, 0), corrupt, fine},
            {"reserved flags", entry32("size", 24, ~7u | 6), corrupt, fine},
        });
}

TEST_CASE("vhdx: metadata items", "[vhdx][hostile]") {
    const auto size = [](uint64_t value) { return item64("size", 0, value); };
    run(plain(),
        {
            {"blocks of 0", item32("parameters", 0, 0), corrupt, block_size},
            {"blocks of 1", item32("parameters", 0, 1), corrupt, block_size},
            {"blocks of 512 KiB", item32("parameters", 0, 512_KiB), corrupt, block_size},
            {"blocks of 3 MiB", item32("parameters", 0, 3_MiB), corrupt, block_size},
            {"blocks of 512 MiB", item32("parameters", 0, 512_MiB), corrupt, block_size},
            {"blocks of 2^32 - 1", item32("parameters", 0, ~0u), corrupt, block_size},
            {"blocks of 256 MiB", item32("parameters", 0, 256_MiB), corrupt, fine},
            {"fixed", item32("parameters", 4, 1), corrupt, fine},
            {"unknown flags", item32("parameters", 4, ~3u), corrupt, fine},
            {"a child", item32("parameters", 4, 2), corrupt, no_locator},
            {"size 0", size(0), corrupt, bad_size},
            {"size 1", size(1), corrupt, odd_size},
            {"size 511", size(511), corrupt, odd_size},
            {"64 TiB", size(64_TiB), corrupt, small_bat},
            {"64 TiB and a sector", size(64_TiB + 512), corrupt, bad_size},
            {"2^64 - 512", size(~uint64_t{511}), corrupt, bad_size},
            {"2^64 - 1", size(~uint64_t{0}), corrupt, bad_size},
            {"as much as the BAT holds", size(131041_MiB), corrupt, fine},
            {"a sector more", size(131041_MiB + 512), corrupt, small_bat},
            {"logical sectors of 0", item32("logical", 0, 0), corrupt, bad_sector},
            {"logical sectors of 1024", item32("logical", 0, 1024), corrupt, bad_sector},
            {"logical sectors of 2^32 - 1", item32("logical", 0, ~0u), corrupt, bad_sector},
            {"logical sectors of 4096", item32("logical", 0, 4096), corrupt, fine},
            {"half of one", both(item32("logical", 0, 4096), size(2_MiB + 512)), corrupt, odd_size},
            {"physical sectors of 0", item32("physical", 0, 0), corrupt, bad_sector},
            {"physical sectors of 8192", item32("physical", 0, 8192), corrupt, bad_sector},
        });
    DYNAMIC_SECTION("a child needs the entries of whole chunks") {
        run(child(), {
                         {"31 chunks", size(31 * 4096_MiB), corrupt, fine},
                         {"and a block", size(31 * 4096_MiB + 512), corrupt, small_bat},
                     });
    }
}

TEST_CASE("vhdx: BAT entries", "[vhdx][hostile]") {
    run(plain(), {
                     {"not present", block(0, 0), corrupt, fine},
                     {"undefined", block(0, 1), corrupt, fine},
                     {"zero, with a place", block(0, 4_MiB | 2), corrupt, fine},
                     {"unmapped, far away", block(0, last_mib | 3), corrupt, fine},
                     {"state 4", block(0, 4_MiB | 4), corrupt, bad_state},
                     {"state 5", block(0, 4_MiB | 5), corrupt, bad_state},
                     {"partially present", block(0, 4_MiB | 7), corrupt, bad_state},
                     {"reserved bit 3", block(1, 8), corrupt, reserved},
                     {"reserved bit 19", block(1, 1 << 19 | 2), corrupt, reserved},
                     {"at 0", block(0, 6), corrupt, block_place},
                     {"at the end", block(0, 6_MiB | 6), corrupt, block_place},
                     {"at the last MiB of 2^64", block(0, last_mib | 6), corrupt, block_place},
                     {"at 2^63", block(0, uint64_t{1} << 63 | 6), corrupt, block_place},
                     {"the log", block(0, 1_MiB | 6), corrupt, block_overlaps},
                     {"the BAT", block(2, 2_MiB | 6), corrupt, block_overlaps},
                     {"the metadata", block(2, 3_MiB | 6), corrupt, block_overlaps},
                     {"another's", block(2, 4_MiB | 6), corrupt, fine},
                 });
    run(child(), {
                     {"bitmap not present", bitmap(0), corrupt, no_bitmap},
                     {"bitmap zero", bitmap(4_MiB | 2), corrupt, no_bitmap},
                     {"bitmap partial", bitmap(4_MiB | 7), corrupt, no_bitmap},
                     {"bitmap at 0", bitmap(6), corrupt, block_place},
                     {"bitmap past the end", bitmap(9_MiB | 6), corrupt, block_place},
                     {"bitmap in the log", bitmap(1_MiB | 6), corrupt, block_overlaps},
                     {"bitmap in the BAT", bitmap(2_MiB | 6), corrupt, block_overlaps},
                     {"bitmap is a block", bitmap(6_MiB | 6), corrupt, fine},
                     {"child, at 0", block(0, 7), corrupt, block_place},
                     {"child, state 5", block(1, 5), corrupt, bad_state},
                     {"child, reserved bit", block(0, 4_MiB | 8 | 7), corrupt, reserved},
                 });
}

TEST_CASE("vhdx: files that end early", "[vhdx][hostile]") {
    const auto cut = [](uint64_t size) {
        File file = plain().file;
        file.resize(size);
        return file;
    };
    const char* const short_file = "vhdx: the file is shorter than 1 MiB";
    check_refusal(judged({}), corrupt, short_file);
    check_refusal(judged(cut(8)), corrupt, short_file);
    check_refusal(judged(cut(1_MiB - 1)), corrupt, short_file);
    check_refusal(judged(cut(1_MiB)), corrupt, log_place);
    check_refusal(judged(cut(2_MiB)), corrupt, region_place);
    check_refusal(judged(cut(5_MiB)), corrupt, block_place);
    File wanted = plain().guest.bytes;  // a last block that is cut short reads as zeros from there
    std::fill(wanted.begin() + static_cast<ptrdiff_t>(2_MiB + 1000), wanted.end(), byte{0});
    CHECK(judged(cut(5_MiB + 1000)).bytes == wanted);
    File file = plain().file;
    file[3] ^= byte{1};
    check_refusal(judged(file), corrupt, "vhdx: no vhdxfile signature");
}

}  // namespace vdisk::test
