// SPDX-License-Identifier: BSL-1.0
// Reads a VHD, a qcow2 and a VHDX, from flash and from a card, and writes into two of them: on a
// microcontroller, without heap, exceptions and operating system. run.sh checks what it prints.
#include <array>

#include <vdisk/allocation/arena.hpp>
#include <vdisk/allocation/none.hpp>
#include <vdisk/codec/none.hpp>
#include <vdisk/format/qcow2/writer.hpp>
#include <vdisk/format/vhd/writer.hpp>
#include <vdisk/format/vhdx/image.hpp>
#include <vdisk/io/write.hpp>
#include <vdisk/metadata/one_page.hpp>
#include <vdisk/storage/memory.hpp>

#include "reading.hpp"
#include "stack.hpp"

using namespace vdisk;

extern "C" const byte vhd_begin[], vhd_end[], qcow2_begin[], qcow2_end[], vhdx_begin[], vhdx_end[];

namespace {

alignas(8) std::array<byte, OnePage::page_size> page;  // of tables, to read
alignas(8) std::array<byte, 4096> tables;              // to write

// Opens an image, and looks whether it holds the disk of that checksum.
template <class Open>
bool holds(const char* what, uint32_t expected, const Open& open) {
    const PaintedStack stack;
    const auto image = open();
    if (!image) return tell(what, image.error());
    const size_t opened = stack.used();
    const auto sum = checksum(*image);
    if (!sum) return tell(what, sum.error());
    tell(what, ": CRC-32C ", *sum);
    tell(what, ": stack to open ", opened);
    tell(what, ": stack to open and read ", stack.used());
    tell(what, ": object ", sizeof *image);
    return *sum == expected;
}

bool holds_all_in_flash(uint32_t expected) {
    const auto flash = [](const byte* from, const byte* to) {
        return MemoryStorage(Bytes(from, to));
    };
    return holds(
               "vhd in flash", expected,
               [&] {
                   return vhd::Image<MemoryStorage, NoAllocation>::open(flash(vhd_begin, vhd_end));
               }) &&
           holds("qcow2 in flash", expected,
                 [&] {
                     return qcow2::Image<MemoryStorage, NoAllocation, NoCodec>::open(
                         flash(qcow2_begin, qcow2_end));
                 }) &&
           holds("vhdx in flash", expected, [&] {
               return vhdx::Image<MemoryStorage, NoAllocation>::open(flash(vhdx_begin, vhdx_end));
           });
}

// The card is behind a table of functions: these readers serve any other medium as well.
template <class I>
bool holds_on_card(const char* what, const char* name, uint32_t expected) {
    const auto file = card(name);
    if (!file) return tell(what, file.error());
    return holds(what, expected, [&] { return I::open(StorageRef(*file), {}, OnePage(page)); });
}

bool holds_all_on_card(uint32_t expected) {
    return holds_on_card<vhd::Image<StorageRef, OnePage>>("vhd on card", "disk.vhd", expected) &&
           holds_on_card<qcow2::Image<StorageRef, OnePage, NoCodec>>("qcow2 on card", "disk.qcow2",
                                                                     expected) &&
           holds_on_card<vhdx::Image<StorageRef, OnePage>>("vhdx on card", "disk.vhdx", expected);
}

// Over data, over the edge of a block, and where nothing is yet. run.sh writes the same.
template <class W>
Status write_marks(W& image) {
    for (size_t i = 0; i < buffer.size(); ++i) buffer[i] = static_cast<byte>(i * 7 & 0xFF);
    for (const uint64_t at : {uint64_t{5000}, uint64_t{0xFFFF0}, uint64_t{2'500'000}}) {
        if (Status put = write(image, at, Bytes(buffer).first(1000), sector); !put) return put;
    }
    return image.flush();
}

template <class Open>
bool writes(const char* what, const char* name, const Open& open) {
    HostStorage file(board::HostFile::open(name, board::HostFile::Mode::update));
    ArenaMemory memory{tables};
    const PaintedStack stack;
    auto image = open(StorageRef(file), Arena(memory));
    if (!image) return tell(what, image.error());
    const size_t opened = stack.used();
    const Status written = write_marks(*image);
    if (!written) return tell(what, written.error());
    tell(what, ": stack to open ", opened);
    tell(what, ": stack to open and write ", stack.used());
    tell(what, ": object ", sizeof *image);
    tell(what, ": tables ", memory.peak);
    return true;
}

bool writes_all() {
    return writes("vhd written", "written.vhd",
                  [](StorageRef file, Arena memory) {
                      return vhd::Writer<StorageRef, Arena>::open(file, small, memory);
                  }) &&
           writes("qcow2 written", "written.qcow2", [](StorageRef file, Arena memory) {
               return qcow2::Writer<StorageRef, Arena, NoCodec>::open(file, small, memory);
           });
}

// A reader without a codec says so, and does without its code.
bool refuses_packed() {
    const auto file = card("packed.qcow2");
    if (!file) return tell("packed qcow2", file.error());
    using Plain = qcow2::Image<StorageRef, OnePage, NoCodec>;
    const auto image = Plain::open(StorageRef(*file), {}, OnePage(page));
    if (!image) return tell("packed qcow2", image.error());
    const Status got = read(*image, 1_MiB, buffer);
    if (!got) tell("packed qcow2", got.error());
    return !got && got.error().code == Errc::unsupported;
}

}  // namespace

bool run() {
    const auto expected = expected_checksum();
    if (!expected) return tell("raw", expected.error());
    tell("raw on card", ": CRC-32C ", *expected);
    return holds_all_in_flash(*expected) && holds_all_on_card(*expected) && writes_all() &&
           refuses_packed();
}
