// SPDX-License-Identifier: BSL-1.0
// Damage of every kind: repair ends, leaves nothing, keeps what the guest can still see, and may be
// cut short.
#include <vdisk/format/qcow2/repair.hpp>

#include "support/operations.hpp"
#include "support/qcow2_damage.hpp"

using namespace vdisk;
using namespace vdisk::test;

using qcow2::Repair;

TEST_CASE("qcow2: repair of damage of every kind", "[qcow2][repair]") {
    const Built image = build(lively(9));
    const auto whole = contents(image.file);
    REQUIRE(whole);
    for (const Qcow2Damage& damage : qcow2_damages) {
        CAPTURE(damage.name);
        File file = image.file;
        damage.inflict(file, image);
        const auto report = mend(file, Repair::all);
        CHECK(report.after.is_clean());
        CHECK(is_clean(file));
        CHECK((get_be64(file, 72) & 3) == 0);
        const auto seen = contents(file);
        REQUIRE(seen);
        CHECK((damage.loses_data || *seen == *whole));
        const File once = file;
        mend(file, Repair::all);
        CHECK(file == once);  // there was nothing left to do
    }
}

TEST_CASE("qcow2: repair of leaks touches nothing else", "[qcow2][repair]") {
    const Built image = build(lively(9));
    File file = image.file;
    const uint64_t leaked = file.size() / 512;
    file.resize(file.size() + 512);
    set_be16(file, refcount_at(image, leaked, 9), 3);
    auto report = mend(file, Repair::leaks);
    CHECK(report.leaks_fixed() == 1);
    CHECK(report.corruptions_fixed() == 0);
    CHECK(is_clean(file));

    set_be16(file, refcount_at(image, leaked, 9), 3);
    set_be64(file, image.l1_at, get_be64(file, image.l1_at) ^ uint64_t{1} << 63);
    report = mend(file, Repair::leaks);
    CHECK(report.leaks_fixed() == 1);
    CHECK(report.after.corruptions == report.before.corruptions);
}

TEST_CASE("qcow2: repair of leaks leaves what only a full repair can tell", "[qcow2][repair]") {
    const Built image = build(lively(12));
    const uint64_t entry = image.entry_at.begin()->second;
    const auto refuse = [&](const char* name, const auto& inflict) {
        CAPTURE(name);
        File file = image.file;
        inflict(file);
        GrowableMemory memory(file);
        const auto report = qcow2::repair(memory, Repair::leaks, Heap{});
        REQUIRE(!report);
        CHECK(report.error().code == Errc::corrupt);
        CHECK(report.error().what == qcow2::rebuild_needed);
        CHECK(std::ranges::equal(memory.bytes(), file));
    };
    refuse("guest data as refcounts", [&](File& f) {
        set_be64(f, image.refcount_table_at + 8, get_be64(f, entry) & qcow2::entry::offset_mask);
        f.resize(f.size() / 4096 * 4096 + (2048 * 4096));
    });
    refuse("a refcount of 0", [&](File& f) { set_be16(f, refcount_at(image, 5, 12), 0); });
    refuse("an unaligned block", [&](File& f) { set_be64(f, image.refcount_table_at + 8, 0x200); });

    // What a bad pointer led to has leaked, but is not lost.
    File file = image.file;
    set_be64(file, image.l1_at, get_be64(file, image.l1_at) | 0x200);
    const File bad = file;
    CHECK(mend(file, Repair::leaks).after.leaks > 10);
    CHECK(file == bad);
    mend(file, Repair::all);
    CHECK(file == image.file);
}

TEST_CASE("qcow2: refcounts are not written into anything else", "[qcow2][repair]") {
    const Built image = build(lively(9));
    File file = image.file;
    // The block for clusters that do not exist yet is guest data.
    for (const auto& [guest, at] : image.entry_at) {
        const uint64_t e = get_be64(file, at);
        if ((e & qcow2::entry::compressed) != 0 || (e & qcow2::entry::offset_mask) == 0) continue;
        set_be64(file, image.refcount_table_at, e & qcow2::entry::offset_mask);
        break;
    }
    GrowableMemory memory(file);
    const auto opened = qcow2::open_closed(memory, Heap{});
    REQUIRE(opened);
    auto census = qcow2::make_census(*opened, 4, 0, Heap{});
    REQUIRE(census);
    REQUIRE(qcow2::repairing::look(*opened, *census));
    using qcow2::repairing::Direction;
    for (const Direction direction : {Direction::up, Direction::down}) {
        CHECK(qcow2::repairing::write_refcounts(memory, *opened, *census, direction));
        const uint64_t block = get_be64(file, image.refcount_table_at);
        CHECK(std::ranges::equal(memory.bytes().subspan(block, 512),
                                 std::span(file).subspan(block, 512)));
    }
}

TEST_CASE("qcow2: what a file that was cut short counted leaks no more", "[qcow2][repair]") {
    const Built image = build(lively(12));
    for (const Repair what : {Repair::leaks, Repair::all}) {
        File file = image.file;
        const uint64_t clusters = file.size() / 4096;
        for (const uint64_t behind : {1, 2, 90}) {
            set_be16(file, refcount_at(image, clusters + behind, 12), 1);
        }
        CHECK(is_clean(file));  // as QEMU has it
        set_be16(file, refcount_at(image, clusters, 12), 3);
        if (what == Repair::all) set_be16(file, refcount_at(image, 5, 12), 9);
        file.resize(file.size() + 4096);
        mend(file, what);
        file.resize(file.size() + (100 << 12));
        CHECK(is_clean(file));
        CHECK(value_of(contents(file)) == value_of(contents(image.file)));
    }
}

TEST_CASE("qcow2: repair that is cut short is done again", "[qcow2][repair][power_cut]") {
    const Built image = build(lively(9));
    uint64_t states = 0;
    for (const Qcow2Damage& damage : qcow2_damages) {
        CAPTURE(damage.name);
        File file = image.file;
        damage.inflict(file, image);
        File mended = file;
        mend(mended, Repair::all);
        const auto wanted = contents(mended);
        REQUIRE(wanted);
        CutLog log;
        PowerCutStorage storage(log, file);
        REQUIRE(qcow2::repair(storage, Repair::all, Heap{}));
        CutReplay replay(log, {.exhaustive = 8, .random = 32, .pairs = 8});
        const Status verdict = replay.run([&](const CutState& state) -> Status {
            GrowableMemory again(state.files[0]);
            const auto report = qcow2::repair(again, Repair::all, Heap{});
            if (!report) return report.error();
            const File after(again.bytes().begin(), again.bytes().end());
            if (!is_clean(after)) return corrupt("not repaired");
            const auto seen = contents(after);
            if (!seen) return seen.error();
            if (*seen != *wanted) return corrupt("the disk differs");
            return {};
        });
        INFO(verdict.error().what);
        CHECK(verdict);
        states += replay.states();
    }
    CHECK(states > 100);
}

TEST_CASE("qcow2: repair of anything ends", "[qcow2][repair][hostile]") {
    std::mt19937 random(7);
    unsigned clean = 0, repairs = 0;
    for (uint64_t round = 0; round < of_share(1500); ++round) {
        CAPTURE(round);
        const Built image = build(lively(random() % 4 == 0 ? 12 : 9, random() % 4 == 0 ? 2 : 3));
        File file = image.file;
        const uint64_t places[] = {image.l1_at,
                                   image.refcount_table_at,
                                   image.snapshots_at,
                                   image.entry_at.begin()->second,
                                   get_be64(file, image.refcount_table_at),
                                   0};
        for (unsigned i = 0; i < 1 + random() % 5; ++i) {
            const uint64_t at = places[random() % 6] + random() % 64;
            if (random() % 2 == 0) file[at] = static_cast<byte>(random());
            else set_be64(file, at / 8 * 8, random() % (file.size() / 512 + 3) * 512);
        }
        GrowableMemory memory(file);
        const auto report = qcow2::repair(memory, Repair::all, Heap{});
        if (!report) continue;  // not an image any more
        ++repairs;
        clean += report->after.is_clean();
    }
    CHECK(repairs > 900 / share());
    CHECK(clean == repairs);
}

TEST_CASE("qcow2: QEMU finds nothing after a repair", "[qcow2][repair][qemu]") {
    if (!has_qemu()) return;
    const TempDir folder;
    const std::string path = folder / "image";
    const Built image = build(lively(9));
    for (const Qcow2Damage& damage : qcow2_damages) {
        CAPTURE(damage.name);
        File file = image.file;
        damage.inflict(file, image);
        mend(file, Repair::all);
        save(file, path);
        CHECK(run("qemu-img check " + path).ok);
    }
}
