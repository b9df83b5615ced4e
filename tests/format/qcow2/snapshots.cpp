// SPDX-License-Identifier: BSL-1.0
// Internal snapshots: reading them by id and name, and tables that lie.
#include <vdisk/codec/none.hpp>

#include "hostile/run.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

using enum Fill;

// Three snapshots; the id of one is the name of another, and two share a name.
Qcow2Spec with_snapshots(uint32_t version = 3, uint32_t extra = 24) {
    return {.size = 300_KiB,
            .cluster_bits = 12,
            .version = version,
            .clusters = mixture(75, 1, {data, packed}),
            .snapshots = {{"1", "2", mixture(75, 2, {data, packed}), 0, extra},
                          {"2", "before the update", mixture(75, 3, {data}), 0, extra},
                          {"30", "2", mixture(75, 4, {data}), 0, extra},
                          {"4", std::string(200, 'n'), {{3}}, 0, extra}}};
}

Verdict show(const File& file, std::string_view wanted) {
    if (!wanted.empty()) return examine<Qcow2>(file, {}, wanted);
    return judge<Qcow2>(file, Purpose::data,
                        [&](auto& image) { return image.select_snapshot(wanted); });
}

}  // namespace

TEST_CASE("qcow2: snapshots are found by id, then by name", "[qcow2][snapshot]") {
    for (const auto& [version, extra] : {std::pair(3u, 24u),
                                         {3u, 16u},
                                         {3u, 1024u},
                                         {2u, 0u},
                                         {2u, 8u},
                                         {2u, 24u},
                                         {3u, 0u},
                                         {3u, 8u}}) {
        CAPTURE(version, extra);
        const Built image = build(with_snapshots(version, extra));
        CHECK(examine<Qcow2>(image.file).bytes == image.guest.bytes);
        CHECK(show(image.file, "1").bytes == image.snapshots[0].bytes);
        CHECK(show(image.file, "2").bytes == image.snapshots[1].bytes);
        CHECK(show(image.file, "30").bytes == image.snapshots[2].bytes);
        CHECK(show(image.file, "before the update").bytes == image.snapshots[1].bytes);
        CHECK(show(image.file, std::string(200, 'n')).bytes == image.snapshots[3].bytes);
        for (const std::string& none : {std::string("3"), std::string(), std::string("before the"),
                                        std::string(199, 'n'), std::string(199, 'n') + "m"}) {
            check_refusal(show(image.file, none), Errc::not_found, "qcow2: no such snapshot");
        }
    }
}

TEST_CASE("qcow2: the first of two snapshots with one name", "[qcow2][snapshot]") {
    Qcow2Spec spec = with_snapshots();
    spec.snapshots[1].id = "5";
    const Built image = build(spec);
    CHECK(show(image.file, "2").bytes == image.snapshots[0].bytes);
}

TEST_CASE("qcow2: a snapshot has a size of its own", "[qcow2][snapshot]") {
    for (const uint64_t size : {512_KiB * 5, 64_KiB}) {
        Qcow2Spec spec = with_snapshots();
        spec.snapshots[1].size = size;
        const Built image = build(spec);
        const Verdict verdict = show(image.file, "2");
        CHECK(verdict.bytes.size() == size);
        CHECK(verdict.bytes == image.snapshots[1].bytes);
    }
}

TEST_CASE("qcow2: a snapshot table that lies", "[qcow2][snapshot][hostile]") {
    const Built image = build(with_snapshots());
    const uint64_t at = image.snapshots_at;
    File file = image.file;
    const auto verdict = [&] { return show(file, "1"); };
    const char* const past_end = "qcow2: snapshot table ends past the end of the file";
    SECTION("L1 unaligned") {
        set_be64(file, at, get_be64(file, at) + 8);
        check_refusal(verdict(), Errc::corrupt,
                      "qcow2: L1 table offset is not a multiple of the cluster size");
    }
    SECTION("L1 at 0") {
        set_be64(file, at, 0);
        check_refusal(verdict(), Errc::corrupt, "qcow2: L1 table overlaps the header");
    }
    SECTION("L1 past the end") {
        set_be64(file, at, file.size());
        check_refusal(verdict(), Errc::corrupt, "qcow2: L1 table ends past the end of the file");
    }
    SECTION("L1 that wraps") {
        set_be64(file, at, ~uint64_t{0xFFF});
        check_refusal(verdict(), Errc::corrupt, "qcow2: L1 table ends past the end of the file");
    }
    SECTION("L1 too small") {
        set_be32(file, at + 8, 0);
        check_refusal(verdict(), Errc::corrupt, "qcow2: L1 table is too small for the disk size");
    }
    SECTION("L1 larger than the limit") {
        set_be32(file, at + 8, ~0u);
        check_refusal(verdict(), Errc::limit, "qcow2: L1 table is larger than 32 MiB");
    }
    SECTION("too much extra data") {
        set_be32(file, at + 36, 1025);
        check_refusal(verdict(), Errc::limit, "qcow2: too much extra data in a snapshot");
    }
    SECTION("a disk size of 2^63") {
        set_be64(file, at + 48, uint64_t{1} << 63);
        check_refusal(verdict(), Errc::corrupt, "qcow2: snapshot of 2^63 bytes or more");
    }
    SECTION("a disk size beyond its L1") {
        set_be64(file, at + 48, uint64_t{1} << 62);
        check_refusal(verdict(), Errc::corrupt, "qcow2: L1 table is too small for the disk size");
    }
    SECTION("the table ends the file, wherever") {
        for (const uint64_t end : {1u, 39u, 40u, 48u, 63u, 64u, 65u}) {
            CAPTURE(end);
            file = image.file;
            file.resize(at + end);
            check_refusal(verdict(), Errc::corrupt, past_end);
        }
    }
    SECTION("names longer than the file") {
        set_be16(file, at + 14, 0xFFFF);
        check_refusal(verdict(), Errc::corrupt, past_end);
    }
    SECTION("more snapshots than the table has") {
        set_be32(file, 60, 65536);
        const Verdict many = verdict();
        REQUIRE(many.error);
        CHECK((many.error->code == Errc::corrupt || many.error->code == Errc::limit));
    }
    SECTION("an L1 entry that lies") {
        set_be64(file, get_be64(file, at), image.refcount_table_at);
        check_refusal(verdict(), Errc::corrupt,
                      "qcow2: L2 table overlaps the header, L1 or refcount table");
    }
}

TEST_CASE("qcow2: a failing storage is not a corrupt snapshot table", "[qcow2][snapshot]") {
    const Built built = build(with_snapshots());
    struct Failing {  // ends early, but claims not to
        Bytes bytes;
        uint64_t end;
        [[nodiscard]] uint64_t size() const { return bytes.size(); }
        Status read(uint64_t at, MutBytes out) const {
            if (at < end) return MemoryStorage(bytes).read(at, out);
            return fail(Errc::io, "the disk is broken");
        }
    };
    for (const uint64_t good : {0u, 40u, 64u}) {
        CAPTURE(good);
        auto image = qcow2::Image<Failing, Heap, NoCodec>::open(
            Failing{built.file, built.snapshots_at + good}, {.cache = tiny_cache});
        REQUIRE(image);
        CHECK(image->select_snapshot("4").error().code == Errc::io);
    }
}

TEST_CASE("qcow2: all fields of a snapshot", "[qcow2][snapshot]") {
    const auto fields_of = [](uint32_t version, uint32_t extra) {
        Built image = build(with_snapshots(version, extra));
        const uint64_t at = image.snapshots_at;
        set_be32(image.file, at + 16, 0x11121314);
        set_be32(image.file, at + 20, 0x21222324);
        set_be64(image.file, at + 24, 0x3132333435363738);
        set_be32(image.file, at + 32, 0x41424344);
        if (extra >= 8) set_be64(image.file, at + 40, 0x5152535455565758);
        if (extra >= 16) set_be64(image.file, at + 48, 64_KiB);
        if (extra >= 24) set_be64(image.file, at + 56, 0x6162636465666768);
        const auto disk = value_of(open<Qcow2>(MemoryStorage(image.file)));
        const auto found = value_of(qcow2::find_snapshot(disk.file(), disk.layout(), "1"));
        CHECK(found.l1.at == get_be64(image.file, at));
        CHECK(found.l1.entries == 1);
        CHECK(found.date_sec == 0x11121314);
        CHECK(found.date_nsec == 0x21222324);
        CHECK(found.vm_clock_nsec == 0x3132333435363738);
        CHECK(found.vm_state_size == (extra >= 8 ? 0x5152535455565758 : 0x41424344));
        CHECK(found.disk_size == (extra >= 16 ? 64_KiB : 300_KiB));
        CHECK(found.icount == (extra >= 24 ? 0x6162636465666768 : ~uint64_t{0}));
    };
    for (const auto& [version, extra] :
         {std::pair(3u, 16u), {3u, 24u}, {3u, 32u}, {2u, 0u}, {2u, 8u}, {2u, 23u}, {2u, 24u}}) {
        CAPTURE(version, extra);
        fields_of(version, extra);
    }
}
