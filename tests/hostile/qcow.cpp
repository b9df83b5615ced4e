// SPDX-License-Identifier: BSL-1.0
// qcow version 1: every field at its edges, tables and streams that lie.
#include <functional>

#include "hostile/run.hpp"
#include "support/bytes.hpp"

namespace vdisk::test {

namespace {

constexpr auto corrupt = Errc::corrupt, unsupported = Errc::unsupported;
constexpr const char* fine = "";
constexpr const char* bad_cluster_bits = "qcow: cluster_bits is not between 9 and 16";
constexpr const char* bad_l2_bits = "qcow: l2_bits is not between 6 and 13";
constexpr const char* bad_size = "qcow: size is below 2 or not below 2^63";
constexpr const char* l1_past_end = "qcow: L1 table ends past the end of the file";
constexpr const char* bad_name = "qcow: backing file name is too long or past the end of the file";
constexpr uint64_t compressed = uint64_t{1} << 63;

QcowSpec plain() {
    return {.size = 600_KiB,
            .l2_bits = 6,
            .clusters = {{0}, {1}, {70, Fill::packed}, {71, Fill::packed}, {149}}};
}

struct Case {
    const char* name;
    std::function<void(File&)> damage;
    Errc code;
    const char* what;
};

void run(const Built& image, const std::vector<Case>& cases) {
    for (const Case& c : cases) {
        INFO(c.name);
        File file = image.file;
        c.damage(file);
        check_verdict(examine<Qcow>(file), c.code, c.what);
    }
}

auto be32(uint64_t at, uint64_t value) {
    return [=](File& file) { set_be32(file, at, value); };
}
auto be64(uint64_t at, uint64_t value) {
    return [=](File& file) { set_be64(file, at, value); };
}
auto u8(uint64_t at, uint8_t value) {
    return [=](File& file) { file[at] = static_cast<byte>(value); };
}

}  // namespace

TEST_CASE("qcow: header fields", "[qcow][header][hostile]") {
    const Built image = build(plain());
    CHECK(examine<Qcow>(image.file).bytes == image.guest.bytes);
    const uint64_t end = image.file.size();
    const auto backing = [](uint64_t at, uint64_t length) {
        return [=](File& file) {
            set_be64(file, 8, at);
            set_be32(file, 16, length);
        };
    };
    run(image,
        {
            {"magic", be32(0, 0), corrupt, "qcow: no qcow magic"},
            {"version 0", be32(4, 0), unsupported, "qcow: version is not 1"},
            {"version 2", be32(4, 2), unsupported, "qcow: version is not 1"},
            {"cluster_bits 8", u8(32, 8), corrupt, bad_cluster_bits},
            {"cluster_bits 17", u8(32, 17), corrupt, bad_cluster_bits},
            {"cluster_bits 255", u8(32, 255), corrupt, bad_cluster_bits},
            {"l2_bits 5", u8(33, 5), corrupt, bad_l2_bits},
            {"l2_bits 14", u8(33, 14), corrupt, bad_l2_bits},
            {"l2_bits 255", u8(33, 255), corrupt, bad_l2_bits},
            {"size 0", be64(24, 0), corrupt, bad_size},
            {"size 1", be64(24, 1), corrupt, bad_size},
            {"size 2", be64(24, 2), corrupt, fine},
            {"size 2^63 - 1", be64(24, ~uint64_t{0} >> 1), corrupt, l1_past_end},
            {"size 2^63", be64(24, uint64_t{1} << 63), corrupt, bad_size},
            {"size 2^64 - 1", be64(24, ~uint64_t{0}), corrupt, bad_size},
            {"size 2^60", be64(24, uint64_t{1} << 60), corrupt, l1_past_end},
            {"padding", be32(34, ~0u << 16), corrupt, fine},  // and crypt_method stays 0
            {"crypt_method 1", be32(36, 1), Errc::encrypted, "qcow: the image is encrypted (AES)"},
            {"crypt_method 2", be32(36, 2), unsupported, "qcow: unknown encryption method"},
            {"L1 at 0", be64(40, 0), corrupt, "qcow: L1 table overlaps the header"},
            {"L1 at 47", be64(40, 47), corrupt, "qcow: L1 table overlaps the header"},
            {"L1 past the end", be64(40, end - 8), corrupt, l1_past_end},
            {"L1 far away", be64(40, ~uint64_t{0}), corrupt, l1_past_end},
            {"backing name past the end", backing(end - 3, 4), corrupt, bad_name},
            {"backing name far away", backing(~uint64_t{0}, 4), corrupt, bad_name},
            {"backing name of 1024", backing(48, 1024), corrupt, bad_name},
            {"backing name of 1023", backing(48, 1023), corrupt, fine},
            {"no backing name, of any length", backing(0, ~0u), corrupt, fine},
        });
}

TEST_CASE("qcow: a file that ends inside the header", "[qcow][header][hostile]") {
    const File whole = build(plain()).file;
    for (const size_t size : {0u, 1u, 4u, 47u}) {
        check_refusal(examine<Qcow>(File(whole.begin(), whole.begin() + static_cast<int>(size))),
                      corrupt, "qcow: the file is shorter than its header");
    }
}

TEST_CASE("qcow: encrypted images open for their metadata alone", "[qcow][hostile]") {
    File file = build(plain()).file;
    set_be32(file, 36, 1);
    check_refusal(examine<Qcow>(file, {.purpose = Purpose::metadata}), Errc::encrypted,
                  "qcow: the image is encrypted (AES)");
    CHECK(SystemImage<MemoryStorage>::open("qcow", MemoryStorage(file), {Purpose::metadata}));
}

TEST_CASE("qcow: L1 and L2 entries that lie", "[qcow][hostile]") {
    const Built image = build(plain());
    const uint64_t end = image.file.size(), l1 = image.l1_at, l2 = image.entry_at.at(1);
    const auto packed = [](uint64_t at, uint64_t length) {
        return compressed | length << (63 - 12) | at;
    };
    const auto onto_l1 = [=](File& file) {  // which is moved to where a cluster may begin
        const uint64_t at = blocks(file.size(), 12) << 12;
        file.resize(at + 4096);
        std::copy_n(&file[l1], 24, &file[at]);
        set_be64(file, 40, at);
        set_be64(file, l2, at);
    };
    const char* const l2_past_end = "qcow: L2 table ends past the end of the file";
    const char* const l2_overlaps = "qcow: L2 table overlaps the header or the L1 table";
    const char* const packed_past_end = "qcow: compressed cluster ends past the end of the file";
    run(image, {
                   {"L2 nowhere", be64(l1, 0), corrupt, fine},
                   {"L2 past the end", be64(l1, end - 511), corrupt, l2_past_end},
                   {"L2 far away", be64(l1, ~uint64_t{0}), corrupt, l2_past_end},
                   {"L2 in the header", be64(l1, 8), corrupt, l2_overlaps},
                   {"L2 in the L1", be64(l1, l1 + 8), corrupt, l2_overlaps},
                   {"cluster nowhere", be64(l2, 0), corrupt, fine},
                   {"cluster unaligned", be64(l2, 0x2001), corrupt,
                    "qcow: cluster offset is not a multiple of 512"},
                   {"cluster on the L1", onto_l1, corrupt,
                    "qcow: cluster overlaps the header or the L1 table"},
                   {"cluster far away", be64(l2, 0x20000000), corrupt,
                    "qcow: cluster lies past the end of the file"},
                   {"stream of no bytes", be64(l2, packed(4096, 0)), corrupt,
                    "qcow: compressed cluster of no bytes"},
                   {"stream past the end", be64(l2, packed(end - 9, 10)), corrupt, packed_past_end},
                   {"stream far away", be64(l2, packed((uint64_t{1} << 51) - 1, 10)), corrupt,
                    packed_past_end},
               });
}

TEST_CASE("qcow: an L2 table at any offset", "[qcow][hostile]") {
    Built image = build(plain());
    const uint64_t old = get_be64(image.file, image.l1_at);
    const File table(image.file.begin() + static_cast<ptrdiff_t>(old),
                     image.file.begin() + static_cast<ptrdiff_t>(old + 512));
    for (const size_t skew : {1u, 3u, 8u, 505u}) {  // entries straddle pages of the cache
        CAPTURE(skew);
        File file = image.file;
        file.resize((file.size() + 511) / 512 * 512 + skew);
        set_be64(file, image.l1_at, file.size());
        file.insert(file.end(), table.begin(), table.end());
        CHECK(examine<Qcow>(file).bytes == image.guest.bytes);
    }
}

TEST_CASE("qcow: streams that are damaged", "[qcow][hostile][compressed]") {
    const Built image = build(plain());
    const uint64_t entry_at = image.entry_at.at(71);  // the last in the file
    const uint64_t entry = get_be64(image.file, entry_at);
    const uint64_t at = entry & ((uint64_t{1} << 51) - 1);
    File file = image.file;
    SECTION("garbage") {
        std::fill(file.begin() + static_cast<ptrdiff_t>(at), file.end(), byte{0xFF});
        check_refusal(examine<Qcow>(file), corrupt, "codec: deflate stream is damaged");
    }
    SECTION("a byte short") {
        set_be64(file, entry_at, entry - (uint64_t{1} << 51) * 20);
        check_refusal(examine<Qcow>(file), corrupt, "codec: deflate stream ends too early");
    }
    SECTION("the file ends inside it") {
        file.pop_back();
        check_refusal(examine<Qcow>(file), corrupt,
                      "qcow: compressed cluster ends past the end of the file");
    }
    SECTION("garbage behind it") {
        file.resize(file.size() + 100, byte{0xFF});
        set_be64(file, entry_at, entry + (uint64_t{1} << 51) * 100);
        CHECK(examine<Qcow>(file).bytes == image.guest.bytes);
    }
}

TEST_CASE("qcow: the geometries", "[qcow][hostile]") {
    for (unsigned cluster_bits = 9; cluster_bits <= 16; ++cluster_bits) {
        for (const unsigned l2_bits : {6u, 9u, 13u}) {
            CAPTURE(cluster_bits, l2_bits);
            const uint64_t count = cluster_bits > 13 ? 10 : 200;
            const Built image = build(
                QcowSpec{.size = (count << cluster_bits) - 512,
                         .cluster_bits = cluster_bits,
                         .l2_bits = l2_bits,
                         .clusters = mixture(count, cluster_bits, {Fill::data, Fill::packed})});
            CHECK(examine<Qcow>(image.file).bytes == image.guest.bytes);
        }
    }
}

TEST_CASE("qcow: a file may end inside its last cluster", "[qcow][eof][hostile]") {
    const Built image = build(QcowSpec{.size = 64_KiB, .clusters = {{0}, {3}}, .shuffle = 0});
    for (const uint64_t kept : {4095u, 512u, 1u}) {
        File file = image.file;
        file.resize(image.data_end - 4096 + kept);
        File wanted = image.guest.bytes;
        std::fill(wanted.begin() + static_cast<ptrdiff_t>(3 * 4096 + kept),
                  wanted.begin() + 4 * 4096, byte{0});
        CHECK(examine<Qcow>(file).bytes == wanted);
    }
}

TEST_CASE("qcow: the last L1 entry counts where it is partly used", "[qcow][hostile]") {
    const Built image = build(plain());  // two L1 entries and a part of the third
    const uint64_t end = image.file.size();
    File file = image.file;
    SECTION("an L2 table on top of it") {
        set_be64(file, image.l1_at, image.l1_at + 16);
        check_refusal(examine<Qcow>(file), corrupt,
                      "qcow: L2 table overlaps the header or the L1 table");
    }
    SECTION("the file ends before it") {
        file.resize(end + 23);
        set_be64(file, 40, end);
        check_refusal(examine<Qcow>(file), corrupt, l1_past_end);
        file.resize(end + 24);
        CHECK(examine<Qcow>(file).bytes == File(600_KiB));
    }
}

TEST_CASE("qcow: no L2 table in the header, wherever the L1 table is", "[qcow][hostile]") {
    File file = build(plain()).file;
    const uint64_t l1_at = (file.size() + 511) / 512 * 512;
    file.resize(l1_at + 24);
    set_be64(file, 40, l1_at);
    for (const uint64_t at : {1u, 8u, 47u}) {
        CAPTURE(at);
        set_be64(file, l1_at, at);
        check_refusal(examine<Qcow>(file), corrupt,
                      "qcow: L2 table overlaps the header or the L1 table");
    }
    set_be64(file, l1_at, 48);
    CHECK(rule(examine<Qcow>(file)) == "");
}

}  // namespace vdisk::test
