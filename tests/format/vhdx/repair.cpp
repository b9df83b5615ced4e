// SPDX-License-Identifier: BSL-1.0
// What check finds in damaged VHDX images, and what repair makes of them.
#include <vdisk/format/vhdx/repair.hpp>

#include "catch.hpp"
#include "hostile/vhdx_damage.hpp"
#include "support/cut_vhdx.hpp"

using namespace vdisk;
using namespace vdisk::test;
using namespace vdisk::test::vhdx_damage;

namespace {

// Blocks of 1 MiB.
BuiltVhdx sample(bool has_parent = false) {
    VhdxSpec spec{.size = 8_MiB, .has_parent = has_parent};
    for (const uint64_t i : {0, 1, 3, 5}) spec.blocks.push_back({i, 6, uint32_t(i + 1)});
    if (has_parent) {
        spec.blocks.push_back({6, 7, 9});
        spec.locator = {{u"parent_linkage", linkage(5)}, {u"relative_path", u"p.vhdx"}};
    }
    return build(spec);
}

struct RepairRun {
    std::vector<std::string> problems = {};
    vhdx::RepairReport report = {};
    File after = {};
};

RepairRun repair(const File& file, Repair what = Repair::all) {
    RepairRun out;
    GrowableMemory memory(file);
    const auto report =
        vhdx::repair(memory, what, Heap{}, SeededIds(5),
                     [&](const Problem& problem) { out.problems.emplace_back(problem.what); });
    INFO(report.error().what);
    REQUIRE(report);
    out.report = *report;
    out.after = bytes_of(memory);
    return out;
}

File disk_of(const File& file, bool has_parent = false) {
    return value_of(VhdxSubject::read(file, {has_parent}));
}

// One thing is wrong, and mended; the disk is `disk` then.
void check_mended(const File& damaged, const char* problem, const File& disk,
                  bool has_parent = false) {
    CAPTURE(problem);
    const RepairRun found = repair(damaged);
    CHECK(found.problems == std::vector<std::string>{problem});
    CHECK(found.report.before.corruptions == 1);
    CHECK(found.report.corruptions_fixed() == 1);
    CHECK(found.report.after.is_clean());
    const bool same = disk_of(found.after, has_parent) == disk;
    CHECK(same);
    // A writer takes it.
    GrowableMemory memory(found.after);
    auto writer = value_of(VhdxSubject::open(Borrowed(memory), {12, 6}));
    CHECK(writer.begin_change());
}

void zero_block(File& disk, uint64_t number) {
    std::fill_n(disk.begin() + static_cast<std::ptrdiff_t>(number * 1_MiB), 1_MiB, byte{0});
}

// A block that is not there, with a place.
Change stale_place() {
    return
        [](File& file, const BuiltVhdx& image) { set_le64(file, image.bat_at + 2 * 8, 5_MiB | 2); };
}

}  // namespace

TEST_CASE("vhdx: a sound image has nothing to repair", "[vhdx][check]") {
    for (const bool has_parent : {false, true}) {
        const BuiltVhdx image = sample(has_parent);
        const RepairRun found = repair(image.file);
        CHECK(found.problems.empty());
        CHECK(found.report.after.is_clean());
        CHECK(found.report.after.total_blocks == 8);
        CHECK(found.report.after.allocated_blocks == (has_parent ? 5 : 4));
        const bool same = found.after == image.file;
        CHECK(same);
    }
}

TEST_CASE("vhdx: copies that are lost come from the other", "[vhdx][check]") {
    const BuiltVhdx image = sample();
    const File disk = disk_of(image.file);
    for (const uint64_t at : {0x10000, 0x20000}) {
        File file = image.file;
        file[at + 100] ^= byte{1};
        check_mended(file, "vhdx: a copy of the header is lost", disk);
    }
    for (const uint64_t at : {0x30000, 0x40000}) {
        File file = image.file;
        file[at + 0x800] ^= byte{1};
        const RepairRun found = repair(file);
        CHECK(found.problems == std::vector<std::string>{"vhdx: a copy of the region table is lost",
                                                         "vhdx: the two region tables differ"});
        CHECK(found.report.after.is_clean());
        const bool same = disk_of(found.after) == disk;
        CHECK(same);
    }
    File file = image.file;
    set_le32(file, 0x40000 + 12, 7);
    seal_vhdx(file);
    check_mended(file, "vhdx: the two region tables differ", disk);
}

TEST_CASE("vhdx: a log that waits is a corruption, and replayed", "[vhdx][check]") {
    const BuiltVhdx image = sample();
    const File dirty = with_log(image, {image.bat_at, image.metadata_at}, 250);
    const File disk = disk_of(image.file);
    for (const Repair what : {Repair::leaks, Repair::all}) {
        const RepairRun found = repair(dirty, what);
        CHECK(found.problems == std::vector<std::string>{"vhdx: the log has to be replayed"});
        CHECK(found.report.corruptions_fixed() == 1);
        CHECK(found.report.after.is_clean());
        const bool same = disk_of(found.after) == disk;
        CHECK(same);
    }
}

TEST_CASE("vhdx: blocks that cannot be become zeros", "[vhdx][check]") {
    const char* const outside = "vhdx: block lies in the first MiB or past the end of the file";
    const char* const over = "vhdx: block overlaps the log or a region";
    const char* const state = "vhdx: BAT entry has a state that it cannot have";
    for (const bool has_parent : {false, true}) {
        const BuiltVhdx image = sample(has_parent);
        File disk = disk_of(image.file, has_parent);
        zero_block(disk, 3);
        const auto with = [&](uint64_t value, const char* problem) {
            CAPTURE(has_parent, value);
            check_mended(damaged(image, block(3, value)), problem, disk, has_parent);
        };
        with(image.file.size() | 6, outside);
        with(~uint64_t{0xFFFFF} | 6, outside);
        with(6, outside);
        with(image.bat_at | 6, over);
        with(image.metadata_at | 6, over);
        with(image.log_at | 6, over);
        with(4, state);
        with(image.block_at.at(3) | 5, state);
        if (!has_parent) with(image.block_at.at(3) | 7, state);
        with(image.file.size() | 3, outside);
    }
}

TEST_CASE("vhdx: reserved bits are cleared, and the block stays", "[vhdx][check]") {
    const BuiltVhdx image = sample();
    check_mended(damaged(image, block(3, image.block_at.at(3) | 6 | 8)),
                 "vhdx: reserved bits of a BAT entry are set", disk_of(image.file));
}

TEST_CASE("vhdx: a block whose bitmap is lost keeps what was written", "[vhdx][check]") {
    const BuiltVhdx image = sample(true);
    const auto cut_short = [&](uint64_t value, const std::vector<std::string>& problems) {
        CAPTURE(value);
        const RepairRun found = repair(damaged(image, bitmap(value)));
        CHECK(found.problems == problems);
        CHECK(found.report.after.is_clean());
        const File disk = disk_of(image.file, true), now = disk_of(found.after, true);
        // Block 6 is the one: its stored sectors are as they were.
        CHECK(std::equal(disk.begin(), disk.begin() + 6_MiB, now.begin()));
        const auto block = found.after.begin() + static_cast<std::ptrdiff_t>(image.block_at.at(6));
        CHECK(std::equal(block, block + 1_MiB, now.begin() + 6_MiB));
    };
    const char* const lacks = "vhdx: a block is partially present without a sector bitmap";
    cut_short(0, {lacks});
    cut_short(image.file.size() | 6,
              {"vhdx: block lies in the first MiB or past the end of the file"});
}

TEST_CASE("vhdx: of two blocks that overlap one gets a copy", "[vhdx][check]") {
    const BuiltVhdx image = sample();
    const File file = damaged(image, block(3, image.block_at.at(0) | 6));
    const File disk = disk_of(file);
    check_mended(file, "vhdx: block overlaps another, or a region", disk);
    // They are two from now on.
    GrowableMemory memory(repair(file).after);
    auto writer = value_of(VhdxSubject::open(Borrowed(memory), {12, 6}));
    File model = disk;
    REQUIRE(perform(writer, Op::write(3_MiB, 4096, 77), model, {}));
    const bool same = value_of(whole_disk(writer, {})) == model;
    CHECK(same);
}

TEST_CASE("vhdx: a table in which all entries are one does not fill the drive", "[vhdx][check]") {
    BuiltVhdx image = build(VhdxSpec{.size = 64_MiB, .blocks = {{0, 6, 1}}});
    for (uint64_t i = 1; i < 64; ++i) {
        set_le64(image.file, image.bat_at + i * 8, image.block_at.at(0) | 6);
    }
    REQUIRE(image.file.size() < 63_MiB);
    GrowableMemory memory(image.file);
    const auto report = vhdx::repair(memory, Repair::all, Heap{}, SeededIds(5));
    CHECK(report.error().code == Errc::limit);
    const bool same = bytes_of(memory) == image.file;
    CHECK(same);
}

TEST_CASE("vhdx: a place that means nothing is a leak", "[vhdx][check]") {
    const BuiltVhdx image = sample();
    const File file = damaged(image, stale_place());
    const RepairRun found = repair(file, Repair::leaks);
    CHECK(found.problems ==
          std::vector<std::string>{"vhdx: a block that is not there has a place"});
    CHECK(found.report.leaks_fixed() == 1);
    CHECK(found.report.after.is_clean());
    CHECK(get_le64(found.after, image.bat_at + 2 * 8) == 2);
}

TEST_CASE("vhdx: leaks are left where blocks are wrong", "[vhdx][check]") {
    const BuiltVhdx image = sample();
    const File file = damaged(image, both(stale_place(), block(3, 6)));
    const RepairRun found = repair(file, Repair::leaks);
    CHECK(found.report.after.leaks == 1);
    CHECK(found.report.after.corruptions == 1);
    const bool same = found.after == file;
    CHECK(same);
    CHECK(repair(file).report.after.is_clean());
}

TEST_CASE("vhdx: a linkage that is none is told, and stays", "[vhdx][check]") {
    VhdxSpec spec{.size = 2_MiB, .has_parent = true};
    spec.locator = {{u"parent_linkage", u"nonsense"}, {u"relative_path", u"p.vhdx"}};
    const RepairRun found = repair(build(spec).file);
    CHECK(found.problems == std::vector<std::string>{"vhdx: parent_linkage is no GUID"});
    CHECK(found.report.after.corruptions == 1);
}

TEST_CASE("vhdx: a writer refuses an image whose blocks overlap", "[vhdx][write]") {
    const BuiltVhdx image = sample();
    const File file = damaged(image, block(3, image.block_at.at(0) | 6));
    GrowableMemory memory(file);
    {
        auto writer = value_of(VhdxSubject::open(Borrowed(memory), {12, 6}));
        CHECK(writer.place(0, 512).error().code == Errc::corrupt);
        CHECK(writer.zero(0, 1_MiB).error().code == Errc::corrupt);
    }
    const bool same = bytes_of(memory) == file;
    CHECK(same);
}
