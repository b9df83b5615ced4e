// SPDX-License-Identifier: BSL-1.0
// An EFI application that looks for a qcow2, a VHD or a VHDX on every disk, shows the disk inside
// as one more disk to the firmware, and starts \INNER.EFI from the file system that the firmware
// finds there. Without EDK II, without a C library.
#include <new>

#include <vdisk/allocation/arena.hpp>
#include <vdisk/codec/none.hpp>
#include <vdisk/format/qcow2/image.hpp>
#include <vdisk/format/vhd/image.hpp>
#include <vdisk/format/vhdx/image.hpp>
#include <vdisk/storage/ref.hpp>

#include "debug_port.hpp"
#include "inner_disk.hpp"

using namespace vdisk;
using debug_port::print;

extern "C" int _fltused = 0;  // what the compiler wants wherever there could be floating point

namespace {

efi::Handle self;
efi::SystemTable* firmware;

// Memory that an image needs as long as its disk is there.
template <class I>
struct Place {
    static inline std::byte bounce[4096] __attribute__((aligned(4096)));
    static inline std::byte tables[20480];
    static inline std::byte storage[sizeof(EfiStorage)] __attribute__((aligned(16)));
    static inline std::byte disk[sizeof(InnerDisk<I>)] __attribute__((aligned(16)));
    static inline ArenaMemory memory{tables};
    static inline efi::DevicePath path;
    static inline bool taken = false;
};

// Starts \INNER.EFI of the file system on the handle.
bool start_inner(efi::Handle handle) {
    static std::byte program[65536] __attribute__((aligned(4096)));
    efi::BootServices& boot = *firmware->boot;
    efi::FileSystem* files = nullptr;
    efi::File *root = nullptr, *file = nullptr;
    void* found = nullptr;
    if (boot.handle_protocol(handle, &efi::file_system_guid, &found) != efi::success) return false;
    files = static_cast<efi::FileSystem*>(found);
    if (files->open_volume(files, &root) != efi::success) return false;
    if (root->open(root, &file, u"\\INNER.EFI", 1, 0) != efi::success) return false;
    uint64_t bytes = sizeof program;
    if (file->read(file, &bytes, program) != efi::success) return false;
    efi::Handle inner = nullptr;
    if (boot.load_image(false, self, nullptr, program, bytes, &inner) != efi::success) return false;
    const efi::Status ended = boot.start_image(inner, nullptr, nullptr);
    print("outer: inner returned ");
    print(ended);
    print("\n");
    return ended == 42;
}

// True if the disk holds an image of that format, and what is inside was started from it.
template <class I, class Open>
bool boot_from(const char* format, efi::BlockIo* disk, uint32_t number, const Open& open) {
    using P = Place<I>;
    if (P::taken) return false;
    const auto storage = EfiStorage::open({disk}, P::bounce);
    if (!storage) return false;
    auto* const kept = ::new (static_cast<void*>(P::storage)) EfiStorage(*storage);
    auto image = open(StorageRef(*kept), Arena(P::memory));
    if (!image) return false;
    P::taken = true;
    auto* const inner = ::new (static_cast<void*>(P::disk)) InnerDisk<I>(*std::move(image));
    print("outer: ");
    print(format);
    print(" of ");
    print(inner->size());
    print(" bytes\n");

    P::path.vendor = {0x76646973, 0x6B00, 0x4001, {0x80, 1, 2, 3, 4, 5, 6, 7}};
    P::path.number = number;
    efi::BootServices& boot = *firmware->boot;
    efi::Handle handle = nullptr;
    efi::BlockIo* const shown = inner;
    if (boot.install_protocol(&handle, &efi::device_path_guid, 0, &P::path) != efi::success ||
        boot.install_protocol(&handle, &efi::block_io_guid, 0, shown) != efi::success) {
        return false;
    }
    boot.connect_controller(handle, nullptr, nullptr, true);
    return start_inner(handle);
}

// How many images were started from on that disk: 0 or 1.
unsigned look_at(efi::BlockIo* disk, uint32_t number) {
    if (!disk->media->present || disk->media->logical_partition) return 0;
    const OpenOptions small{.cache = {.page_bits = 12, .count_bits = 2}};
    using Qcow2 = qcow2::Image<StorageRef, Arena, NoCodec>;
    using Vhd = vhd::Image<StorageRef, Arena>;
    using Vhdx = vhdx::Image<StorageRef, Arena>;
    const bool started =
        boot_from<Qcow2>("qcow2", disk, number,
                         [&](StorageRef s, Arena a) { return Qcow2::open(s, small, a); }) ||
        boot_from<Vhdx>("vhdx", disk, number,
                        [&](StorageRef s, Arena a) { return Vhdx::open(s, small, a); }) ||
        boot_from<Vhd>("vhd", disk, number,
                       [&](StorageRef s, Arena a) { return Vhd::open(s, small, a); });
    return started ? 1 : 0;
}

unsigned boot_from_all() {
    static efi::Handle handles[512];
    efi::BootServices& boot = *firmware->boot;
    // A firmware that was told what to boot from connects nothing else.
    uint64_t bytes = sizeof handles;
    if (boot.locate_handle(0, nullptr, nullptr, &bytes, handles) == efi::success) {
        for (uint64_t i = 0; i < bytes / sizeof *handles; ++i) {
            boot.connect_controller(handles[i], nullptr, nullptr, true);
        }
    }
    bytes = sizeof handles;
    const efi::Status found = boot.locate_handle(2, &efi::block_io_guid, nullptr, &bytes, handles);
    if (found != efi::success) return 0;
    unsigned started = 0;
    for (uint64_t i = 0; i < bytes / sizeof *handles; ++i) {
        void* disk = nullptr;
        if (boot.handle_protocol(handles[i], &efi::block_io_guid, &disk) != efi::success) continue;
        started += look_at(static_cast<efi::BlockIo*>(disk), static_cast<uint32_t>(i));
    }
    return started;
}

}  // namespace

extern "C" efi::Status efi_main(efi::Handle image, efi::SystemTable* system) {
    self = image;
    firmware = system;
    const unsigned started = boot_from_all();
    print("outer: images started from: ");
    print(started);
    print("\n");
    system->runtime->reset_system(2, efi::success, 0, nullptr);
    return efi::success;
}
