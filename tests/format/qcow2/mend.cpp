// SPDX-License-Identifier: BSL-1.0
// Single entries that are wrong: what they led to comes back where the image says what that was.
#include <vdisk/format/qcow2/repair.hpp>
#include <vdisk/format/qcow2/snapshots.hpp>

#include "support/operations.hpp"

using namespace vdisk;
using namespace vdisk::test;

using qcow2::Repair;

TEST_CASE("qcow2: repair undoes a flipped bit of an entry", "[qcow2][repair]") {
    struct Shape {
        unsigned bits;
        uint32_t version;
        bool extended, shared, data_file;
    };
    for (const auto& [bits, version, extended, shared, data_file] :
         {Shape{12, 3, false, false, false},
          {12, 2, false, false, false},
          {14, 3, true, false, false},
          {12, 3, false, true, false},
          {12, 3, false, false, true}}) {
        Qcow2Spec spec = lively(bits, version, extended);
        if (data_file) {
            spec.data_file = true;
            spec.extensions = {{0x44415441, "data"}};
            spec.clusters = mixture(96, 3, {Fill::data, Fill::zero});
            spec.snapshots.clear();
        }
        const Built image = build(spec);
        File whole = image.file;
        if (shared) {  // L2 tables and clusters that two states have
            GrowableMemory memory(whole);
            REQUIRE(qcow2::take_snapshot(memory, {.name = "shared"}, Heap{}));
            whole.assign(memory.bytes().begin(), memory.bytes().end());
        }
        REQUIRE(is_clean(whole));
        const uint64_t l1_at = get_be64(whole, 40);
        std::vector<uint64_t> entries{l1_at};
        const uint64_t table = get_be64(whole, l1_at) & qcow2::entry::offset_mask;
        for (uint64_t i = 0; i < 100; i += 1 + i % 3) {
            const uint64_t at = table + i * (extended ? 16 : 8);
            if ((get_be64(whole, at) & qcow2::entry::compressed) == 0) entries.push_back(at);
        }
        REQUIRE(entries.size() > 20);
        for (const uint64_t at : entries) {
            // The lowest bit of an L2 entry has a meaning.
            for (uint64_t bit = (at == l1_at ? 0 : 1) + first_of_share(); bit < bits;
                 bit += share()) {
                File file = whole;
                set_be64(file, at, get_be64(file, at) ^ uint64_t{1} << bit);
                CAPTURE(bits, version, shared, data_file, at - table, bit, get_be64(whole, at));
                REQUIRE(!is_clean(file));
                CHECK(mend(file, Repair::all).after.is_clean());
                REQUIRE(file == whole);
            }
        }
    }
}

TEST_CASE("qcow2: repair does not believe every unaligned entry", "[qcow2][repair]") {
    const Built image = build(lively(12));
    const uint64_t entry = image.entry_at.begin()->second;
    const auto mended = [&](uint64_t at, uint64_t value) {
        File file = image.file;
        set_be64(file, at, value);
        CHECK(mend(file, Repair::all).after.is_clean());
        CHECK(is_clean(file));
        return get_be64(file, get_be64(file, 40)) == 0;
    };
    const uint64_t block = get_be64(image.file, image.refcount_table_at);
    const uint64_t data = get_be64(image.file, entry) & qcow2::entry::offset_mask;
    CHECK(mended(image.l1_at, image.l1_at | 0x200));      // a table of another kind
    CHECK(mended(image.l1_at, block | 0x200));            // refcounts
    CHECK(mended(image.l1_at, data | 0x200));             // no table: guest data is none
    CHECK(mended(image.l1_at, image.file.size() + 512));  // nothing
    // What others refer to often enough is theirs.
    File file = image.file;
    const uint64_t table = get_be64(file, image.l1_at) & qcow2::entry::offset_mask;
    for (uint64_t i = 0; i < 512; ++i) {
        const uint64_t at = table + i * 8;
        const uint64_t host = get_be64(file, at) & qcow2::entry::offset_mask;
        if (at == entry || (get_be64(file, at) & qcow2::entry::compressed) != 0 || host == 0) {
            continue;
        }
        set_be64(file, entry, host | 0x200 | qcow2::entry::copied);
        CHECK(mend(file, Repair::all).after.is_clean());
        CHECK((get_be64(file, at) & qcow2::entry::offset_mask) == host);
        const uint64_t fresh = get_be64(file, get_be64(file, 40)) & qcow2::entry::offset_mask;
        CHECK(get_be64(file, fresh + (entry - table)) == qcow2::entry::zero);
        break;
    }
}

TEST_CASE("qcow2: an L1 table that is too small for its snapshot", "[qcow2][check][repair]") {
    for (const uint32_t version : {2u, 3u}) {
        CAPTURE(version);
        const Built image = build(lively(9, version));
        const auto whole = contents(image.file);
        REQUIRE(whole);
        File file = image.file;
        const uint64_t l1_at = get_be64(file, image.snapshots_at);
        set_be32(file, image.snapshots_at + 8, 1);
        const File cut = file;
        std::vector<std::string> all;
        const MemoryStorage storage(file);
        REQUIRE(qcow2::check_image(storage, Heap{}, [&](const qcow2::Problem& p) {
            if (p.flaw == qcow2::Flaw::corruption) all.emplace_back(p.what);
        }));
        CHECK(all == std::vector<std::string>{qcow2::l1_too_small});
        // The rest of the table has leaked, but is not lost.
        CHECK(mend(file, Repair::leaks).after.leaks > 1);
        CHECK(file == cut);
        CHECK(mend(file, Repair::all).after.is_clean());
        CHECK(value_of(contents(file)) == *whole);

        // What stands behind the table is something else: zeros.
        file = cut;
        set_be64(file, l1_at + 8, get_be64(file, 40));
        CHECK(mend(file, Repair::all).after.is_clean());
        const auto seen = contents(file);
        REQUIRE(seen);
        CHECK((*seen)[0] == (*whole)[0]);
        CHECK((*seen)[2] == (*whole)[2]);
        const File& first = (*seen)[1];
        CHECK(std::equal(first.begin(), first.begin() + 32768, (*whole)[1].begin()));
        CHECK(std::all_of(first.begin() + 32768, first.end(), [](byte b) { return b == byte{0}; }));

        // No room: the disk ends where its table does.
        file = image.file;
        set_be64(file, image.snapshots_at + 48, uint64_t{1} << 50);
        CHECK(mend(file, Repair::all).after.is_clean());
        const File mapped = value_of(contents(file))[1];
        REQUIRE(mapped.size() == 65536);
        CHECK(std::equal((*whole)[1].begin(), (*whole)[1].end(), mapped.begin()));
    }
}

TEST_CASE("qcow2: an L1 entry of flags alone costs no second repair", "[qcow2][repair]") {
    Built image = build(Qcow2Spec{.size = 64_KiB, .cluster_bits = 9, .clusters = {{0}, {1}}});
    File& file = image.file;
    set_be64(file, image.l1_at + 8, qcow2::entry::copied);
    // Leaks of the header, which the entry counts as QEMU counts it, and of a cluster.
    const uint64_t refcounts = get_be64(file, image.refcount_table_at);
    const uint64_t data = get_be64(file, image.entry_at.at(0)) & qcow2::entry::offset_mask;
    file[refcounts + 1] = byte{9};
    file[refcounts + (data >> 9) * 2 + 1] = byte{2};
    set_be64(file, image.entry_at.at(0), data);
    const auto report = mend(file, Repair::all);
    CHECK(report.before.leaks == 2);
    CHECK(report.before.corruptions == 0);
    CHECK(report.after.is_clean());
}

TEST_CASE("qcow2: an entry that the end of the file cuts is none in a longer file",
          "[qcow2][repair]") {
    Built image =
        build(Qcow2Spec{.size = 32_KiB, .cluster_bits = 9, .clusters = {{0}}, .shuffle = 0});
    File& file = image.file;
    // The L2 table becomes the last cluster, and ends inside an entry that was never used.
    const uint64_t table = get_be64(file, image.l1_at) & qcow2::entry::offset_mask;
    const uint64_t end = blocks(file.size(), 9) << 9;
    file.resize(end);
    file.insert(file.end(), file.begin() + std::ptrdiff_t(table),
                file.begin() + std::ptrdiff_t(table) + 83);
    file[end + 82] = byte{0x15};
    set_be64(file, image.l1_at, end | qcow2::entry::copied);
    set_be64(file, 48, uint64_t{1} << 40);  // the refcounts are lost: they come behind the table
    const auto report = mend(file, Repair::all);
    CHECK(file.size() > end + 512);
    CHECK(report.after.is_clean());
}

TEST_CASE("qcow2: leaks go, though the file ends inside the refcount block", "[qcow2][repair]") {
    Built image = build(Qcow2Spec{.size = 32_KiB, .cluster_bits = 9, .clusters = {{0}}});
    File& file = image.file;
    const uint64_t end = blocks(file.size(), 9) << 9;
    const uint64_t refcounts = get_be64(file, image.refcount_table_at);
    file.resize(end);
    file.insert(file.end(), file.begin() + std::ptrdiff_t(refcounts),
                file.begin() + std::ptrdiff_t(refcounts) + 100);
    set_be64(file, image.refcount_table_at, end);
    file[end + (end >> 9) * 2 + 1] = byte{1};  // the block is in its new place, its old one leaks
    const auto report = mend(file, Repair::leaks);
    CHECK(report.before.leaks == 1);
    CHECK(report.before.corruptions == 0);
    CHECK(report.after.is_clean());
}
