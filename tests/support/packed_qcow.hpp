// SPDX-License-Identifier: BSL-1.0
// A small qcow image that is written block by block, packed and plain, over a striped parent.
#pragma once

#include <random>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/system.hpp>
#include <vdisk/format/qcow/create.hpp>
#include <vdisk/format/qcow/writer.hpp>
#include <vdisk/io/pack.hpp>
#include <vdisk/storage/growable.hpp>
#include <vdisk/storage/memory.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"

namespace vdisk::test::packed_qcow {

template <class S>
using Writer = qcow::Writer<S, Heap, Zlib>;
using Reader = qcow::Image<MemoryStorage, Heap, Zlib>;
using File = std::vector<byte>;

static_assert(PackedWritableImage<Writer<GrowableMemory>>);

inline constexpr size_t unit = 1024;
inline constexpr uint64_t disk_size = 149 * 512;  // two L2 tables; the last cluster is not whole
inline constexpr qcow::CreateOptions small{.size = disk_size, .cluster_bits = 10, .l2_bits = 6};
inline constexpr uint64_t blocks_of_disk = (disk_size + unit - 1) / unit;

inline byte parent_byte(uint64_t at) { return byte(at / 512 * 7 + 1); }
struct Striped {
    Status operator()(uint64_t at, MutBytes out) const {
        for (size_t i = 0; i < out.size(); ++i) out[i] = parent_byte(at + i);
        return {};
    }
};

inline File parent_disk() {
    File disk(disk_size);
    REQUIRE(Striped{}(0, disk));
    return disk;
}

template <class Below = Striped>
File guest(const File& file, Below below = {}) {
    const auto image = Reader::open(MemoryStorage(file));
    REQUIRE(image);
    File disk(static_cast<size_t>(image->size()));
    REQUIRE(read(*image, 0, disk, below));
    return disk;
}

inline File empty_image(const qcow::CreateOptions& options = small) {
    GrowableMemory memory;
    REQUIRE(qcow::create(memory, options));
    return {memory.bytes().begin(), memory.bytes().end()};
}

struct Piece {
    uint64_t at;
    File bytes;
};

inline void overwrite(File& disk, const Piece& piece) {
    std::ranges::copy(piece.bytes, disk.begin() + static_cast<std::ptrdiff_t>(piece.at));
}

// A whole block at random: sectors of one byte each, noise that cannot be packed, or zeros.
inline Piece random_block(std::mt19937& random, uint64_t size = disk_size, size_t block = unit) {
    const uint64_t at = random() % ((size + block - 1) / block) * block;
    Piece piece{at, File(static_cast<size_t>(std::min<uint64_t>(block, size - at)))};
    const uint32_t kind = random() % 8;
    if (kind == 0) return piece;
    if (kind <= 2) {
        piece.bytes = noise(piece.bytes.size(), static_cast<uint32_t>(random()));
        return piece;
    }
    for (size_t i = 0; i < piece.bytes.size(); i += 512) {
        std::fill_n(piece.bytes.begin() + static_cast<std::ptrdiff_t>(i),
                    std::min<size_t>(512, piece.bytes.size() - i), byte(random()));
    }
    for (size_t i = random() % 512; i < piece.bytes.size(); i += 1 + random() % 300) {
        if (kind > 5) piece.bytes[i] = byte(random());  // streams of many lengths
    }
    return piece;
}

inline Piece random_piece(std::mt19937& random, uint64_t size = disk_size, uint64_t most = 4000) {
    const uint64_t at = random() % size;
    const uint64_t length = 1 + random() % std::min<uint64_t>(size - at, most);
    return {at, File(static_cast<size_t>(length), byte(random()))};
}

template <class W, class C>
Status put_block(W& writer, C& codec, const Piece& piece, PackOptions options = {}) {
    File scratch(2 * static_cast<size_t>(writer.pack_unit()));
    return write_block(writer, codec, piece.at, piece.bytes, scratch, options);
}

template <class W>
Status put(W& writer, const Piece& piece) {
    File scratch(1 << 16);
    return write(writer, piece.at, piece.bytes, scratch, Striped{});
}

// Kinds of the clusters of an image, one each.
template <class I>
std::vector<Kind> kinds(const I& image) {
    std::vector<Kind> all;
    for (uint64_t at = 0; at < image.size(); at += unit) {
        const auto extent = image.lookup(at, 1);
        REQUIRE(extent);
        all.push_back(extent->kind);
    }
    return all;
}

}  // namespace vdisk::test::packed_qcow
