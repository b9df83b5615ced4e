// SPDX-License-Identifier: BSL-1.0
// The storages of the shared suite. Each keeps a file and lends handles of it.
#pragma once

#include <stdexcept>
#include <tuple>

#include <vdisk/disk/open.hpp>
#include <vdisk/storage/borrowed.hpp>
#include <vdisk/storage/callback.hpp>
#include <vdisk/storage/growable.hpp>
#include <vdisk/storage/memory.hpp>
#include <vdisk/storage/mmap.hpp>
#include <vdisk/storage/pread.hpp>
#include <vdisk/storage/window.hpp>

#include "support/image_builder.hpp"
#include "support/temp.hpp"

namespace vdisk::test {

/// What a Result holds; a test that gets none has failed.
template <class T>
T value_of(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().what);
    return *std::move(result);
}

/// The smallest cache there is: one page of one sector.
inline constexpr CacheShape tiny_cache{.page_bits = 9, .count_bits = 0};

/// Memory that does not lend its bytes, so that tables go through the cache.
class PagedMemory {
public:
    explicit PagedMemory(Bytes bytes) : memory_(bytes) {}
    [[nodiscard]] uint64_t size() const { return memory_.size(); }
    Status read(uint64_t at, MutBytes out) const { return memory_.read(at, out); }

private:
    MemoryStorage memory_;
};
static_assert(!ViewableStorage<PagedMemory>);

struct InMemory {
    File file;
    static constexpr CacheShape cache = {};
    [[nodiscard]] auto handle() const { return MemoryStorage(file); }
};

struct InGrowable {
    GrowableMemory memory;
    explicit InGrowable(const File& file) : memory(file) {}
    static constexpr CacheShape cache = {};
    [[nodiscard]] auto handle() const { return Borrowed<const GrowableMemory>(memory); }
};

class OnDisk {
public:
    static constexpr CacheShape cache = {};
    explicit OnDisk(const File& file) {
        auto made = value_of(PreadStorage::open(path().c_str(), Access::create));
        if (!made.resize(file.size()) || !made.write(0, file)) throw std::runtime_error("write");
    }
    [[nodiscard]] auto handle() const {
        return value_of(PreadStorage::open(path().c_str(), Access::read));
    }

protected:
    [[nodiscard]] std::string path() const { return folder_ / "image"; }

private:
    TempDir folder_;
};

struct OnDiskOnePage : OnDisk {
    static constexpr CacheShape cache = tiny_cache;
    using OnDisk::OnDisk;
};

struct Mapped : OnDisk {
    using OnDisk::OnDisk;
    [[nodiscard]] auto handle() const { return value_of(MmapStorage::open(path().c_str())); }
};

/// A device with sectors of 512 bytes that moves at most three of them at once.
struct Sectors {
    const File* file;
    [[nodiscard]] unsigned sector_bits() const { return 9; }
    [[nodiscard]] uint64_t sectors() const { return file->size() >> 9; }
    [[nodiscard]] size_t alignment() const { return 1; }
    [[nodiscard]] size_t max_transfer() const { return 3 * sector; }
    bool read(uint64_t lba, MutBytes out) const {
        return static_cast<bool>(MemoryStorage(*file).read(lba << 9, out));
    }
};

class InFirmware {
public:
    static constexpr CacheShape cache = tiny_cache;
    explicit InFirmware(File file) : file_(std::move(file)), bounce_(sector) {
        file_.resize((file_.size() + sector - 1) / sector * sector);
    }
    [[nodiscard]] auto handle() const {
        return value_of(CallbackStorage<Sectors>::open(Sectors{&file_}, bounce_));
    }

private:
    File file_;
    mutable File bounce_;
};

class InWindow {
public:
    static constexpr CacheShape cache = {};
    explicit InWindow(const File& file) : size_(file.size()), around_(start, byte{0xA5}) {
        around_.insert(around_.end(), file.begin(), file.end());
        around_.resize(around_.size() + 99, byte{0x5A});
    }
    [[nodiscard]] auto handle() const {
        return value_of(WindowStorage<MemoryStorage>::open(MemoryStorage(around_), start, size_));
    }

private:
    static constexpr uint64_t start = 1337;
    uint64_t size_;
    File around_;
};

using Storages =
    std::tuple<InMemory, InGrowable, OnDisk, OnDiskOnePage, Mapped, InFirmware, InWindow>;

template <class Place>
using StorageOf = decltype(std::declval<const Place&>().handle());

/// Opens the image that `place` keeps.
template <class Place>
SystemImage<StorageOf<Place>> open(const Place& place, std::string_view format) {
    return value_of(
        SystemImage<StorageOf<Place>>::open(format, place.handle(), {.cache = Place::cache}));
}

}  // namespace vdisk::test
