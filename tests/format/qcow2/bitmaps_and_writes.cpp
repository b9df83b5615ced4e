// SPDX-License-Identifier: BSL-1.0
// What becomes of bitmaps when the image is written, and of clusters that a failed write had taken.
#include <vdisk/format/qcow2/snapshots.hpp>
#include <vdisk/format/qcow2/writer.hpp>
#include <vdisk/io/write.hpp>

#include "bitmap_steps.hpp"
#include "support/operations.hpp"

using namespace vdisk;
using namespace vdisk::test;
using namespace vdisk::test::bitmaps;

namespace {

constexpr uint64_t disk_size = 1_MiB;

Memory image_with_bitmaps() {
    Memory memory;
    REQUIRE(qcow2::create(memory, {.size = disk_size, .cluster_bits = 9}));
    REQUIRE(qcow2::add_bitmap(memory, NewBitmap{.name = "records", .granularity_bits = 9}, Heap{}));
    REQUIRE(qcow2::add_bitmap(
        memory, NewBitmap{.name = "rests", .granularity_bits = 12, .recording = Recording::off},
        Heap{}));
    return memory;
}

template <class S>
Status put(S storage, uint64_t at, uint64_t length) {
    auto writer = qcow2::Writer<S, Heap, SystemCodecs>::open(std::move(storage));
    if (!writer) return writer.error();
    const std::vector<byte> in(length, byte{7});
    std::vector<byte> scratch(512);
    if (Status written = write(*writer, at, in, scratch); !written) {
        static_cast<void>(writer->flush());
        return written;
    }
    return writer->flush();
}

}  // namespace

TEST_CASE("qcow2: bitmaps that say all is dirty outlive writes", "[qcow2][bitmap][write]") {
    Memory memory = image_with_bitmaps();
    REQUIRE(qcow2::mark_recording_dirty(memory, Heap{}));
    REQUIRE(put(Borrowed(memory), 5000, 3000));
    const auto seen = all_of(bytes_of(memory));
    REQUIRE(seen);
    REQUIRE(seen->size() == 2);
    const File& all = seen->at("records").bits;
    CHECK(std::all_of(all.begin(), all.end(), [](byte b) { return b == byte{0xFF}; }));
    const File& none = seen->at("rests").bits;
    CHECK(std::all_of(none.begin(), none.end(), [](byte b) { return b == byte{0}; }));
    CHECK(is_clean(bytes_of(memory)));
    const uint64_t size = memory.size();
    REQUIRE(qcow2::mark_recording_dirty(memory, Heap{}));  // there is nothing more to do
    CHECK(memory.size() == size);
}

TEST_CASE("qcow2: bitmaps that miss a write are void and leave", "[qcow2][bitmap][write]") {
    Memory memory = image_with_bitmaps();
    REQUIRE(qcow2::take_snapshot(memory, {.name = "kept"}, Heap{}));
    REQUIRE(put(Borrowed(memory), 5000, 3000));
    const File file = bytes_of(memory);
    const auto image = open_file(file);
    REQUIRE(image);
    CHECK_FALSE(qcow2::bitmaps_valid(image->layout()));
    CHECK(image->layout().bitmaps.length == 0);
    CHECK(at_most_leaks(file));
    REQUIRE(qcow2::repair(memory, qcow2::Repair::leaks, Heap{}));
    CHECK(is_clean(bytes_of(memory)));
    if (has_qemu()) {
        const TempDir folder;
        const std::string path = folder / "void.qcow2";
        save(bytes_of(memory), path);
        CHECK(run("qemu-img check -q -r leaks " + path).ok);
        CHECK(run("qemu-img snapshot -l " + path + " | grep -q kept").ok);
    }
}

TEST_CASE("qcow2: an extension of a wrong length goes with a repair", "[qcow2][bitmap][repair]") {
    for (const bool valid : {true, false}) {
        for (const uint32_t length : {0, 20, 32}) {
            CAPTURE(valid, length);
            File file = bytes_of(image_with_bitmaps());
            const auto text = open_file(file)->layout().bitmaps;
            set_be32(file, text.at - 4, length);
            if (!valid) file[95] = byte{0};
            Memory memory(file);
            const char* what = nullptr;
            const auto report = qcow2::check_image(memory, Heap{}, [&](const qcow2::Problem& p) {
                if (p.flaw == qcow2::Flaw::corruption) what = p.what;
            });
            REQUIRE(report);
            CHECK(what == qcow2::bitmaps_length);
            REQUIRE(qcow2::repair(memory, qcow2::Repair::all, Heap{}));
            CHECK(is_clean(bytes_of(memory)));
            if (!has_qemu()) continue;
            const TempDir folder;
            save(bytes_of(memory), folder / "mended.qcow2");
            CHECK(run("qemu-img check -q " + (folder / "mended.qcow2")).ok);
        }
    }
}

TEST_CASE("qcow2: no way back to a snapshot past a bitmap", "[qcow2][bitmap][snapshot]") {
    Memory memory = image_with_bitmaps();
    REQUIRE(qcow2::take_snapshot(memory, {.name = "old"}, Heap{}));
    const File before = bytes_of(memory);
    const Status applied = qcow2::apply_snapshot(memory, "old", Heap{});
    CHECK(applied.error().code == Errc::unsupported);
    CHECK(bytes_of(memory) == before);
}

TEST_CASE("qcow2: bitmaps are not put on clusters that only seem free", "[qcow2][bitmap]") {
    Memory memory;
    REQUIRE(qcow2::create(memory, {.size = disk_size, .cluster_bits = 9}));
    REQUIRE(put(Borrowed(memory), 0, 10000));
    REQUIRE(qcow2::take_snapshot(memory, {.name = "s"}, Heap{}));
    const File sound = bytes_of(memory);
    const auto layout = open_file(sound)->layout();
    for (uint64_t cluster = 1; cluster < sound.size() / 512; ++cluster) {
        File file = sound;
        const uint64_t block = load_be64(&file[layout.refcount_table_at + cluster / 256 * 8]);
        if (block == 0) continue;
        if (qcow2::load_refcount(&file[block], cluster % 256, 4) == 0) continue;
        qcow2::store_refcount(&file[block], cluster % 256, 4, 0);
        const File damaged = file;
        Memory image(std::move(file));
        CAPTURE(cluster);
        CHECK_FALSE(qcow2::add_bitmap(image, NewBitmap{.name = "b"}, Heap{}));
        CHECK(bytes_of(image) == damaged);
    }
}

namespace {

// Data cannot be written from some time on; tables can.
struct NoData : Borrowed<Memory> {
    NoData(Memory& memory, const bool& full) : Borrowed<Memory>(memory), full_(&full) {}
    Status write(uint64_t at, Bytes in) {
        if (*full_ && in.size() > 4096) return fail(Errc::no_space, "full: no room for data");
        return Borrowed<Memory>::write(at, in);
    }
    const bool* full_;
};

}  // namespace

TEST_CASE("qcow2: a write that finds no room gives its clusters back", "[qcow2][write][fault]") {
    for (const bool extended : {false, true}) {
        Memory memory;
        REQUIRE(
            qcow2::create(memory, {.size = 4_MiB, .cluster_bits = 14, .extended_l2 = extended}));
        bool full = false;
        REQUIRE(put(NoData(memory, full), 0, 100000));
        CHECK(is_clean(bytes_of(memory)));
        full = true;
        for (const uint64_t at : {uint64_t{0}, uint64_t{99000}, uint64_t{1000003}}) {
            CAPTURE(extended, at);
            CHECK(put(NoData(memory, full), at, 200000).error().code == Errc::no_space);
            CHECK(is_clean(bytes_of(memory)));
        }
    }
}
