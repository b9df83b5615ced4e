// SPDX-License-Identifier: BSL-1.0
// L1 and L2 entries that lie: unaligned, past the end, into other tables, contradicting.
#include <functional>

#include "hostile/run.hpp"
#include "support/bytes.hpp"

namespace vdisk::test {

namespace {

constexpr auto corrupt = Errc::corrupt;
constexpr const char* fine = "";
constexpr const char* l2_unaligned = "qcow2: L2 table offset is not a multiple of the cluster size";
constexpr const char* l2_past_end = "qcow2: L2 table lies past the end of the file";
constexpr const char* l2_overlaps = "qcow2: L2 table overlaps the header, L1 or refcount table";
constexpr const char* unaligned = "qcow2: cluster offset is not a multiple of the cluster size";
constexpr const char* past_end = "qcow2: cluster lies past the end of the file";
constexpr const char* overlaps_tables = "qcow2: cluster overlaps the header, L1 or refcount table";
constexpr const char* packed_past_end = "qcow2: compressed cluster lies past the end of the file";
constexpr const char* both_bits = "qcow2: subcluster is both allocated and zero";
constexpr const char* no_cluster = "qcow2: allocated subcluster without a cluster";
constexpr uint64_t copied = uint64_t{1} << 63;

Qcow2Spec plain(uint32_t version = 3) {
    return {.size = 2_MiB,
            .cluster_bits = 12,
            .version = version,
            .clusters = {{0}, {1}, {7, Fill::packed}}};
}

struct Case {
    const char* name;
    uint64_t value;
    const char* what;
};

void run(const Built& image, uint64_t at, const std::vector<Case>& cases) {
    for (const Case& c : cases) {
        INFO(c.name);
        File file = image.file;
        set_be64(file, at, c.value);
        const Verdict verdict = examine<Qcow2>(file);
        check_verdict(verdict, corrupt, c.what);
        if (!verdict.error) continue;
        CHECK(verdict.error->at == at);
        CHECK(verdict.error->value == c.value);
    }
}

}  // namespace

TEST_CASE("qcow2: an L1 entry that lies", "[qcow2][hostile]") {
    const Built image = build(plain());
    const uint64_t size = image.file.size();
    const uint64_t table = get_be64(image.file, image.l1_at);
    run(image, image.l1_at,
        {{"nothing", 0, fine},
         {"not copied", table & ~copied, fine},
         {"reserved bits", table | 0x7F000000000001FF, fine},
         {"unaligned", table + 512, l2_unaligned},
         {"at the end", size, l2_past_end},
         {"far away", 0x00FFFFFFFFFFF000, l2_past_end},
         {"the refcount table", image.refcount_table_at, l2_overlaps},
         {"itself", image.l1_at, l2_overlaps}});
}

TEST_CASE("qcow2: an L2 entry that lies", "[qcow2][hostile]") {
    const Built image = build(plain());
    const uint64_t at = image.entry_at.at(1);
    const uint64_t home = get_be64(image.file, at);
    const auto packed = [](uint64_t where, uint64_t sectors) {
        return uint64_t{1} << 62 | (sectors - 1) << 58 | where;
    };
    run(image, at,
        {{"nothing", 0, fine},
         {"zero", 1, fine},
         {"zero, at a home past the end", 0x00FFFFFFFFFFF001, fine},
         {"reserved bits", home | 0x3F000000000001FE, fine},
         {"copied alone", copied, fine},
         {"unaligned", home + 512, unaligned},
         {"at the end", image.file.size(), past_end},
         {"far away", 0x00FFFFFFFFFFF000, past_end},
         {"the L1 table", image.l1_at, overlaps_tables},
         {"the refcount table", image.refcount_table_at, overlaps_tables},
         {"compressed at the end", packed(image.file.size(), 1), packed_past_end},
         {"compressed far away", packed((uint64_t{1} << 58) - 1, 16), packed_past_end},
         {"compressed past 2^56", packed(uint64_t{1} << 56 | 0x3000, 1), packed_past_end}});
}

TEST_CASE("qcow2: the zero flag is of version 3", "[qcow2][hostile]") {
    const Built image = build(plain(2));
    const uint64_t at = image.entry_at.at(1);
    run(image, at,
        {{"alone", 1, "qcow2: zero flag in a version 2 image"},
         {"with a home", get_be64(image.file, at) | 1, "qcow2: zero flag in a version 2 image"}});
}

TEST_CASE("qcow2: tables that share and loop end somewhere", "[qcow2][hostile]") {
    Qcow2Spec spec = plain();
    spec.size = 8_MiB;
    spec.clusters = {{0}, {1}, {600}};
    Built image = build(spec);
    SECTION("two L1 entries, one L2 table") {
        const uint64_t table = get_be64(image.file, image.l1_at);
        set_be64(image.file, image.l1_at + 8, table);
        const Verdict verdict = examine<Qcow2>(image.file);
        REQUIRE(!verdict.error);
        CHECK(std::ranges::equal(Bytes(verdict.bytes).first(8192),
                                 Bytes(verdict.bytes).subspan(2_MiB, 8192)));
    }
    SECTION("an L2 entry that points to its own table reads as data") {
        const uint64_t table = get_be64(image.file, image.l1_at) & ~copied;
        set_be64(image.file, image.entry_at.at(0), table);
        const Verdict verdict = examine<Qcow2>(image.file);
        REQUIRE(!verdict.error);
        CHECK(get_be64(verdict.bytes, 0) == table);
    }
}

TEST_CASE("qcow2: extended L2 entries that contradict themselves", "[qcow2][hostile][extended]") {
    const Built image = build(Qcow2Spec{.size = 1_MiB,
                                        .cluster_bits = 16,
                                        .extended_l2 = true,
                                        .clusters = {{0}, {2, Fill::packed}, {5, Fill::zero}}});
    struct Pair {
        const char* name;
        uint64_t cluster, bitmap;
        const char* what;
    };
    const uint64_t at = image.entry_at.at(0);
    const uint64_t home = get_be64(image.file, at);
    const Pair pairs[] = {
        {"one subcluster is both", home, 0x0000000100000001, both_bits},
        {"the last one is both", home, 0x80000000FFFFFFFF, both_bits},
        {"all are both", home, ~uint64_t{0}, both_bits},
        {"stored without a cluster", 0, 1, no_cluster},
        {"stored without a cluster, later", 0, 0x80000000, no_cluster},
        {"zeros without a cluster", 0, 0xFFFFFFFF00000000, fine},
        {"a home for nothing", home, 0, fine},
        {"the zero bit of standard entries", home | 1, 0x00000000FFFFFFFF, fine},
        {"unaligned", home + 512, 1, unaligned},
        {"past the end", 0x00FFFFFFFFFF0000, 1, past_end},
        {"compressed, with subclusters", qcow2::entry::compressed | home, 1,
         "qcow2: compressed cluster with subclusters"},
    };
    for (const Pair& p : pairs) {
        INFO(p.name);
        File file = image.file;
        set_be64(file, at, p.cluster);
        set_be64(file, at + 8, p.bitmap);
        check_verdict(examine<Qcow2>(file), corrupt, p.what);
    }
}

TEST_CASE("qcow2: compressed streams that are damaged", "[qcow2][hostile][compressed]") {
    const Built image = build(plain());
    const uint64_t entry_at = image.entry_at.at(7);
    const uint64_t entry = get_be64(image.file, entry_at);
    const uint64_t at = entry & ((uint64_t{1} << 58) - 1);
    File file = image.file;
    SECTION("cut by the end of the file") {
        file.resize(at + 5);
        const Verdict verdict = examine<Qcow2>(file);
        check_refusal(verdict, corrupt, "codec: deflate stream ends too early");
    }
    SECTION("garbage") {
        std::fill_n(file.begin() + static_cast<ptrdiff_t>(at), 64, byte{0xFF});
        check_refusal(examine<Qcow2>(file), corrupt, "codec: deflate stream is damaged");
    }
    SECTION("starts past the end") {
        file.resize(at);
        check_refusal(examine<Qcow2>(file), corrupt, packed_past_end);
    }
    SECTION("too few sectors") {
        const uint64_t sectors = entry >> 58 & 15;
        set_be64(file, entry_at, (entry & ~(uint64_t{15} << 58)));
        const Verdict verdict = examine<Qcow2>(file);
        if (sectors == 0) CHECK(!verdict.error);
        else check_refusal(verdict, corrupt, "codec: deflate stream ends too early");
    }
    SECTION("more sectors than the stream needs, and than the file has") {
        set_be64(file, entry_at, entry | uint64_t{15} << 58);
        file.resize(std::min<size_t>(file.size(), at + 2048));
        CHECK(examine<Qcow2>(file).bytes == image.guest.bytes);
    }
    SECTION("the stream holds more than the cluster") {
        const File stream = pack(prose(8192), Packing::deflate);
        const uint64_t end = file.size();
        file.insert(file.end(), stream.begin(), stream.end());
        set_be64(file, entry_at, uint64_t{1} << 62 | uint64_t{7} << 58 | end);
        const Verdict verdict = examine<Qcow2>(file);
        REQUIRE(!verdict.error);
        CHECK(std::ranges::equal(Bytes(verdict.bytes).subspan(7 * 4096, 4096),
                                 Bytes(prose(8192)).first(4096)));
    }
}

}  // namespace vdisk::test
