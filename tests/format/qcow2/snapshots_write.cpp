// SPDX-License-Identifier: BSL-1.0
// Taking, applying and deleting snapshots: contents, power cuts, I/O errors, and what QEMU says.
#include <vdisk/format/qcow2/amend.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/format/qcow2/resize.hpp>
#include <vdisk/format/qcow2/snapshots.hpp>

#include "support/operations.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

const auto take = [](auto& storage) {
    return qcow2::take_snapshot(storage, {.name = "new", .date_sec = 1}, Heap{});
};
const auto apply = [](auto& storage) { return qcow2::apply_snapshot(storage, "first", Heap{}); };
const auto forget = [](auto& storage) { return qcow2::delete_snapshot(storage, "1", Heap{}); };

File after(const File& before, const auto& operation) {
    GrowableMemory memory(before);
    const Status done = operation(memory);
    INFO(done.error().what);
    REQUIRE(done);
    return {memory.bytes().begin(), memory.bytes().end()};
}

std::vector<Built> built_subjects() {
    std::vector<Built> all;
    for (const unsigned bits : {9u, 12u}) {
        for (const uint32_t version : {2u, 3u}) all.push_back(build(lively(bits, version)));
    }
    all.push_back(build(lively(14, 3, true)));
    return all;
}

}  // namespace

TEST_CASE("qcow2: snapshots are taken, applied and deleted", "[qcow2][snapshot][rewrite]") {
    for (const Built& image : built_subjects()) {
        REQUIRE(is_clean(image.file));
        const auto old = contents(image.file);
        REQUIRE(old);
        REQUIRE(old->size() == 3);

        const File taken = after(image.file, take);
        auto seen = contents(taken);
        REQUIRE(seen);
        Contents wanted = *old;
        wanted.push_back((*old)[0]);
        CHECK(*seen == wanted);
        CHECK(is_clean(taken));
        const auto layout = qcow2::check(*qcow2::load_header(MemoryStorage(taken)), taken.size());
        REQUIRE(layout);
        CHECK(qcow2::find_snapshot(MemoryStorage(taken), *layout, "8"));  // the largest id was 7

        const File applied = after(taken, apply);
        seen = contents(applied);
        REQUIRE(seen);
        wanted[0] = (*old)[1];
        CHECK(*seen == wanted);
        CHECK(is_clean(applied));

        const File deleted = after(applied, forget);
        seen = contents(deleted);
        REQUIRE(seen);
        wanted.erase(wanted.begin() + 1);
        CHECK(*seen == wanted);
        CHECK(is_clean(deleted));
        CHECK(deleted.size() <= applied.size());
    }
}

TEST_CASE("qcow2: a snapshot brings its disk size back", "[qcow2][snapshot][rewrite]") {
    Qcow2Spec spec = lively(9);
    spec.snapshots[0].size = 200 * 512;
    const Built image = build(spec);
    const File applied = after(image.file, apply);
    const auto seen = contents(applied);
    REQUIRE(seen);
    CHECK((*seen)[0].size() == 200 * 512);
    CHECK((*seen)[0] == image.snapshots[0].bytes);
    CHECK(is_clean(applied));
}

TEST_CASE("qcow2: snapshots that do not say how large they are", "[qcow2][snapshot][rewrite]") {
    for (const uint32_t version : {2u, 3u}) {
        for (const uint32_t extra : {0u, 8u}) {
            CAPTURE(version, extra);
            Qcow2Spec spec = lively(9, version);
            spec.snapshots[0].extra = extra;
            const Built image = build(spec);
            const auto whole = contents(image.file);
            REQUIRE(whole);
            REQUIRE(is_clean(image.file) == (version == 2));
            File file = image.file;
            if (version == 2) {
                const auto upgrade = [](auto& s) { return qcow2::upgrade(s, Heap{}); };
                file = after(file, upgrade);
                CHECK(file[7] == byte{3});
                CHECK(is_clean(file));
                CHECK(*contents(file) == *whole);
                CHECK(cut_everywhere(image.file, upgrade) > 20);
            }
            CHECK(is_clean(after(file, take)));
            // The size of the disk is not that of the snapshot any more, although the L1 table has
            // room.
            const uint64_t size = image.guest.bytes.size() + 512;
            file = after(file, [&](auto& s) { return qcow2::grow(s, size, 0, Heap{}); });
            CHECK(is_clean(file));
            Contents wanted = *whole;
            wanted[0].resize(size);
            CHECK(*contents(file) == wanted);
            CHECK((*contents(after(file, apply)))[0] == wanted[1]);
        }
    }
}

TEST_CASE("qcow2: a snapshot table that fills its clusters", "[qcow2][snapshot][rewrite]") {
    // One of these lengths makes the table end where a cluster does: no other may be taken for it.
    const Built image = build(lively(9));
    for (size_t length = 3; length < 512; length += 8) {
        const std::string name(length, 'n');
        CAPTURE(length);
        CHECK(is_clean(after(image.file, [&](auto& storage) {
            return qcow2::take_snapshot(storage, {.name = name}, Heap{});
        })));
    }
}

TEST_CASE("qcow2: snapshots of a disk of no bytes", "[qcow2][snapshot][rewrite]") {
    GrowableMemory memory;
    REQUIRE(qcow2::create(memory, {.size = 0}));
    REQUIRE(qcow2::take_snapshot(memory, {.name = "first"}, Heap{}));
    File file(memory.bytes().begin(), memory.bytes().end());
    set_be64(file, get_be64(file, 64), 0);
    set_be32(file, get_be64(file, 64) + 8, 0);
    REQUIRE(at_most_leaks(file));
    const auto count = [](const File& f) {
        const auto seen = contents(f);
        return seen ? seen->size() : 0;
    };
    for (const uint64_t nowhere : {uint64_t{0}, uint64_t{1} << 30}) {
        set_be64(file, get_be64(file, 64), nowhere);
        CAPTURE(nowhere);
        REQUIRE(at_most_leaks(file));
        File lost = file;
        set_be32(lost, 56, 0);  // no refcount table
        const File mended = after(lost, [](auto& s) -> Status {
            const auto report = qcow2::repair(s, qcow2::Repair::all, Heap{});
            if (!report) return report.error();
            return {};
        });
        CHECK(is_clean(mended));
        CHECK(count(mended) == 2);
        const auto grow = [](auto& s) { return qcow2::grow(s, 1_MiB, 0, Heap{}); };
        const File grown = after(file, grow);
        CHECK(is_clean(grown));
        CHECK((*contents(grown))[0].size() == 1_MiB);
        CHECK((*contents(grown))[1].empty());
        CHECK(count(after(file, take)) == 3);
        CHECK(count(after(file, forget)) == 1);
        CHECK((*contents(after(grown, apply)))[0].empty());
    }
    set_be64(file, get_be64(file, 64), 77);
    CHECK(!at_most_leaks(file));
}

TEST_CASE("qcow2: what cannot be done to snapshots changes nothing", "[qcow2][snapshot][rewrite]") {
    const auto refuse = [](const File& file, const auto& operation, Errc code,
                           std::string_view what) {
        GrowableMemory memory(file);
        const Status done = operation(memory);
        CHECK(!done);
        CHECK(done.error().code == code);
        CHECK(std::string_view(done.error().what) == what);
        CHECK(std::ranges::equal(memory.bytes(), file));
    };
    const Built image = build(lively(9));
    refuse(
        image.file, [](auto& s) { return qcow2::delete_snapshot(s, "none", Heap{}); },
        Errc::not_found, "qcow2: no such snapshot");

    File damaged = image.file;  // the refcount of the header
    const uint64_t block = get_be64(damaged, image.refcount_table_at);
    set_be16(damaged, block, 0);
    for (const auto& operation : {0, 1, 2}) {
        const auto run = [&](auto& s) {
            return operation == 0 ? take(s) : operation == 1 ? apply(s) : forget(s);
        };
        refuse(damaged, run, Errc::corrupt, "qcow2: refcount is too low");
    }
    File marked = image.file;
    marked[79] = byte{2};
    refuse(marked, take, Errc::corrupt, "qcow2: the image is marked corrupt: repair it");

    Qcow2Spec external{.size = 64_KiB, .cluster_bits = 12, .data_file = true};
    external.extensions = {{0x44415441, "data"}};
    refuse(build(external).file, take, Errc::unsupported,
           "qcow2: no snapshots in an image with an external data file");
}

TEST_CASE("qcow2: refcounts too narrow for a snapshot", "[qcow2][snapshot][rewrite]") {
    if (!has_qemu()) return;
    const TempDir folder;
    const std::string path = folder / "image";
    REQUIRE(run("qemu-img create -q -f qcow2 -o refcount_bits=1 " + path + " 1M").ok);
    REQUIRE(run("qemu-io -f qcow2 -c 'write 0 200k' " + path).ok);
    const File file = saved(path);
    GrowableMemory memory(file);
    const Status done = take(memory);
    REQUIRE(!done);
    CHECK(done.error().code == Errc::unsupported);
    CHECK(std::ranges::equal(memory.bytes(), file));
}

TEST_CASE("qcow2: snapshots and power cuts", "[qcow2][snapshot][rewrite][power_cut]") {
    uint64_t states = 0;
    for (const uint32_t version : {2u, 3u}) {
        const Built image = build(lively(9, version));
        states += cut_everywhere(image.file, take);
        states += cut_everywhere(image.file, apply);
        states += cut_everywhere(image.file, forget);
        const File taken = after(image.file, take);  // now with free clusters in the middle
        states += cut_everywhere(taken, take);
        states += cut_everywhere(taken, apply);
        states += cut_everywhere(taken, forget);
    }
    CHECK(states > 500);
}

TEST_CASE("qcow2: snapshots and I/O errors", "[qcow2][snapshot][rewrite][fault]") {
    const Built image = build(lively(9));
    CHECK(fail_everywhere(image.file, take) > 50);
    CHECK(fail_everywhere(image.file, apply) > 50);
    CHECK(fail_everywhere(image.file, forget) > 50);
}

TEST_CASE("qcow2: QEMU goes on with our snapshots, we with its", "[qcow2][snapshot][qemu]") {
    if (!has_qemu()) return;
    const TempDir folder;
    const std::string path = folder / "image", out = folder / "raw";
    for (const std::string options :
         {"cluster_size=512", "cluster_size=4096,compat=0.10", "cluster_size=16384,extended_l2=on",
          "cluster_size=1024,refcount_bits=4", "cluster_size=2048,refcount_bits=64"}) {
        CAPTURE(options);
        std::filesystem::remove(path);
        REQUIRE(run("qemu-img create -q -f qcow2 -o " + options + " " + path + " 1M").ok);
        std::vector<File> states;  // of the snapshots 1, 2, ...
        for (int round = 0; round < 3; ++round) {
            const std::string n = std::to_string(round);
            REQUIRE(run("qemu-io -f qcow2 -c 'write -P " + n + "7 " + n +
                        "0k 300k' -c 'write -P 9 " + n + "00k 5k' " + path)
                        .ok);
            if (round == 1) {
                REQUIRE(run("qemu-img snapshot -c s " + path).ok);
            } else {
                save(after(saved(path), take), path);
            }
            REQUIRE(run("qemu-img convert -O raw " + path + " " + out).ok);
            states.push_back(saved(out));
        }
        CHECK(run("qemu-img check " + path).ok);
        save(after(saved(path), [](auto& s) { return qcow2::apply_snapshot(s, "2", Heap{}); }),
             path);
        REQUIRE(run("qemu-img convert -O raw " + path + " " + out).ok);
        CHECK(saved(out) == states[1]);
        REQUIRE(run("qemu-img snapshot -d s " + path).ok);
        save(after(saved(path), forget), path);
        CHECK(run("qemu-img check " + path).ok);
        REQUIRE(run("qemu-img convert -l snapshot.id=3 -O raw " + path + " " + out).ok);
        CHECK(saved(out) == states[2]);
        REQUIRE(run("qemu-img snapshot -a 3 " + path).ok);
        CHECK(is_clean(saved(path)));
    }
}
