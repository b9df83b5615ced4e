// SPDX-License-Identifier: BSL-1.0
// What check finds in damaged VHD images, and what repair makes of them.
#include <vdisk/format/vhd/change.hpp>
#include <vdisk/format/vhd/resize.hpp>

#include "catch.hpp"
#include "support/vhd_work.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

constexpr uint64_t header_at = 512, table_at = 1536;

// Blocks 0, 1, 3 of 4 KiB and two more that are not there.
File sample(vhd::Type type = vhd::Type::dynamic) {
    GrowableMemory memory(new_vhd(vhd_options(40 * sector, 12, type)));
    auto writer = value_of(VhdWriter<Borrowed<GrowableMemory>>::open(Borrowed(memory)));
    File model(40 * sector);
    for (const uint64_t block : {0, 1, 3}) {
        REQUIRE(perform(writer, Op::write(block * 8 * sector, 8 * sector, 5), model, {}));
    }
    REQUIRE(writer.flush());
    return bytes_of(memory);
}

uint32_t entry(const File& file, uint64_t number) {
    return load_be32(&file[table_at + number * 4]);
}

struct RepairRun {
    std::vector<std::string> problems = {};
    vhd::RepairReport report = {};
    File after = {};
};

RepairRun repair(const File& file, Repair what = Repair::all) {
    RepairRun out;
    GrowableMemory memory(file);
    const auto report = vhd::repair(memory, what, Heap{}, [&](const Problem& problem) {
        out.problems.emplace_back(problem.what);
    });
    INFO(report.error().what);
    REQUIRE(report);
    out.report = *report;
    out.after = bytes_of(memory);
    return out;
}

// One thing is wrong, and mended; the disk is `disk` then.
void check_mended(const File& damaged, const char* problem, const File& disk) {
    const RepairRun found = repair(damaged);
    CHECK(found.problems == std::vector<std::string>{problem});
    CHECK(found.report.before.corruptions == 1);
    CHECK(found.report.corruptions_fixed() == 1);
    CHECK(found.report.after.is_clean());
    const bool same = value_of(read_vhd(found.after, {})) == disk;
    CHECK(same);
    CHECK(VhdReader::open(MemoryStorage(found.after)));
}

void zero_block(File& disk, uint64_t number) {
    std::fill_n(disk.begin() + static_cast<std::ptrdiff_t>(number * 8 * sector), 8 * sector,
                byte{0});
}

}  // namespace

TEST_CASE("vhd: a sound image has nothing to repair", "[vhd][check]") {
    const File file = sample();
    const RepairRun found = repair(file);
    CHECK(found.problems.empty());
    CHECK(found.report.after.is_clean());
    CHECK(found.report.after.total_blocks == 5);
    CHECK(found.report.after.allocated_blocks == 3);
    CHECK(found.report.after.image_end == file.size() - sector);
    const bool same = found.after == file;
    CHECK(same);
}

TEST_CASE("vhd: footers that are lost or differ come from the other", "[vhd][check]") {
    const File file = sample();
    const File disk = value_of(read_vhd(file, {}));

    File no_end = file;
    no_end.resize(file.size() - sector);
    check_mended(no_end, "vhd: the footer at the end is lost", disk);

    File rubbish_end = file;
    std::fill_n(rubbish_end.end() - 512, 512, byte{0x55});
    check_mended(rubbish_end, "vhd: the footer at the end is lost", disk);

    File no_front = file;
    std::fill_n(no_front.begin(), 512, byte{0});
    check_mended(no_front, "vhd: the copy of the footer at the front is lost", disk);

    File other = file;
    auto front = load<vhd::Footer>(Bytes(other));
    front.time_stamp = 99;
    vhd::seal(front);
    std::memcpy(other.data(), &front, sizeof front);
    check_mended(other, "vhd: the two footers differ", disk);
}

TEST_CASE("vhd: checksums are made right when all is repaired", "[vhd][check]") {
    File file = sample();
    const File disk = value_of(read_vhd(file, {}));
    file[header_at + 36] ^= byte{1};
    CHECK(read_vhd(file, {}).error().code == Errc::corrupt);
    check_mended(file, "vhd: checksum of the footer or the header is wrong", disk);
}

TEST_CASE("vhd: blocks that cannot be are given up", "[vhd][check]") {
    const File file = sample();
    File disk = value_of(read_vhd(file, {}));
    zero_block(disk, 1);
    const char* const past = "vhd: block ends past the end of the file";
    const char* const over = "vhd: block overlaps the header, a table or a parent locator";
    for (const auto& [value, problem] :
         std::vector<std::pair<uint64_t, const char*>>{{0xFFFFFFFE, past},
                                                       {file.size() / sector, past},
                                                       {0, over},
                                                       {header_at / sector, over},
                                                       {table_at / sector, over}}) {
        CAPTURE(value);
        File damaged = file;
        set_be32(damaged, table_at + 4, value);
        const RepairRun found = repair(damaged);
        CHECK(found.problems.front() == problem);
        CHECK(found.report.before.corruptions == 1);
        CHECK(found.report.after.corruptions == 0);
        bool same = value_of(read_vhd(found.after, {})) == disk;
        CHECK(same);
        // Its place stays as it is until the next repair.
        CHECK(found.after.size() == file.size());
        const RepairRun again = repair(found.after);
        CHECK(again.report.after.is_clean());
        same = value_of(read_vhd(again.after, {})) == disk;
        CHECK(same);
    }
}

TEST_CASE("vhd: a table in which all entries are one does not fill the drive", "[vhd][check]") {
    File file = new_vhd(vhd_options(4000 * sector, 12));
    {
        GrowableMemory memory(file);
        auto writer = value_of(VhdWriter<Borrowed<GrowableMemory>>::open(Borrowed(memory)));
        File model(4000 * sector);
        REQUIRE(perform(writer, Op::write(0, 8 * sector, 5), model, {}));
        REQUIRE(writer.flush());
        file = bytes_of(memory);
    }
    for (uint64_t i = 1; i < 500; ++i) set_be32(file, table_at + i * 4, entry(file, 0));
    GrowableMemory memory(file);
    CHECK(vhd::repair(memory, Repair::all, Heap{}).error().code == Errc::limit);
    const bool same = bytes_of(memory) == file;
    CHECK(same);
}

TEST_CASE("vhd: a wrong checksum is not made right over what makes no sense", "[vhd][check]") {
    // Bits of: table offset, block size, a footer's data offset.
    for (const uint64_t at : {header_at + 22, header_at + 33, header_at + 34, uint64_t{22}}) {
        for (const unsigned bit : {1u, 4u, 0x40u}) {
            CAPTURE(at, bit);
            File file = sample();
            file[at] ^= static_cast<byte>(bit);
            if (at < header_at) file[file.size() - sector + at] ^= static_cast<byte>(bit);
            GrowableMemory memory(file);
            const auto report = vhd::repair(memory, Repair::all, Heap{});
            CHECK_FALSE(report);
            const bool same = bytes_of(memory) == file;
            CHECK(same);
        }
    }
}

TEST_CASE("vhd: a locator's room does not cost a block", "[vhd][check]") {
    File file = sample(vhd::Type::differencing);
    auto header = load<vhd::DynamicHeader>(Bytes(file).subspan(header_at));
    header.parent_locators[0].platform_data_space = 32768;
    vhd::seal(header);
    std::memcpy(&file[header_at], &header, sizeof header);
    const File disk = value_of(read_vhd(file, {}));
    CHECK(repair(file).problems.empty());
    GrowableMemory memory(file);
    CHECK(VhdWriter<Borrowed<GrowableMemory>>::open(Borrowed(memory)));
    REQUIRE(vhd::set_parent(memory, {.unique_id = guid(2), .relative_path = std::string(3000, 'x')},
                            Heap{}));
    const bool same = value_of(read_vhd(bytes_of(memory), {})) == disk;
    CHECK(same);
}

TEST_CASE("vhd: what the guest of a fixed disk wrote at its front is not its header",
          "[vhd][check]") {
    File file = new_vhd(vhd_options(200 * sector, 12, vhd::Type::fixed));
    const File inner = sample();
    std::copy_n(inner.begin(), inner.size() - sector, file.begin());
    File grown = file;
    grown.resize(file.size() + 5 * sector);  // its growth was cut
    File wrong = file;
    wrong[file.size() - 100] ^= byte{1};  // its checksum is wrong
    for (const File& damaged : {grown, wrong}) {
        GrowableMemory memory(damaged);
        static_cast<void>(vhd::recover(memory, Heap{}));
        const bool same = bytes_of(memory) == damaged;
        CHECK(same);
    }
}

TEST_CASE("vhd: a footer that is not at a whole sector is moved there", "[vhd][check]") {
    File file = sample();
    const File disk = value_of(read_vhd(file, {}));
    file.insert(file.end() - sector, 100, byte{0});
    GrowableMemory memory(file);
    CHECK(vhd::grow(memory, 400 * sector, Heap{}).error().code == Errc::corrupt);
    const RepairRun found = repair(file);
    CHECK(found.problems == std::vector<std::string>{"vhd: the footer is not at a whole sector"});
    CHECK(found.report.after.corruptions == 0);
    const bool same = value_of(read_vhd(found.after, {})) == disk;
    CHECK(same);
}

TEST_CASE("vhd: a footer is moved, though a block lies nowhere", "[vhd][check]") {
    File file = sample();
    file.insert(file.end() - sector, 100, byte{0});
    set_be32(file, table_at + 4, 0xFFFFFFF0);
    const RepairRun found = repair(file);
    CHECK(found.report.before.corruptions > 1);
    CHECK(found.report.after.corruptions == 0);
}

TEST_CASE("vhd: a block that the file cuts short is made whole", "[vhd][check]") {
    const File file = sample();
    File disk = value_of(read_vhd(file, {}));
    // The last block loses its last three sectors, and the file its end.
    File cut = file;
    cut.resize(file.size() - 4 * sector);
    const RepairRun found = repair(cut);
    CHECK(found.report.before.corruptions == 2);
    CHECK(found.report.after.corruptions == 0);
    std::fill_n(disk.begin() + 29 * sector, 3 * sector, byte{0});
    const bool same = value_of(read_vhd(found.after, {})) == disk;
    CHECK(same);
}

TEST_CASE("vhd: of two blocks that overlap, one gets a copy", "[vhd][check]") {
    File file = sample();
    File disk = value_of(read_vhd(file, {}));
    set_be32(file, table_at + 4, entry(file, 0));
    std::copy_n(disk.begin(), 8 * sector, disk.begin() + 8 * sector);
    const RepairRun found = repair(file);
    CHECK(found.problems.front() == "vhd: two blocks overlap");
    CHECK(found.report.after.corruptions == 0);
    CHECK(entry(found.after, 0) != entry(found.after, 1));
    const bool same = value_of(read_vhd(found.after, {})) == disk;
    CHECK(same);
}

TEST_CASE("vhd: leaks go when blocks move down", "[vhd][check]") {
    File file = sample();
    File disk = value_of(read_vhd(file, {}));
    set_be32(file, table_at, vhd::unallocated);
    zero_block(disk, 0);
    const RepairRun found = repair(file, Repair::leaks);
    CHECK(found.problems == std::vector<std::string>{"vhd: space that nothing uses"});
    CHECK(found.report.leaks_fixed() > 0);
    CHECK(found.report.after.is_clean());
    CHECK(found.after.size() < file.size());
    const bool same = value_of(read_vhd(found.after, {})) == disk;
    CHECK(same);
}

TEST_CASE("vhd: a fixed disk whose growth was cut has its footer in the middle", "[vhd][check]") {
    File file = new_vhd(vhd_options(20 * sector, 12, vhd::Type::fixed));
    file[100] = byte{0x77};
    const File disk = value_of(read_vhd(file, {}));
    File cut = file;
    cut.resize(file.size() + 1000 * sector);
    CHECK(read_vhd(cut, {}).error().code == Errc::corrupt);
    check_mended(cut, "vhd: the footer of a fixed disk is not at the end", disk);
}

TEST_CASE("vhd: what cannot be repaired is told, and stays as it is", "[vhd][check]") {
    for (const auto& [at, value] :
         std::vector<std::pair<uint64_t, uint64_t>>{{header_at, 0}, {header_at + 32, 3}}) {
        File file = sample();
        set_be32(file, at, value);
        GrowableMemory memory(file);
        CHECK_FALSE(vhd::repair(memory, Repair::all, Heap{}));
        const bool same = bytes_of(memory) == file;
        CHECK(same);
    }
}
