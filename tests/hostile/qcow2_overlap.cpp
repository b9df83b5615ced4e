// SPDX-License-Identifier: BSL-1.0
// Nothing may lie in the tables that are always there, in any of their clusters.
#include "hostile/run.hpp"

namespace vdisk::test {

namespace {

constexpr uint64_t cluster = 512, copied = uint64_t{1} << 63;

// 65 L1 entries: the table's second cluster has one. The refcount table is moved to the end of the
// file and has two clusters.
Built two_of_each() {
    Built image =
        build(Qcow2Spec{.size = 2_MiB + 32_KiB, .cluster_bits = 9, .clusters = {{0}, {1}}});
    image.refcount_table_at = image.file.size();
    image.file.resize(image.file.size() + 2 * cluster);
    set_be64(image.file, 48, image.refcount_table_at);
    set_be32(image.file, 56, 2);
    return image;
}

}  // namespace

TEST_CASE("qcow2: no cluster lies in any part of a table", "[qcow2][hostile]") {
    Built image = two_of_each();
    CHECK(examine<Qcow2>(image.file).bytes == image.guest.bytes);
    for (const uint64_t table : {image.l1_at, image.refcount_table_at}) {
        for (const uint64_t host : {table, table + cluster}) {
            CAPTURE(image.l1_at, host);
            File file = image.file;
            set_be64(file, image.entry_at.at(1), host | copied);
            check_refusal(examine<Qcow2>(file), Errc::corrupt,
                          "qcow2: cluster overlaps the header, L1 or refcount table");
            file = image.file;
            set_be64(file, image.l1_at, host | copied);
            check_refusal(examine<Qcow2>(file), Errc::corrupt,
                          "qcow2: L2 table overlaps the header, L1 or refcount table");
        }
    }
    // What follows a table may be used.
    image.file.resize(image.file.size() + cluster, byte{7});
    for (const uint64_t at : {image.l1_at, image.refcount_table_at}) {
        set_be64(image.file, image.entry_at.at(1), at + 2 * cluster);
        CHECK(rule(examine<Qcow2>(image.file)) == "");
    }
}

TEST_CASE("qcow2: no refcount table in any part of the L1 table", "[qcow2][hostile]") {
    const char* const what = "qcow2: refcount table overlaps the L1 table";
    for (const uint64_t clusters : {1u, 2u}) {
        for (const uint64_t in : {0u, 1u}) {
            CAPTURE(clusters, in);
            Built image = two_of_each();
            set_be64(image.file, 48, image.l1_at + in * cluster);
            set_be32(image.file, 56, clusters);
            check_refusal(examine<Qcow2>(image.file), Errc::corrupt, what);
        }
    }
    Built image = two_of_each();
    set_be64(image.file, 48, image.l1_at - cluster);  // its old place: one cluster is free
    check_refusal(examine<Qcow2>(image.file), Errc::corrupt, what);
    set_be32(image.file, 56, 1);
    CHECK(rule(examine<Qcow2>(image.file)) == "");
}

TEST_CASE("qcow2: the sector count of a stream ends below the copied bit",
          "[qcow2][hostile][compressed]") {
    for (const unsigned bits : {9u, 12u, 16u, 21u}) {
        CAPTURE(bits);
        Built image = build(Qcow2Spec{.size = uint64_t{2} << bits,
                                      .cluster_bits = bits,
                                      .clusters = {{0, Fill::packed}, {1, Fill::packed}}});
        image.file.resize(image.file.size() + 64_KiB);  // room for a stream that is too long
        const auto stored = [&] {
            const auto disk = value_of(open<Qcow2>(MemoryStorage(image.file)));
            const Extent extent = value_of(disk.lookup(0, 1));
            CHECK(extent.kind == Kind::compressed);
            return extent.packed.stored;
        };
        const uint64_t entry_at = image.entry_at.at(0), entry = get_be64(image.file, entry_at);
        const uint64_t at = entry & ((uint64_t{1} << (70 - bits)) - 1);
        const uint64_t sectors = ((entry & ~(uint64_t{1} << 62)) >> (70 - bits)) + 1;
        CHECK(stored() == sectors * 512 - at % 512);
        set_be64(image.file, entry_at, entry | copied);
        CHECK(stored() == sectors * 512 - at % 512);
        CHECK(examine<Qcow2>(image.file).bytes == image.guest.bytes);
    }
}

}  // namespace vdisk::test
