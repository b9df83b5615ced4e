// SPDX-License-Identifier: BSL-1.0
// Bitmaps of disks that become larger or smaller: every bit, power cuts, what QEMU says.
#include <vdisk/format/qcow2/resize.hpp>

#include "bitmap_steps.hpp"
#include "support/operations.hpp"

using namespace vdisk;
using namespace vdisk::test;
using namespace vdisk::test::bitmaps;

namespace {

Status resize(auto& storage, uint64_t size) {
    const auto header = qcow2::load_header(storage);
    if (!header) return header.error();
    return size > header->size.value() ? qcow2::grow(storage, size, 0, Heap{})
                                       : qcow2::shrink(storage, size, Heap{});
}

File subject(unsigned cluster_bits) {
    Memory memory(with_bits(cluster_bits));
    scatter(memory, "b9", 1, 900);
    scatter(memory, "b11", 2, 100);
    scatter(memory, "b16", 3, 20);
    REQUIRE(qcow2::set_recording(memory, "b16", Recording::off, Heap{}));
    return bytes_of(memory);
}

// Bits of what stays are kept, new ones are clear.
AllSeen of_size(AllSeen all, uint64_t before, uint64_t size) {
    for (auto& [name, seen] : all) {
        const uint64_t old = blocks(before, seen.granularity_bits);
        const uint64_t fresh = blocks(size, seen.granularity_bits);
        seen.bits.resize(blocks(fresh, 3));
        for (uint64_t bit = std::min(old, fresh); bit < seen.bits.size() * 8; ++bit) {
            seen.bits[bit / 8] &= ~byte(1u << bit % 8);
        }
    }
    return all;
}

}  // namespace

TEST_CASE("qcow2: bitmaps are resized with their disk", "[qcow2][bitmap][resize]") {
    for (const unsigned cluster_bits : {9u, 12u, 16u}) {
        File file = subject(cluster_bits);
        uint64_t before = 3_MiB + 512;
        for (const uint64_t size : {3_MiB + 1024, 9_MiB, 20_MiB + 512, uint64_t{2_MiB + 512},
                                    uint64_t{1024}, uint64_t{512}, 4_MiB}) {
            CAPTURE(cluster_bits, before, size);
            const AllSeen wanted = of_size(value_of(all_of(file)), before, size);
            Memory memory(file);
            const Status done = resize(memory, size);
            INFO(done.error().what);
            REQUIRE(done);
            file = bytes_of(memory);
            CHECK(value_of(all_of(file)) == wanted);
            CHECK(is_clean(file));
            before = size;
            if (!has_qemu()) continue;
            const TempDir folder;  // it looks into them when the image is opened to be written
            save(file, folder / "image");
            CHECK(run("qemu-img bitmap --disable " + (folder / "image") + " b9").ok);
            CHECK(run("qemu-img check -q " + (folder / "image")).ok);
        }
    }
}

TEST_CASE("qcow2: bitmaps that say all is dirty are resized", "[qcow2][bitmap][resize]") {
    Memory memory(with_bits(9));
    REQUIRE(qcow2::mark_recording_dirty(memory, Heap{}));
    uint64_t before = 3_MiB + 512;
    for (const uint64_t size : {2_MiB + 512, 9_MiB}) {
        const AllSeen wanted = of_size(value_of(all_of(bytes_of(memory))), before, size);
        REQUIRE(resize(memory, size));
        CHECK(value_of(all_of(bytes_of(memory))) == wanted);
        CHECK(is_clean(bytes_of(memory)));
        before = size;
    }
}

TEST_CASE("qcow2: bitmaps that cannot be resized", "[qcow2][bitmap][resize]") {
    const auto refuse = [](const File& file, uint64_t size, Errc code) {
        CAPTURE(size);
        Memory memory(file);
        const Status done = resize(memory, size);
        REQUIRE(!done);
        CHECK(done.error().code == code);
        CHECK(bytes_of(memory) == file);
    };
    File file = subject(12);
    refuse(file, 0, Errc::unsupported);
    refuse(file, uint64_t{1} << 42, Errc::limit);
    const auto directory = open_file(file);
    REQUIRE(directory);
    const auto at =
        value_of(qcow2::load_bitmap_directory(MemoryStorage(file), directory->layout()));
    file[at.at + 15] |= byte{1};
    refuse(file, 4_MiB, Errc::unsupported);
}

TEST_CASE("qcow2: resized bitmaps and power cuts", "[qcow2][bitmap][resize][power_cut]") {
    const File file = subject(9);
    const AllSeen old = value_of(all_of(file));
    for (const uint64_t size : {1_MiB + 512, 4_MiB}) {
        CAPTURE(size);
        const auto operation = [&](auto& storage) { return resize(storage, size); };
        CHECK(cut_everywhere(file, operation) > 50);
        const AllSeen fresh = of_size(old, 3_MiB + 512, size);
        CutLog log;
        File after = file;
        PowerCutStorage storage(log, after);
        REQUIRE(operation(storage));
        CutReplay replay(log, {.exhaustive = 8, .random = 64, .pairs = 8});
        const Status verdict = replay.run([&](const CutState& state) -> Status {
            const auto seen = all_of(state.files[0]);
            if (!seen) return seen.error();
            const bool is_new = open_file(state.files[0])->layout().size == size;
            if (seen->empty() && !is_new) return {};  // void
            return *seen == (is_new ? fresh : old) ? Status{} : Status(corrupt("other bits"));
        });
        INFO(verdict.error().what);
        CHECK(verdict);
    }
}

TEST_CASE("qcow2: resized bitmaps and I/O errors", "[qcow2][bitmap][resize][fault]") {
    const File file = subject(12);
    for (const uint64_t size : {1_MiB + 512, 4_MiB}) {
        CHECK(fail_everywhere(file, [&](auto& storage) { return resize(storage, size); }) > 50);
    }
}
