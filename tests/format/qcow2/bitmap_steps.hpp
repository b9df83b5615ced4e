// SPDX-License-Identifier: BSL-1.0
// Operations on bitmaps as data, what is seen of all bitmaps, and images with bits to work on.
#pragma once

#include <random>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/system.hpp>
#include <vdisk/format/qcow2/bitmaps.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/format/qcow2/image.hpp>
#include <vdisk/storage/growable.hpp>

#include "catch.hpp"
#include "support/places.hpp"

namespace vdisk::test::bitmaps {

using qcow2::NewBitmap;
using qcow2::Recording;
using Memory = GrowableMemory;

inline auto open_file(const File& file) {
    return qcow2::Image<MemoryStorage, Heap, SystemCodecs>::open(MemoryStorage(file),
                                                                 {.purpose = Purpose::metadata});
}

struct Seen {
    uint32_t flags = 0;
    unsigned granularity_bits = 0;
    File bits;
    bool operator==(const Seen&) const = default;
};
using AllSeen = std::map<std::string, Seen>;

// Every bitmap, bit by bit; fails as the library fails.
inline Result<AllSeen> all_of(const File& file) {
    const auto image = open_file(file);
    if (!image) return image.error();
    AllSeen out;
    if (!qcow2::bitmaps_valid(image->layout())) return out;
    const MemoryStorage storage(file);
    const Status walked =
        qcow2::each_bitmap(storage, image->layout(), [&](const qcow2::Bitmap& bitmap) -> Status {
            Seen seen{bitmap.flags, bitmap.granularity_bits, {}};
            seen.bits.resize(qcow2::BitmapSize(image->layout(), bitmap.granularity_bits).bytes);
            const auto name = reinterpret_cast<const char*>(file.data()) + bitmap.name.at;
            const Status read =
                qcow2::read_bitmap(storage, image->layout(), bitmap, 0, MutBytes(seen.bits));
            if (!read) return read;
            out.emplace(std::string(name, bitmap.name.length), std::move(seen));
            return {};
        });
    if (!walked) return walked.error();
    return out;
}

// One operation, as we and as qemu-img spell it.
struct Step {
    enum class Do : uint8_t { add, remove, clear, enable, disable, merge };
    Do what;
    std::string name;
    std::string other = {};         // merge: the source
    unsigned granularity_bits = 0;  // add
    Recording recording = Recording::on;
};

template <WritableStorage S, Allocation A = Heap>
Status run(S& storage, const Step& step, A allocation = A{}) {
    switch (step.what) {
        case Step::Do::add:
            return qcow2::add_bitmap(
                storage, NewBitmap{step.name, step.granularity_bits, step.recording}, allocation);
        case Step::Do::remove: return qcow2::remove_bitmap(storage, step.name, allocation);
        case Step::Do::clear: return qcow2::clear_bitmap(storage, step.name, allocation);
        case Step::Do::enable:
            return qcow2::set_recording(storage, step.name, Recording::on, allocation);
        case Step::Do::disable:
            return qcow2::set_recording(storage, step.name, Recording::off, allocation);
        case Step::Do::merge:
            return qcow2::merge_bitmap(storage, step.other, step.name, allocation);
    }
    return {};
}

inline std::string as_command(const Step& step) {
    std::string out = "qemu-img bitmap -f qcow2 ";
    switch (step.what) {
        case Step::Do::add: out += "--add "; break;
        case Step::Do::remove: out += "--remove "; break;
        case Step::Do::clear: out += "--clear "; break;
        case Step::Do::enable: out += "--enable "; break;
        case Step::Do::disable: out += "--disable "; break;
        case Step::Do::merge: out += "--merge " + step.other + ' '; break;
    }
    if (step.recording == Recording::off) out += "--disable ";
    if (step.granularity_bits != 0) {
        out += "-g " + std::to_string(uint64_t{1} << step.granularity_bits) + ' ';
    }
    return out + "x '" + step.name + "'";
}

using Do = Step::Do;
inline const std::string longest(1023, 'n'), too_long(1024, 'n');

// Four bitmaps of different granularity with noise in them, made without any editor.
inline File with_bits(unsigned cluster_bits) {
    Memory memory;
    const qcow2::CreateOptions o{.size = 3_MiB + 512, .cluster_bits = cluster_bits};
    REQUIRE(qcow2::create(memory, o));
    for (const auto& [name, bits] : {std::pair{"b9", 9u}, {"b11", 11u}, {"b16", 16u}, {"e", 9u}}) {
        REQUIRE(run(memory, {Do::add, name, {}, bits}));
    }
    return bytes_of(memory);
}

// Sets single bits of the bitmap `name` in the file, by way of its table.
inline void scatter(Memory& memory, const std::string& name, uint32_t seed, unsigned bits) {
    auto editor = qcow2::BitmapEditor<Memory, Heap>::open(memory, Heap{});
    REQUIRE(editor);
    const auto place = value_of(editor->find(name));
    const qcow2::BitmapSize size(editor->layout(), place.bitmap.granularity_bits);
    std::mt19937 random(seed);
    std::map<uint64_t, uint64_t> clusters;
    for (unsigned n = 0; n < bits; ++n) {
        const uint64_t bit = random() % size.bits;
        const unsigned shift = editor->layout().cluster_bits;
        const uint64_t index = bit / 8 >> shift;
        if (!clusters.contains(index)) {
            const uint64_t at = value_of(editor->allocate(1));
            const File zeros(uint64_t{1} << shift);
            REQUIRE(memory.write(at, zeros));
            std::array<byte, 8> raw{};
            store_be64(raw.data(), at);
            REQUIRE(memory.write(place.bitmap.table_at + index * 8, raw));
            clusters[index] = at;
        }
        const uint64_t at = clusters[index] + (bit / 8 & ((uint64_t{1} << shift) - 1));
        std::array<byte, 1> one{};
        REQUIRE(memory.read(at, one));
        one[0] |= byte(1u << bit % 8);
        REQUIRE(memory.write(at, one));
    }
    REQUIRE(editor->finish());
}

}  // namespace vdisk::test::bitmaps
