// SPDX-License-Identifier: BSL-1.0
// Logs that lie: every field of an entry at its edges, and what an entry may aim at.

#include "hostile/vhdx_damage.hpp"
#include "support/bytes.hpp"

namespace vdisk::test {

namespace {

using namespace vhdx_damage;

constexpr const char* no_entries = "vhdx: the header names a log that has no valid entries";
constexpr const char* past_end = "vhdx: log entry aims past the end of the file";
constexpr const char* at_headers = "vhdx: log entry aims at the headers";
constexpr const char* at_log = "vhdx: log entry aims at the log";
constexpr const char* too_large = "vhdx: log is too large to be read without replaying it";
constexpr const char* overlapping = "vhdx: log entries overlap too often";
constexpr uint64_t at = 7;  // the log sector of the entry

// Log, BAT, metadata, one block: 5 MiB.
const BuiltVhdx& plain() {
    static const BuiltVhdx image = build(VhdxSpec{.size = 1_MiB, .blocks = {{0}}, .shuffle = 0});
    return image;
}

File data(uint32_t seed) { return noise(4096, seed); }

File file_with(const std::vector<VhdxUpdate>& updates, uint64_t last = 5_MiB) {
    File file = plain().file;
    put_entry(file, plain(), at,
              log_entry({.tail = at, .updates = updates, .flushed = 5_MiB, .last = last}));
    name_log(file);
    return file;
}

// One data and one zero descriptor, then `change(entry)` and the checksum.
template <class Edit>
std::string after(const Edit& change) {
    File entry = log_entry({.sequence = 0x500000009,
                            .tail = at,
                            .updates = {{4_MiB, data(1)}, {4_MiB + 8_KiB, {}, 8_KiB}},
                            .flushed = 5_MiB,
                            .last = 5_MiB});
    change(entry);
    seal_crc(entry, 0, entry.size());
    File file = plain().file;
    put_entry(file, plain(), at, entry);
    name_log(file);
    return rule(judged(file));
}

std::string aims(uint64_t target, uint64_t zeros = 0) {
    if (zeros != 0) return rule(judged(file_with({{target, {}, zeros}})));
    return rule(judged(file_with({{target, data(1)}})));
}

}  // namespace

TEST_CASE("vhdx: fields of a log entry", "[vhdx][log][hostile]") {
    struct Field {
        const char* name;
        uint64_t at;
        unsigned width;
        uint64_t value;
        const char* what;
    };
    const char* const cut = "vhdx: the file is shorter than its log knows it";
    const std::vector<Field> fields = {
        {"signature", 0, 4, 0, no_entries},
        {"length 0", 8, 4, 0, no_entries},
        {"length 4095", 8, 4, 4095, no_entries},
        {"length without its data", 8, 4, 4096, no_entries},
        {"length of the ring, another sum", 8, 4, 1_MiB, no_entries},
        {"length beyond the ring", 8, 4, 1_MiB + 4096, no_entries},
        {"length 2^32 - 4096", 8, 4, 0xFFFFF000, no_entries},
        {"tail of another", 12, 4, 8 * 4096, no_entries},
        {"tail of 1", 12, 4, 1, no_entries},
        {"tail at the end", 12, 4, 1_MiB, no_entries},
        {"tail far away", 12, 4, 0xFFFFF000, no_entries},
        {"sequence 0", 16, 8, 0, no_entries},
        {"another sequence", 16, 8, 0x500000008, no_entries},
        {"another upper half", 16, 8, 0x600000009, no_entries},
        {"one descriptor more", 24, 4, 3, no_entries},
        {"no descriptors", 24, 4, 0, fine},
        {"descriptors beyond the entry", 24, 4, 300, no_entries},
        {"2^32 - 1 descriptors", 24, 4, ~0u, no_entries},
        {"reserved", 28, 4, ~0u, fine},
        {"guid", 32, 8, 0, no_entries},
        {"flushed beyond the file", 48, 8, 5_MiB + 1, cut},
        {"flushed beyond all", 48, 8, ~uint64_t{0}, cut},
        {"flushed 0", 48, 8, 0, fine},
        {"last 0", 56, 8, 0, fine},
        {"last beyond all", 56, 8, ~uint64_t{0}, fine},
        {"descriptor signature", 64, 4, 0, no_entries},
        {"data descriptor at an odd place", 80, 8, 4_MiB + 512, no_entries},
        {"data descriptor beyond 2^63", 80, 8, uint64_t{1} << 63, no_entries},
        {"data descriptor whose end wraps", 80, 8, ~uint64_t{4095}, no_entries},
        {"data descriptor of another entry", 88, 8, 8, no_entries},
        {"zeros that reach 2^63", 104, 8, uint64_t{1} << 63, no_entries},
        {"zeros that wrap", 104, 8, ~uint64_t{4095}, no_entries},
        {"zeros of half a sector", 104, 8, 2048, no_entries},
        {"no zeros", 104, 8, 0, fine},
        {"zeros at an odd place", 112, 8, 4_MiB + 1, no_entries},
        {"zeros of another entry", 120, 8, 0x500000008, no_entries},
        {"data signature", 4096, 4, 0, no_entries},
        {"data, upper half", 4100, 4, 6, no_entries},
        {"data, lower half", 8188, 4, 8, no_entries},
    };
    CHECK(after([](File&) {}) == fine);
    for (const Field& f : fields) {
        INFO(f.name);
        CHECK(after([&](File& entry) {
                  if (f.width == 4) set_le32(entry, f.at, f.value);
                  else set_le64(entry, f.at, f.value);
              }) == f.what);
    }
}

TEST_CASE("vhdx: a torn entry is none", "[vhdx][log][hostile]") {
    for (const uint64_t torn : {70u, 300u, 4500u, 8191u}) {
        File file = file_with({{4_MiB, data(1)}});
        file[plain().log_at + at * 4096 + torn] ^= byte{1};
        CHECK(rule(judged(file)) == no_entries);
    }
}

TEST_CASE("vhdx: what an entry may aim at", "[vhdx][log][hostile]") {
    CHECK(aims(0) == at_headers);
    CHECK(aims(0x10000) == at_headers);
    CHECK(aims(0x20000) == at_headers);
    CHECK(aims(0x2F000) == at_headers);
    CHECK(aims(0x50000) == at_headers);
    CHECK(aims(1_MiB - 4096) == at_headers);
    CHECK(aims(0x2F000, 8192) == at_headers);
    CHECK(aims(0x4F000, 8192) == at_headers);
    CHECK(aims(0, 4_MiB) == at_headers);
    CHECK(aims(1_MiB - 4096, 8192) == at_headers);
    CHECK(aims(1_MiB) == at_log);
    CHECK(aims(1_MiB + at * 4096) == at_log);
    CHECK(aims(2_MiB - 4096) == at_log);
    CHECK(aims(2_MiB - 4096, 8192) == at_log);
    CHECK(aims(5_MiB) == past_end);
    CHECK(aims(5_MiB - 4096, 8192) == past_end);
    CHECK(aims((uint64_t{1} << 63) - 4096) == past_end);
    CHECK(aims(2_MiB, uint64_t{1} << 62) == past_end);
    CHECK(aims(5_MiB - 4096) == fine);
    CHECK(aims(0x30000) == fine);
    CHECK(aims(0x30000, 0x20000) == "vhdx: neither region table is valid");
    CHECK(aims(0x30000, 0x10000) == fine);
    CHECK(aims(3_MiB) == "vhdx: metadata region has no signature");
    CHECK(aims(3_MiB, 64_KiB) == "vhdx: metadata region has no signature");
    CHECK(aims(3_MiB + 64_KiB, 4096) == "vhdx: block size is not a power of two from 1 to 256 MiB");
}

TEST_CASE("vhdx: zeros over the whole BAT hide the block", "[vhdx][log][hostile]") {
    const Verdict verdict = judged(file_with({{2_MiB, {}, 1_MiB}}));
    CHECK(rule(verdict) == fine);
    CHECK(verdict.bytes == File(1_MiB));
    CHECK(judged(file_with({{2_MiB, {}, 0}})).bytes == plain().guest.bytes);
}

// What is looked at is counted, and ends at a limit: their number would have its square.
TEST_CASE("vhdx: so many entries that lie over each other are refused",
          "[vhdx][log][hostile][long]") {
    const auto image = build(VhdxSpec{.size = 1_MiB, .shuffle = 0, .log_mib = 8});
    const auto claim = [&](uint64_t every) {
        File file = image.file;
        const uint64_t sectors = image.log_length / 4096;
        File entry = log_entry({});  // and says it is as long as the ring
        set_le32(entry, 8, image.log_length);
        for (uint64_t i = 0; i < sectors; i += every) put_entry(file, image, i, entry);
        name_log(file);
        return file;
    };
    check_refusal(judged(claim(1)), Errc::limit, overlapping);
    check_refusal(judged(claim(1024)), Errc::corrupt, no_entries);
}

TEST_CASE("vhdx: more updates than are held in memory", "[vhdx][log][hostile]") {
    const std::vector<VhdxUpdate> most(vhdx::max_updates, {4_MiB, {}, 4096});
    std::vector<VhdxUpdate> more = most;
    more.push_back(most.front());
    File wanted = plain().guest.bytes;
    std::fill_n(wanted.begin(), 4096, byte{0});
    check_refusal(judged(file_with(most)), Errc::no_memory, "arena: the buffer is too small");
    const bool same = judge<Vhdx>(file_with(most)).bytes == wanted;
    CHECK(same);
    check_refusal(judged(file_with(more)), Errc::limit, too_large);
}

}  // namespace vdisk::test
