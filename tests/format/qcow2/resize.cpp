// SPDX-License-Identifier: BSL-1.0
// Disks made larger and smaller: contents, what a longer backing file must not show, power cuts.
#include <vdisk/format/qcow2/resize.hpp>
#include <vdisk/format/qcow2/snapshots.hpp>

#include "support/operations.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

// A backing file without zeros.
struct Striped {
    Status operator()(uint64_t at, MutBytes out) const {
        for (size_t i = 0; i < out.size(); ++i) out[i] = byte((at + i) / 512 * 7 % 255 + 1);
        return {};
    }
};

File disk(const File& file, uint64_t backing_size) {
    auto image = qcow2::Image<MemoryStorage, Heap, SystemCodecs>::open(MemoryStorage(file), {});
    REQUIRE(image);
    File out(static_cast<size_t>(image->size()));
    const auto below = [&](uint64_t at, MutBytes piece) -> Status {
        for (size_t i = 0; i < piece.size(); ++i) {
            piece[i] = byte{0};
            if (at + i < backing_size) static_cast<void>(Striped{}(at + i, piece.subspan(i, 1)));
        }
        return {};
    };
    REQUIRE(read(*image, 0, out, below));
    return out;
}

// Reads the disk of an image as it was.
struct Disk {
    File bytes;
    Status operator()(uint64_t at, MutBytes out) const {
        REQUIRE(fits(at, out.size(), bytes.size()));
        std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), out.size(), out.begin());
        return {};
    }
};

File resized(const File& before, uint64_t size, uint64_t backing_size = 0) {
    GrowableMemory memory(before);
    const Disk guest{disk(before, backing_size)};
    const bool grows = size > disk(before, 0).size();
    const Status done = grows ? qcow2::grow(memory, size, backing_size, Heap{}, guest)
                              : qcow2::shrink(memory, size, Heap{}, guest);
    INFO(done.error().what);
    REQUIRE(done);
    return {memory.bytes().begin(), memory.bytes().end()};
}

}  // namespace

TEST_CASE("qcow2: a disk grows and shrinks", "[qcow2][resize]") {
    struct Shape {
        unsigned bits;
        bool extended;
        uint32_t version;
    };
    for (const auto& [bits, extended, version] :
         {Shape{9, false, 3}, {12, false, 3}, {14, true, 3}, {9, false, 2}}) {
        Qcow2Spec spec = lively(bits, version, extended);
        if (version == 2) spec.snapshots.clear();
        const Built image = build(spec);
        File file = image.file;
        File model = disk(file, 0);
        uint64_t step = 0;
        for (const uint64_t clusters : {97, 60, 300, 64, 5, 2000, 0, 33}) {
            const uint64_t size = (clusters << bits) + (++step % 2) * 512;
            CAPTURE(bits, version, clusters, size, model.size());
            if (size == model.size()) continue;
            file = resized(file, size);
            model.resize(size);
            CHECK(disk(file, 0) == model);
            CHECK(is_clean(file));
            if (version == 3) {
                const auto all = contents(file);
                REQUIRE(all);
                CHECK((*all)[1] == image.snapshots[0].bytes);
                CHECK((*all)[2] == image.snapshots[1].bytes);
            }
        }
    }
}

TEST_CASE("qcow2: a disk that grows shows nothing that a compressed cluster has behind its end",
          "[qcow2][resize]") {
    for (const bool extended : {false, true}) {
        const unsigned bits = extended ? 14 : 12;
        // What others leave when they shrink a disk to a size inside a cluster.
        File file = build(Qcow2Spec{.size = uint64_t{70} << bits,
                                    .cluster_bits = bits,
                                    .extended_l2 = extended,
                                    .clusters = {{3}, {69, Fill::packed}}})
                        .file;
        set_be64(file, 24, (uint64_t{69} << bits) + 1024);
        REQUIRE(is_clean(file));
        File model = disk(file, 0);
        REQUIRE(model.back() != byte{0});
        model.resize(uint64_t{70} << bits);
        const File grown = resized(file, model.size());
        CHECK(disk(grown, 0) == model);
        CHECK(is_clean(grown));
        GrowableMemory memory(file);
        CHECK(qcow2::grow(memory, model.size(), 0, Heap{}).error().code == Errc::invalid);
        CHECK(is_clean({memory.bytes().begin(), memory.bytes().end()}));
    }
}

TEST_CASE("qcow2: a disk that grows shows no more of its backing file", "[qcow2][resize]") {
    for (const unsigned bits : {9u, 12u, 14u}) {
        for (const uint64_t extra : {0u, 512u}) {
            Qcow2Spec spec{.size = (uint64_t{70} << bits) + extra,
                           .cluster_bits = bits,
                           .extended_l2 = bits == 14,
                           .clusters = {{0}, {66}}};
            spec.backing_file = "below";
            const Built image = build(spec);
            const uint64_t below = uint64_t{150} << bits;
            File model = disk(image.file, below);
            for (const uint64_t clusters : {71, 72, 100, 149, 151, 700}) {
                CAPTURE(bits, extra, clusters);
                const uint64_t size = clusters << bits;
                const File file = resized(image.file, size, below);
                File wanted = model;
                wanted.resize(size);
                CHECK(disk(file, below) == wanted);
                CHECK(is_clean(file));
            }
        }
    }
}

TEST_CASE("qcow2: a disk does not grow into the table of a snapshot", "[qcow2][resize]") {
    Qcow2Spec spec = lively(9);
    spec.snapshots.clear();
    const Built image = build(spec);
    GrowableMemory memory(image.file);
    REQUIRE(qcow2::take_snapshot(memory, {.name = "s"}, Heap{}));
    File file(memory.bytes().begin(), memory.bytes().end());
    // The disk has the table of the snapshot, but sees only the first entry.
    set_be64(file, 40, get_be64(file, get_be64(file, 64)));
    set_be32(file, 36, 1);
    set_be64(file, 24, 64 * 512);
    GrowableMemory sound(file);
    REQUIRE(qcow2::repair(sound, qcow2::Repair::all, Heap{}));
    file.assign(sound.bytes().begin(), sound.bytes().end());
    REQUIRE(is_clean(file));
    // A rebuild would have given the disk a table of its own.
    REQUIRE(get_be64(file, 40) == get_be64(file, get_be64(file, 64)));
    const auto before = contents(file);
    REQUIRE(before);
    REQUIRE((*before)[1] == image.guest.bytes);
    const File grown = resized(file, 96 * 512);
    CHECK(is_clean(grown));
    CHECK((*contents(grown))[1] == image.guest.bytes);
    File wanted = (*before)[0];
    wanted.resize(96 * 512);
    CHECK((*contents(grown))[0] == wanted);
}

TEST_CASE("qcow2: sizes that are refused", "[qcow2][resize]") {
    const auto refuse = [](const File& file, const auto& operation, Errc code) {
        GrowableMemory memory(file);
        const Status done = operation(memory);
        CHECK(!done);
        CHECK(done.error().code == code);
        CHECK(std::ranges::equal(memory.bytes(), file));
    };
    const Built image = build(lively(9));
    refuse(
        image.file, [](auto& s) { return qcow2::grow(s, 512, 0, Heap{}); }, Errc::invalid);
    refuse(
        image.file, [](auto& s) { return qcow2::shrink(s, 1_MiB, Heap{}); }, Errc::invalid);
    refuse(
        image.file, [](auto& s) { return qcow2::shrink(s, 513, Heap{}); }, Errc::invalid);
    refuse(
        image.file, [](auto& s) { return qcow2::grow(s, 1024_GiB, 0, Heap{}); }, Errc::limit);
    refuse(
        image.file, [](auto& s) { return qcow2::grow(s, ~uint64_t{511}, 0, Heap{}); }, Errc::limit);
    const Built old = build(lively(9, 2));
    refuse(
        old.file, [](auto& s) { return qcow2::shrink(s, 512, Heap{}); }, Errc::unsupported);
    File marked = image.file;
    marked[79] |= byte{2};  // corrupt
    refuse(
        marked, [](auto& s) { return qcow2::grow(s, 1_MiB, 0, Heap{}); }, Errc::corrupt);
    GrowableMemory memory(image.file);
    REQUIRE(qcow2::grow(memory, get_be64(image.file, 24), 0, Heap{}));  // is so large already
    CHECK(std::ranges::equal(memory.bytes(), image.file));
}

TEST_CASE("qcow2: resizing and power cuts", "[qcow2][resize][power_cut]") {
    const Built image = build(lively(9));
    uint64_t states = 0;
    for (const uint64_t size :
         {512u, 64 * 512u, 70 * 512u, 99 * 512u, 500 * 512u, 200000 / 512 * 512u}) {
        CAPTURE(size);
        const auto operation = [&](auto& s) {
            return size < image.guest.bytes.size()
                       ? qcow2::shrink(s, size, Heap{}, Disk{image.guest.bytes})
                       : qcow2::grow(s, size, 0, Heap{});
        };
        states += cut_everywhere(image.file, operation);
    }
    // Over a backing file: the zero clusters and the size come together.
    states += cut_everywhere(image.file, [&](auto& s) {
        return qcow2::grow(s, 300 * 512, 200 * 512, Heap{}, Disk{disk(image.file, 0)});
    });
    CHECK(states > 200);
}

TEST_CASE("qcow2: resizing and I/O errors", "[qcow2][resize][fault]") {
    const Built image = build(lively(9));
    CHECK(fail_everywhere(image.file, [](auto& s) {
              return qcow2::shrink(s, 70 * 512, Heap{}, Striped{});
          }) > 50);
    CHECK(fail_everywhere(image.file, [](auto& s) { return qcow2::grow(s, 4_MiB, 0, Heap{}); }) >
          50);
    CHECK(fail_everywhere(image.file,
                          [](auto& s) { return qcow2::grow(s, 120 * 512, 0, Heap{}); }) > 3);
}

TEST_CASE("qcow2: QEMU reads what was resized", "[qcow2][resize][qemu]") {
    if (!has_qemu()) return;
    const TempDir folder;
    const std::string path = folder / "image", out = folder / "raw";
    for (const unsigned bits : {9u, 12u}) {
        File file = build(lively(bits)).file;
        for (const uint64_t clusters : {50, 700, 3, 90}) {
            file = resized(file, clusters << bits);
            save(file, path);
            CHECK(run("qemu-img check " + path).ok);
            REQUIRE(run("qemu-img convert -f qcow2 -O raw " + path + " " + out).ok);
            CHECK(saved(out) == disk(file, 0));
        }
    }
}
