// SPDX-License-Identifier: BSL-1.0
// Every field of the qcow2 header at its edges, and beyond.
#include <functional>

#include "hostile/run.hpp"

namespace vdisk::test {

namespace {

struct Case {
    const char* name;
    std::function<void(File&)> damage;
    Errc code;         ///< of the refusal
    const char* what;  ///< the rule; "" if the image is good
};

// A small image of each version: clusters of 4 KiB, 2 MiB, so one L1 entry.
const Built& good(uint32_t version) {
    static const auto make = [](uint32_t v) {
        return build(Qcow2Spec{.size = 2_MiB,
                               .cluster_bits = 12,
                               .version = v,
                               .clusters = {{0}, {3, Fill::packed}, {511}}});
    };
    static const Built two = make(2), three = make(3);
    return version == 2 ? two : three;
}

auto be32(uint64_t at, uint64_t value) {
    return [=](File& file) { set_be32(file, at, value); };
}
auto be64(uint64_t at, uint64_t value) {
    return [=](File& file) { set_be64(file, at, value); };
}
auto both(auto first, auto second) {
    return [=](File& file) {
        first(file);
        second(file);
    };
}

void run(uint32_t version, const std::vector<Case>& cases) {
    for (const Case& c : cases) {
        INFO("version " << version << ", " << c.name);
        File file = good(version).file;
        c.damage(file);
        check_verdict(examine<Qcow2>(file), c.code, c.what);
    }
}

constexpr auto corrupt = Errc::corrupt, unsupported = Errc::unsupported, limit = Errc::limit;
constexpr const char* fine = "";
constexpr const char* small_l1 = "qcow2: L1 table is too small for the disk size";
constexpr const char* unaligned_l1 = "qcow2: L1 table offset is not a multiple of the cluster size";
constexpr const char* cluster_range = "qcow2: cluster_bits is not between 9 and 21";
constexpr const char* bad_length = "qcow2: header_length is out of range";
constexpr const char* l1_past_end = "qcow2: L1 table ends past the end of the file";
constexpr const char* l2_overlaps = "qcow2: L2 table overlaps the header, L1 or refcount table";
constexpr const char* bad_refcounts =
    "qcow2: refcount table offset is not a multiple of the cluster size";
constexpr const char* refcounts_past_end = "qcow2: refcount table lies past the end of the file";
constexpr const char* large_refcounts = "qcow2: refcount table is larger than 8 MiB";
constexpr const char* outside = "qcow2: backing file name lies outside the first cluster";
constexpr const char* long_name = "qcow2: backing file name is too long";
constexpr const char* bad_snapshots =
    "qcow2: snapshot table offset is unaligned or past the end of the file";
constexpr const char* wrong_packing = "qcow2: compression type contradicts its feature bit";

}  // namespace

TEST_CASE("qcow2: a good image is good", "[qcow2][header][hostile]") {
    for (const uint32_t version : {2u, 3u}) {
        const Verdict verdict = examine<Qcow2>(good(version).file);
        CHECK(rule(verdict).empty());
        CHECK(verdict.bytes == good(version).guest.bytes);
    }
}

TEST_CASE("qcow2: fields that both versions have", "[qcow2][header][hostile]") {
    const uint64_t file_size = good(3).file.size();
    for (const uint32_t version : {2u, 3u}) {
        run(version,
            {
                {"magic", be32(0, 0x514649FA), corrupt, "qcow2: no qcow2 magic"},
                {"version 0", be32(4, 0), unsupported, "qcow2: version is neither 2 nor 3"},
                {"version 4", be32(4, 4), unsupported, "qcow2: version is neither 2 nor 3"},
                {"cluster_bits 8", be32(20, 8), corrupt, cluster_range},
                {"cluster_bits 22", be32(20, 22), corrupt, cluster_range},
                {"cluster_bits 2^32 - 1", be32(20, ~0u), corrupt, cluster_range},
                {"cluster_bits 256 + 12", be32(20, 268), corrupt, cluster_range},
                {"cluster_bits 21", be32(20, 21), corrupt, unaligned_l1},
                {"size 0", be64(24, 0), corrupt, fine},
                {"size 511", be64(24, 511), corrupt, fine},
                {"size not of sectors", be64(24, 2_MiB - 1), corrupt, fine},
                {"size beyond the L1", be64(24, 2_MiB + 512), corrupt, small_l1},
                {"size a part of a sector beyond the L1", be64(24, 2_MiB + 511), corrupt, fine},
                {"size 2^63", be64(24, uint64_t{1} << 63), corrupt, "qcow2: size is 2^63 or more"},
                {"size 2^64 - 1", be64(24, ~uint64_t{0}), corrupt, "qcow2: size is 2^63 or more"},
                {"size 2^63 - 1", be64(24, ~uint64_t{0} >> 1), corrupt, small_l1},
                {"crypt_method 3", be32(32, 3), unsupported, "qcow2: unknown encryption method"},
                {"l1_size 0", be32(36, 0), corrupt, small_l1},
                {"l1_size 0 for no bytes", both(be32(36, 0), be64(24, 0)), corrupt, fine},
                {"l1_size up to the end", be32(36, (file_size - 0x2000) / 8), corrupt, l2_overlaps},
                {"l1_size past the end", be32(36, (file_size - 0x2000) / 8 + 1), corrupt,
                 l1_past_end},
                {"l1_size 32 MiB", be32(36, 32_MiB / 8), corrupt, l1_past_end},
                {"l1_size over 32 MiB", be32(36, 32_MiB / 8 + 1), limit,
                 "qcow2: L1 table is larger than 32 MiB"},
                {"l1_size 2^32 - 1", be32(36, ~0u), limit, "qcow2: L1 table is larger than 32 MiB"},
                {"L1 at 0", be64(40, 0), corrupt, "qcow2: L1 table overlaps the header"},
                {"L1 unaligned", be64(40, 0x2008), corrupt, unaligned_l1},
                {"L1 at the end", be64(40, file_size), corrupt, l1_past_end},
                {"L1 far away", be64(40, ~uint64_t{0xFFF}), corrupt, l1_past_end},
                {"L1 on the refcount table", be64(40, 0x1000), corrupt,
                 "qcow2: refcount table overlaps the L1 table"},
                {"refcounts at 0", be64(48, 0), corrupt, bad_refcounts},
                {"refcounts unaligned", be64(48, 0x1200), corrupt, bad_refcounts},
                {"refcounts at the end", be64(48, file_size), corrupt, refcounts_past_end},
                {"refcounts far away", be64(48, ~uint64_t{0xFFF}), corrupt, refcounts_past_end},
                {"refcounts across the L1", be32(56, 2), corrupt,
                 "qcow2: refcount table overlaps the L1 table"},
                {"no refcounts", be32(56, 0), corrupt, "qcow2: no refcount table"},
                {"refcounts over 8 MiB", be32(56, 2049), limit, large_refcounts},
                {"refcounts 2^32 - 1", be32(56, ~0u), limit, large_refcounts},
                {"65537 snapshots", be32(60, 65537), limit, "qcow2: more than 65536 snapshots"},
                {"snapshots at 0", be32(60, 1), corrupt, bad_snapshots},
                {"snapshots unaligned", both(be32(60, 1), be64(64, 0x2200)), corrupt,
                 bad_snapshots},
                {"snapshots past the end", both(be32(60, 65536), be64(64, file_size)), corrupt,
                 bad_snapshots},
                {"no snapshots, somewhere", be64(64, ~uint64_t{0}), corrupt, fine},
                {"backing name in the header", be64(8, 71), corrupt, outside},
                {"backing name past the cluster", be64(8, 4097), corrupt, outside},
                {"backing name far away", be64(8, ~uint64_t{0}), corrupt, outside},
                {"backing name of 1024", both(be64(8, 2048), be32(16, 1024)), corrupt, long_name},
                {"backing name of 1023", both(be64(8, 2048), be32(16, 1023)), corrupt, fine},
                {"backing name across the cluster", both(be64(8, 4000), be32(16, 97)), corrupt,
                 long_name},
                {"backing name at the edge", both(be64(8, 4000), be32(16, 96)), corrupt, fine},
                {"backing name of 2^32 - 1", both(be64(8, 2048), be32(16, ~0u)), corrupt,
                 long_name},
            });
    }
}

TEST_CASE("qcow2: fields of version 3", "[qcow2][header][hostile]") {
    const auto type = [](uint8_t value) {
        return [=](File& file) { file[104] = static_cast<byte>(value); };
    };
    const char* const features = qcow2::unknown_features;
    run(3,
        {
            {"dirty", be64(72, 1), corrupt, fine},
            {"corrupt", be64(72, 2), corrupt, fine},
            {"unknown bit 5", be64(72, 32), unsupported, features},
            {"unknown bit 63", be64(72, uint64_t{1} << 63), unsupported, features},
            {"compatible bits", be64(80, ~uint64_t{0}), corrupt, fine},
            {"autoclear bits", be64(88, ~uint64_t{2}), corrupt, fine},
            {"raw data file without one", be64(88, 2), corrupt,
             "qcow2: raw data file flag without a data file"},
            {"refcount_order 6", be32(96, 6), corrupt, fine},
            {"refcount_order 7", be32(96, 7), corrupt, "qcow2: refcount_order is larger than 6"},
            {"header_length 96", be32(100, 96), corrupt, bad_length},
            {"header_length 104", be32(100, 104), corrupt, fine},
            {"header_length 104, garbage behind it", both(be32(100, 104), type(2)), corrupt, fine},
            {"header_length 104, the type behind it",
             both(be32(100, 104), both(be64(72, 8), type(1))), corrupt, wrong_packing},
            {"header_length 105", be32(100, 105), corrupt, bad_length},
            {"header_length 4096", be32(100, 4096), corrupt, fine},
            {"header_length 4104", be32(100, 4104), corrupt, bad_length},
            {"header_length 2^32 - 8", be32(100, ~7u), corrupt, bad_length},
            {"backing name inside a longer header", both(be32(100, 256), be64(8, 248)), corrupt,
             outside},
            {"type without its bit", type(1), corrupt, wrong_packing},
            {"bit without its type", be64(72, 8), corrupt, wrong_packing},
            {"unknown type", both(type(2), be64(72, 8)), unsupported,
             "qcow2: unknown compression type"},
            {"extended L2 in small clusters", be64(72, 16), corrupt,
             "qcow2: extended L2 entries need clusters of 16 KiB or more"},
        });
}

TEST_CASE("qcow2: version 2 has no fields after its 72 bytes", "[qcow2][header][hostile]") {
    File file = good(2).file;
    for (size_t at = 80; at != 112; ++at) file[at] = byte{0xFF};  // 72: the end marker
    CHECK(examine<Qcow2>(file).bytes == good(2).guest.bytes);
}

TEST_CASE("qcow2: a file that ends inside the header", "[qcow2][header][hostile]") {
    const File& whole = good(3).file;
    for (size_t size = 0; size != 112; ++size) {
        const File file(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
        const Verdict verdict = examine<Qcow2>(file);
        CAPTURE(size);
        if (size < 4) check_refusal(verdict, corrupt, "qcow2: no qcow2 magic");
        else if (size < 8) check_refusal(verdict, unsupported, "qcow2: version is neither 2 nor 3");
        else if (size < 104)
            check_refusal(verdict, corrupt, "qcow2: the file is shorter than its header");
        else check_refusal(verdict, corrupt, l1_past_end);
    }
}

TEST_CASE("qcow2: an error says what stands where", "[qcow2][header][hostile]") {
    File file = good(3).file;
    set_be32(file, 20, 22);
    const Verdict verdict = examine<Qcow2>(file);
    REQUIRE(verdict.error);
    CHECK(verdict.error->value == 22);
    CHECK(verdict.error->at == 20);
}

}  // namespace vdisk::test
