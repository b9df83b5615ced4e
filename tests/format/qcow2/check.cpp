// SPDX-License-Identifier: BSL-1.0
// Checking: the figures of `qemu-img check`, every kind of problem, bounded time and memory.
#include <vdisk/allocation/limited.hpp>
#include <vdisk/format/qcow2/check.hpp>

#include "support/operations.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

struct Figures {
    uint64_t corruptions, leaks, errors, end, total, allocated, fragmented, compressed;
    friend bool operator==(const Figures&, const Figures&) = default;
};

std::ostream& operator<<(std::ostream& out, const Figures& f) {
    return out << f.corruptions << ' ' << f.leaks << ' ' << f.errors << ' ' << f.end << ' '
               << f.total << ' ' << f.allocated << ' ' << f.fragmented << ' ' << f.compressed;
}

Figures ours(const File& file) {
    const MemoryStorage storage(file);
    const auto r = qcow2::check_image(storage, Heap{});
    INFO(r.error().what);
    REQUIRE(r);
    const PagedMemory paged(file);  // through the cache: the same
    const auto again = qcow2::check_image(paged, Heap{});
    REQUIRE(again);
    CHECK((again->corruptions == r->corruptions && again->leaks == r->leaks));
    return {r->corruptions,         r->leaks,
            r->check_errors,        r->image_end,
            r->total_clusters,      r->allocated_clusters,
            r->fragmented_clusters, r->compressed_clusters};
}

// Nothing if QEMU does not get as far as a report.
std::optional<Figures> theirs(const std::string& path) {
    const std::string json = run("qemu-img check -f qcow2 --output=json " + path).output;
    if (json.find("total-clusters") == std::string::npos) return std::nullopt;
    return Figures{figure(json, "corruptions"),         figure(json, "leaks"),
                   figure(json, "check-errors"),        figure(json, "image-end-offset"),
                   figure(json, "total-clusters"),      figure(json, "allocated-clusters"),
                   figure(json, "fragmented-clusters"), figure(json, "compressed-clusters")};
}

std::vector<std::string> problems(const File& file) {
    std::vector<std::string> all;
    const MemoryStorage storage(file);
    const auto report = qcow2::check_image(
        storage, Heap{}, [&](const qcow2::Problem& p) { all.emplace_back(p.what); });
    REQUIRE(report);
    return all;
}

}  // namespace

TEST_CASE("qcow2: check finds nothing in sound images", "[qcow2][check]") {
    for (const unsigned bits : {9u, 12u, 16u}) {
        for (const uint32_t version : {2u, 3u}) {
            const Built image = build(lively(bits, version));
            CHECK(problems(image.file).empty());
            CHECK(ours(image.file).total == 96 + (bits == 9 ? 2 : 1));
        }
    }
    CHECK(problems(build(lively(14, 3, true)).file).empty());
}

TEST_CASE("qcow2: check has the figures of QEMU", "[qcow2][check][qemu]") {
    if (!has_qemu()) return;
    const TempDir folder;
    const std::string path = folder / "image", data = folder / "data";
    const std::string write =
        "qemu-io -f qcow2 -c 'write 0 100k' -c 'write 700k 90k' -c 'write -z 32k 64k' "
        "-c 'discard 704k 32k' " +
        path;
    const std::string more = "qemu-img snapshot -c one " + path + " && " + write +
                             " && qemu-img snapshot -c two " + path +
                             " && qemu-io -f qcow2 -c 'write 8k 2k' " + path;
    for (const std::string options :
         {"cluster_size=512", "cluster_size=4096,compat=0.10", "cluster_size=65536",
          "cluster_size=2097152", "cluster_size=512,refcount_bits=2",
          "cluster_size=1024,refcount_bits=8", "cluster_size=512,refcount_bits=64",
          "cluster_size=16384,extended_l2=on", "cluster_size=4096,preallocation=metadata"}) {
        CAPTURE(options);
        std::filesystem::remove(path);
        REQUIRE(run("qemu-img create -q -f qcow2 -o " + options + " " + path + " 1M").ok);
        CHECK(ours(saved(path)) == theirs(path));
        REQUIRE(run(write).ok);
        CHECK(ours(saved(path)) == theirs(path));
        REQUIRE(run(more).ok);
        CHECK(ours(saved(path)) == theirs(path));
    }
    std::filesystem::remove(path);
    REQUIRE(run("qemu-img create -q -f qcow2 -o data_file=" + data + " " + path + " 1M").ok);
    REQUIRE(run(write).ok);
    CHECK(ours(saved(path)) == theirs(path));
    std::filesystem::remove(path);
    REQUIRE(run("qemu-img create -q -f qcow2 " + path + " 1M && qemu-img bitmap --add -g 64k " +
                path + " b && " + write)
                .ok);
    CHECK(ours(saved(path)) == theirs(path));
}

TEST_CASE("qcow2: check counts damage as QEMU does", "[qcow2][check][qemu]") {
    if (!has_qemu()) return;
    const TempDir folder;
    const std::string path = folder / "image";
    std::mt19937 random(11);
    unsigned compared = 0;
    for (int round = 0; round < 150; ++round) {
        const unsigned bits = round % 3 == 0 ? 12 : 9;
        Qcow2Spec spec = lively(bits);
        if (round % 4 == 0) spec.snapshots.clear();
        const Built image = build(spec);
        File file = image.file;
        const uint64_t block = get_be64(file, image.refcount_table_at);
        for (unsigned i = 0; i < 1 + random() % 4; ++i) {
            auto entry = image.entry_at.begin();
            std::advance(entry, random() % image.entry_at.size());
            const uint64_t at = entry->second, e = get_be64(file, at);
            const uint64_t cluster = (random() % (file.size() >> bits)) << bits;
            switch (random() % 6) {
                case 0: set_be16(file, block + random() % 200 * 2, random() % 4); break;
                case 1: set_be64(file, at, e ^ uint64_t{1} << 63); break;
                case 2: set_be64(file, at, cluster | uint64_t{1} << 63); break;
                case 3: set_be64(file, at, e ^ uint64_t{1} << (random() % 62)); break;
                case 4: set_be64(file, at, (uint64_t{1} << 40) + cluster); break;
                default:
                    set_be64(file, image.l1_at, get_be64(file, image.l1_at) ^ uint64_t{1} << 63);
            }
        }
        save(file, path);
        const auto wanted = theirs(path);
        if (!wanted) continue;
        CAPTURE(round);
        CHECK(ours(file) == *wanted);
        ++compared;
    }
    CHECK(compared > 140);
}

TEST_CASE("qcow2: what check says of each kind of damage", "[qcow2][check]") {
    const Built image = build(lively(9));
    const uint64_t entry = image.entry_at.begin()->second;
    const auto says = [&](uint64_t at, uint64_t value, const std::string& what) {
        File file = image.file;
        set_be64(file, at, value);
        const auto found = problems(file);
        CAPTURE(what);
        CHECK(std::ranges::count(found, what) == 1);
    };
    const uint64_t l1 = get_be64(image.file, image.l1_at);
    const uint64_t block = get_be64(image.file, image.refcount_table_at);
    says(image.l1_at, l1 | 2, "qcow2: L1 entry with reserved bits");
    says(image.l1_at, uint64_t{1} << 40, "qcow2: L2 table lies past the end of the file");
    says(image.l1_at, l1 ^ uint64_t{1} << 63, "qcow2: wrong copied flag of an L2 table");
    says(entry, uint64_t{1} << 40, "qcow2: cluster lies past the end of the file");
    says(entry, 2 << 1, "qcow2: L2 entry with reserved bits");
    says(entry, uint64_t{3} << 62, "qcow2: copied flag on a compressed cluster");
    says(image.refcount_table_at, block | 1, "qcow2: refcount table entry with reserved bits");
    says(image.refcount_table_at + 8, block,
         "qcow2: refcount block is used for something else, too");
    says(image.snapshots_at, 77,
         "qcow2: L1 table of a snapshot is unaligned or larger than 32 MiB");
}

TEST_CASE("qcow2: check is bounded in time and memory", "[qcow2][check][hostile]") {
    // 65536 snapshots that share one large L1 table, whose entries lead to one L2 table.
    File file(2_MiB);
    const Built image = build(Qcow2Spec{.size = 64_KiB, .cluster_bits = 9, .clusters = {{0}}});
    std::ranges::copy(image.file, file.begin());
    const uint64_t l1_at = 1_MiB, table_at = 64_KiB;
    for (uint64_t at = l1_at; at < file.size(); at += 8) {
        set_be64(file, at, get_be64(file, image.l1_at));
    }
    set_be32(file, 60, 20000);
    set_be64(file, 64, table_at);
    for (uint64_t i = 0; i < 20000; ++i) {
        set_be64(file, table_at + i * 40, l1_at);
        set_be32(file, table_at + i * 40 + 8, 1_MiB / 8);
    }
    Budget budget{.ceiling = 4_MiB};
    const MemoryStorage storage(file);
    const auto report = qcow2::check_image(storage, Limited<Heap>(budget));
    REQUIRE(!report);
    CHECK(report.error().code == Errc::limit);

    budget.ceiling = 1000;
    const auto poor = qcow2::check_image(storage, Limited<Heap>(budget));
    REQUIRE(!poor);
    CHECK(poor.error().code == Errc::no_memory);
}
