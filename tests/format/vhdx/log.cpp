// SPDX-License-Identifier: BSL-1.0
// Which header counts, which log entries count, and that reading over a log shows what replaying it
// would leave.
#include "hostile/vhdx_damage.hpp"
#include "support/bytes.hpp"

namespace vdisk::test {

namespace {

using namespace vhdx_damage;
using Image = vhdx::Image<MemoryStorage, Heap>;

constexpr const char* no_entries = "vhdx: the header names a log that has no valid entries";
constexpr uint64_t sectors = 256;  // of the log

// Log, BAT, metadata, blocks at 4 and 5 MiB.
const BuiltVhdx& plain() {
    static const BuiltVhdx image =
        build(VhdxSpec{.size = 3_MiB, .blocks = {{0}, {1}}, .shuffle = 0});
    return image;
}

File data(uint64_t seed) { return noise(4096, static_cast<uint32_t>(seed)); }

/// Entries laid into the log of `plain`, one behind the other.
struct Ring {
    File file = plain().file;
    std::vector<VhdxEntry> entries = {};

    explicit Ring(uint8_t guid = 0x77) { name_log(file, guid); }

    // Entry `sequence`; returns where the next goes.
    uint64_t put(uint64_t at, uint64_t sequence, uint64_t tail, uint8_t guid = 0x77,
                 std::vector<VhdxUpdate> updates = {}) {
        if (updates.empty()) updates = {{4_MiB + sequence % 4 * 4096, data(sequence)}};
        entries.push_back({.sequence = sequence,
                           .tail = tail,
                           .updates = std::move(updates),
                           .flushed = 6_MiB,
                           .last = 6_MiB,
                           .guid = guid});
        return put_entry(file, plain(), at, log_entry(entries.back()));
    }
    // `count` entries from `at` on, of which the first is the oldest.
    uint64_t run(uint64_t at, uint64_t count, uint64_t sequence, uint8_t guid = 0x77) {
        const uint64_t tail = at;
        for (uint64_t i = 0; i != count; ++i) at = put(at, sequence + i, tail, guid);
        return at;
    }
};

vhdx::ActiveLog active(const File& file) {
    return value_of(Image::open(MemoryStorage(file))).log();
}

void check_active(const File& file, uint64_t tail, uint64_t entries, uint64_t sequence) {
    const vhdx::ActiveLog found = active(file);
    CHECK(found.tail == tail * 4096);
    CHECK(found.entries == entries);
    CHECK(found.sequence == sequence);
}

// What is read over the log is what the file would be after these entries.
void check_replayed(const File& file, const std::vector<VhdxEntry>& entries) {
    File replayed = file;
    for (const VhdxEntry& entry : entries) apply(replayed, entry);
    name_log(replayed, 0);
    CHECK(judge<Vhdx>(file).agrees(judge<Vhdx>(replayed)));

    const Image image = value_of(Image::open(MemoryStorage(file)));
    REQUIRE(image.storage().size() == replayed.size());
    File all(replayed.size());
    REQUIRE(image.storage().read(0, all));
    std::fill_n(all.begin() + 0x10000, 0x20000, byte{0});  // headers: the log is done
    std::fill_n(replayed.begin() + 0x10000, 0x20000, byte{0});
    CHECK((std::memcmp(all.data(), replayed.data(), all.size()) == 0));
    std::mt19937 random(5);
    File piece(10000);
    for (int i = 0; i != 200; ++i) {
        const uint64_t at = 2_MiB + random() % (replayed.size() - 2_MiB - piece.size());
        const size_t length = random() % piece.size();
        REQUIRE(image.storage().read(at, MutBytes(piece).first(length)));
        REQUIRE(std::memcmp(piece.data(), replayed.data() + at, length) == 0);
        const uint64_t word = at & ~uint64_t{7};
        const auto lent = image.storage().view(word, 8);
        REQUIRE(lent);
        REQUIRE(std::memcmp(lent->data(), replayed.data() + word, 8) == 0);
    }
}

std::string error_of(const File& file) { return rule(judged(file)); }

}  // namespace

TEST_CASE("vhdx: which header counts", "[vhdx][header]") {
    struct Row {
        uint64_t first, second;  // sequence numbers; 0: damaged
        bool alike;
        uint64_t wanted;  // offset; 0: refused
        const char* what;
    };
    const char* const one_number = "vhdx: two headers that differ have one sequence number";
    const std::vector<Row> rows = {
        {5, 6, false, 0x20000, ""},
        {6, 5, false, 0x10000, ""},
        {5, 0, false, 0x10000, ""},
        {0, 5, false, 0x20000, ""},
        {0, 0, false, 0, "vhdx: neither header is valid"},
        {5, 5, true, 0x10000, ""},
        {5, 5, false, 0, one_number},
        {~uint64_t{0}, 1, false, 0x10000, ""},
        {1, uint64_t{1} << 63, false, 0x20000, ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.first, row.second, row.alike);
        File file = plain().file;
        set_le64(file, 0x10008, row.first);
        set_le64(file, 0x20008, row.second);
        if (!row.alike) file[0x20000 + 16] = byte{0x99};
        seal_vhdx(file);
        if (row.first == 0) file[0x10000 + 4095] ^= byte{1};
        if (row.second == 0) file[0x20000 + 4095] ^= byte{1};
        CHECK(error_of(file) == row.what);
        if (row.wanted == 0) continue;
        const Image image = value_of(Image::open(MemoryStorage(file)));
        CHECK(image.layout().header_at == row.wanted);
        CHECK(image.layout().file_write_guid.bytes[0] ==
              (row.wanted == 0x20000 && !row.alike ? byte{0x99} : byte{0xF1}));
    }
}

TEST_CASE("vhdx: twin headers may differ in what is reserved", "[vhdx][header]") {
    File file = plain().file;
    set_le64(file, 0x20008, 5);
    file[0x20000 + 3000] = byte{1};
    seal_vhdx(file);
    CHECK(error_of(file) == "");
}

TEST_CASE("vhdx: a run of entries anywhere in the ring", "[vhdx][log]") {
    for (const uint64_t at : {uint64_t{0}, uint64_t{5}, sectors - 2, sectors - 1, sectors - 4}) {
        for (const uint64_t count : {1u, 2u, 5u}) {
            CAPTURE(at, count);
            Ring ring;
            ring.run(at, count, 100);
            check_active(ring.file, at, count, 99 + count);
            check_replayed(ring.file, ring.entries);
        }
    }
}

TEST_CASE("vhdx: a ring that is full", "[vhdx][log]") {
    for (const uint64_t at : {0u, 1u, 77u}) {
        CAPTURE(at);
        Ring ring;
        ring.run(at, sectors / 2, 3);
        check_active(ring.file, at, sectors / 2, 2 + sectors / 2);
        check_replayed(ring.file, ring.entries);
    }
    Ring ring;  // and one that is an entry
    std::vector<VhdxUpdate> updates;
    for (uint64_t i = 0; i != sectors - 2; ++i) updates.push_back({4_MiB + i * 4096, data(i)});
    ring.put(9, 1, 9, 0x77, updates);
    check_active(ring.file, 9, 1, 1);
    check_replayed(ring.file, ring.entries);
}

TEST_CASE("vhdx: entries before the tail of the last are done", "[vhdx][log]") {
    Ring ring;
    const uint64_t second = ring.put(sectors - 3, 41, sectors - 3);
    const uint64_t third = ring.put(second, 42, sectors - 3);
    ring.put(third, 43, second);
    check_active(ring.file, second, 2, 43);
    check_replayed(ring.file, {ring.entries[1], ring.entries[2]});
}

TEST_CASE("vhdx: of several runs that with the highest number counts", "[vhdx][log]") {
    Ring ring;
    SECTION("an older one behind it") {
        ring.run(10, 2, 50);
        ring.entries.clear();
        ring.run(4, 3, 90);
        check_active(ring.file, 4, 3, 92);
    }
    SECTION("an older one before it") {
        ring.run(4, 3, 50);
        ring.entries.clear();
        ring.run(100, 1, 90);
        check_active(ring.file, 100, 1, 90);
    }
    SECTION("higher ones of another log") {
        ring.run(4, 3, 5000, 0x55);
        ring.entries.clear();
        ring.run(100, 2, 90);
        check_active(ring.file, 100, 2, 91);
    }
    SECTION("a higher one whose tail is gone") {
        ring.put(4, 5000, 200);
        ring.entries.clear();
        ring.run(100, 2, 90);
        check_active(ring.file, 100, 2, 91);
    }
    SECTION("numbers with a gap are two runs") {
        const uint64_t next = ring.run(100, 2, 90);
        ring.entries.clear();
        ring.run(next, 2, 93);
        check_active(ring.file, next, 2, 94);
    }
    SECTION("a torn entry ends a run") {
        const uint64_t next = ring.run(100, 2, 90);
        ring.put(next, 92, 100);
        ring.entries.pop_back();
        ring.file[plain().log_at + (next + 1) * 4096 + 99] ^= byte{1};
        check_active(ring.file, 100, 2, 91);
    }
    SECTION("what the data of an entry looks like is not looked at") {
        const File fake = log_entry({.sequence = 9000, .tail = 101});
        File in = data(1);
        std::copy_n(fake.begin(), 4088, in.begin());
        ring.put(100, 90, 100, 0x77, {{4_MiB, in}});
        check_active(ring.file, 100, 1, 90);
    }
    check_replayed(ring.file, ring.entries);
}

TEST_CASE("vhdx: a log that is not named is not looked at", "[vhdx][log]") {
    Ring ring(0);
    ring.run(4, 3, 50);
    CHECK(judged(ring.file).bytes == plain().guest.bytes);
    CHECK(active(ring.file).entries == 0);
    name_log(ring.file, 0x78);
    CHECK(error_of(ring.file) == no_entries);
}

TEST_CASE("vhdx: later updates hide earlier ones", "[vhdx][log]") {
    Ring ring;
    uint64_t at =
        ring.put(20, 7, 20, 0x77, {{4_MiB, data(1)}, {4_MiB, data(2)}, {4_MiB + 4096, {}, 12288}});
    at = ring.put(at, 8, 20, 0x77, {{4_MiB + 8192, data(3)}, {5_MiB, {}, 1_MiB}});
    at = ring.put(at, 9, 20, 0x77, {{5_MiB + 40960, data(4)}, {4_MiB + 20480, {}, 0}});
    ring.put(at, 10, 20, 0x77, {{4_MiB, {}, 4096}});
    check_replayed(ring.file, ring.entries);
}

TEST_CASE("vhdx: metadata, regions and the BAT out of the log", "[vhdx][log]") {
    const BuiltVhdx& image = plain();
    for (const uint64_t at : {uint64_t{60}, sectors - 3}) {
        File file = with_log(image,
                             {0x30000, 0x40000, image.metadata_at, image.metadata_at + 0x10000,
                              image.bat_at, 4_MiB, 5_MiB + 4096},
                             at);
        CHECK(judged(file).bytes == image.guest.bytes);
        CHECK(active(file).entries == 1);
        name_log(file, 0);
        CHECK(error_of(file) == "vhdx: neither region table is valid");
    }
}

TEST_CASE("vhdx: a file that is longer after the replay", "[vhdx][log]") {
    File bat(4096);
    set_le64(bat, 0, 7_MiB | 6);  // what was not there: zeros
    set_le64(bat, 8, 6_MiB | 6);
    set_le64(bat, 16, 4_MiB | 6);
    const auto replayed = [&](uint64_t file_size, const std::vector<VhdxUpdate>& more) {
        CAPTURE(file_size);
        Ring ring;
        ring.file.resize(file_size);
        std::vector<VhdxUpdate> updates = {{2_MiB, bat}};
        updates.insert(updates.end(), more.begin(), more.end());
        ring.entries.push_back(
            {.tail = 3, .updates = updates, .flushed = file_size, .last = 8_MiB});
        put_entry(ring.file, plain(), 3, log_entry(ring.entries.back()));
        check_replayed(ring.file, ring.entries);
    };
    replayed(6_MiB, {});
    replayed(6_MiB, {{6_MiB + 4096, data(8)}, {8_MiB - 4096, data(9)}});
    replayed(6_MiB, {{6_MiB, {}, 2_MiB}, {7_MiB, data(9)}});
    replayed(6_MiB - 1000, {});
    replayed(6_MiB + 1000, {});
    replayed(6_MiB + 1000, {{6_MiB, data(10)}});
    replayed(6_MiB + 5, {{6_MiB + 4096, data(10)}});
}

TEST_CASE("vhdx: a region that begins where the file ended", "[vhdx][log]") {
    File table(plain().file.begin() + 0x30000, plain().file.begin() + 0x40000);
    set_le64(table, plain().bat_region - 0x30000 + 16, 6_MiB);
    seal_crc(table, 0, table.size());
    Ring ring;
    std::vector<VhdxUpdate> updates;
    for (const uint64_t copy : {0x30000, 0x40000}) {
        const auto begin = table.begin();
        updates.push_back({copy, File(begin, begin + 4096)});
    }
    File bat(4096);
    set_le64(bat, 8, 4_MiB | 6);
    SECTION("and is written") { updates.push_back({6_MiB, bat}); }
    SECTION("and is not written") {}
    ring.entries.push_back({.tail = 3, .updates = updates, .flushed = 6_MiB, .last = 8_MiB});
    put_entry(ring.file, plain(), 3, log_entry(ring.entries.back()));
    check_replayed(ring.file, ring.entries);
}

}  // namespace vdisk::test
