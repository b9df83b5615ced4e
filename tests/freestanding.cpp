// SPDX-License-Identifier: BSL-1.0
// Compiled for a microcontroller, not run: readers of every format without heap, exceptions and
// operating system. freestanding.sh looks at what the object file leaves to the linker.
#include <vdisk/allocation/arena.hpp>
#include <vdisk/allocation/none.hpp>
#include <vdisk/codec/none.hpp>
#include <vdisk/format/qcow/image.hpp>
#include <vdisk/format/qcow2/image.hpp>
#include <vdisk/format/raw/image.hpp>
#include <vdisk/format/vhd/image.hpp>
#include <vdisk/format/vhdx/image.hpp>
#include <vdisk/io/read.hpp>
#include <vdisk/io/walk.hpp>
#include <vdisk/storage/callback.hpp>
#include <vdisk/storage/memory.hpp>
#include <vdisk/storage/ref.hpp>
#include <vdisk/storage/window.hpp>

using namespace vdisk;

namespace {

struct Card {  // a driver of the board
    bool (*driver)(uint64_t lba, byte* out, size_t length);

    static unsigned sector_bits() { return 9; }
    static uint64_t sectors() { return 1 << 20; }
    static size_t alignment() { return 4; }
    static size_t max_transfer() { return 8; }
    bool read(uint64_t lba, MutBytes out) const { return driver(lba, out.data(), out.size()); }
};

using CardStorage = CallbackStorage<Card>;

template <class I>
bool sector(const Result<I>& image, uint64_t at, MutBytes out) {
    return image && read(*image, at, out);
}

}  // namespace

extern "C" bool qcow2_in_flash(const byte* flash, size_t size, uint64_t at, byte* out) {
    using Rom = qcow2::Image<MemoryStorage, NoAllocation, NoCodec>;
    return sector(Rom::open(MemoryStorage(Bytes(flash, size))), at, MutBytes(out, 512));
}

extern "C" bool qcow2_on_card(Card device, ArenaMemory* memory, byte* bounce, uint64_t at,
                              byte* out) {
    const auto card = CardStorage::open(device, MutBytes(bounce, 512));
    if (!card) return false;
    using Disk = qcow2::Image<CardStorage, Arena, NoCodec>;
    const OpenOptions one_page{.cache = {.page_bits = 9, .count_bits = 0}};
    return sector(Disk::open(*card, one_page, Arena(*memory)), at, MutBytes(out, 512));
}

extern "C" bool qcow_in_flash(const byte* flash, size_t size, uint64_t at, byte* out) {
    using Rom = qcow::Image<MemoryStorage, NoAllocation, NoCodec>;
    return sector(Rom::open(MemoryStorage(Bytes(flash, size))), at, MutBytes(out, 512));
}

extern "C" bool vhd_in_flash(const byte* flash, size_t size, uint64_t at, byte* out) {
    using Rom = vhd::Image<MemoryStorage, NoAllocation>;
    return sector(Rom::open(MemoryStorage(Bytes(flash, size))), at, MutBytes(out, 512));
}

extern "C" bool vhdx_anywhere(void* context, const StorageTable* medium, ArenaMemory* memory,
                              uint64_t at, byte* out) {
    using Disk = vhdx::Image<StorageRef, Arena>;
    const OpenOptions one_page{.cache = {.page_bits = 9, .count_bits = 0}};
    const StorageRef storage(context, *medium);
    return sector(Disk::open(storage, one_page, Arena(*memory)), at, MutBytes(out, 512));
}

extern "C" bool raw_behind_a_header(const byte* flash, size_t size, uint64_t at, byte* out) {
    const auto window =
        WindowStorage<MemoryStorage>::open(MemoryStorage(Bytes(flash, size)), 4096, size - 4096);
    if (!window) return false;
    return sector(raw::Image<WindowStorage<MemoryStorage>>::open(*window), at, MutBytes(out, 512));
}

extern "C" uint64_t stored_bytes(const byte* flash, size_t size) {
    using Rom = qcow2::Image<MemoryStorage, NoAllocation, NoCodec>;
    const auto image = Rom::open(MemoryStorage(Bytes(flash, size)));
    uint64_t sum = 0;
    if (!image) return sum;
    const auto add = [&sum](uint64_t /*at*/, const Extent& extent) -> Status {
        if (extent.kind == Kind::data) sum += extent.length;
        return {};
    };
    return walk(*image, 0, image->size(), add) ? sum : 0;
}
