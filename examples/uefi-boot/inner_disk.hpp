// SPDX-License-Identifier: BSL-1.0
// From a disk of the firmware to the image on it, and to a disk of the firmware again.
#pragma once

#include <vdisk/io/read.hpp>
#include <vdisk/storage/callback.hpp>

#include "efi.hpp"

/// A disk of the firmware, as the library wants one.
struct EfiDevice {
    efi::BlockIo* io;

    [[nodiscard]] unsigned sector_bits() const {
        unsigned bits = 0;
        while ((uint32_t{1} << bits) < io->media->block_size) ++bits;
        return bits;
    }
    [[nodiscard]] uint64_t sectors() const { return io->media->last_block + 1; }
    [[nodiscard]] size_t alignment() const {
        return io->media->io_align > 1 ? io->media->io_align : 1;
    }
    static size_t max_transfer() { return 0; }
    bool read(uint64_t lba, vdisk::MutBytes out) const {
        return io->read(io, io->media->id, lba, out.size(), out.data()) == efi::success;
    }
};

using EfiStorage = vdisk::CallbackStorage<EfiDevice>;

/// The disk inside an image, as the firmware wants one. It is only read.
template <vdisk::Image I>
class InnerDisk : public efi::BlockIo {
public:
    explicit InnerDisk(I image) : efi::BlockIo(), image_(std::move(image)) {
        revision = 0x10000;
        media = &media_;
        media_.present = media_.read_only = true;
        media_.block_size = sector;
        media_.last_block = image_.size() / sector - 1;
        BlockIo::reset = [](BlockIo*, bool) { return efi::success; };
        BlockIo::read = read_sectors;
        BlockIo::write = [](BlockIo*, uint32_t, uint64_t, uint64_t, const void*) {
            return efi::write_protected;
        };
        BlockIo::flush = [](BlockIo*) { return efi::success; };
    }
    InnerDisk(const InnerDisk&) = delete;
    InnerDisk& operator=(const InnerDisk&) = delete;

    [[nodiscard]] uint64_t size() const { return image_.size(); }

private:
    static constexpr uint32_t sector = 512;

    static efi::Status read_sectors(BlockIo* self, uint32_t /*media*/, uint64_t lba, uint64_t bytes,
                                    void* out) {
        const I& image = static_cast<InnerDisk*>(self)->image_;
        if (bytes % sector != 0) return efi::bad_buffer_size;
        if (lba > image.size() / sector) return efi::invalid_parameter;
        const vdisk::MutBytes to(static_cast<std::byte*>(out), bytes);
        return vdisk::read(image, lba * sector, to) ? efi::success : efi::device_error;
    }

    Media media_{};
    I image_;
};
