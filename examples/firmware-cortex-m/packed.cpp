// SPDX-License-Identifier: BSL-1.0
// Reads a qcow2 whose clusters are compressed, with zlib built for bare metal: its state and the
// cluster lie in memory of the program.
#include <vdisk/allocation/arena.hpp>
#include <vdisk/codec/inflate.hpp>
#include <vdisk/format/qcow2/image.hpp>

#include "reading.hpp"
#include "stack.hpp"

using namespace vdisk;

namespace {

alignas(16) std::array<byte, Inflate::memory_needed> decoder;
alignas(8) std::array<byte, 24576> tables;  // a page, a cluster of 8 KiB, and its packed bytes

}  // namespace

bool run() {
    const auto expected = expected_checksum();
    if (!expected) return tell("raw", expected.error());
    const auto file = card("packed.qcow2");
    if (!file) return tell("packed qcow2", file.error());
    ArenaMemory memory{tables};
    const PaintedStack stack;
    using Packed = qcow2::Image<StorageRef, Arena, Inflate>;
    const auto image = Packed::open(StorageRef(*file), small, Arena(memory), Inflate(decoder));
    if (!image) return tell("packed qcow2", image.error());
    const auto sum = checksum(*image);
    if (!sum) return tell("packed qcow2", sum.error());
    tell("packed qcow2", ": CRC-32C ", *sum);
    tell("packed qcow2", ": stack to open and read ", stack.used());
    tell("packed qcow2", ": object ", sizeof *image);
    tell("packed qcow2", ": tables and cluster ", memory.peak);
    return *sum == *expected;
}
