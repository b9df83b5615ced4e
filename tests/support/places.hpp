// SPDX-License-Identifier: BSL-1.0
// Where a workload keeps its files: in memory, on the disk of this machine, on a device of sectors.
#pragma once

#include "support/storages.hpp"

namespace vdisk::test {

inline File bytes_of(const GrowableMemory& memory) {
    return {memory.bytes().begin(), memory.bytes().end()};
}

/// Where a workload keeps its files. `open` gives a handle of the file; `bytes` what is in it.
class KeptInMemory {
public:
    explicit KeptInMemory(File file) : memory_(std::move(file)) {}
    using Handle = Borrowed<GrowableMemory>;
    Handle open() { return Handle(memory_); }
    [[nodiscard]] File bytes() const { return bytes_of(memory_); }

private:
    GrowableMemory memory_;
};

class KeptOnDisk {
public:
    explicit KeptOnDisk(const File& file) {
        auto made = value_of(PreadStorage::open(path().c_str(), Access::create));
        if (!made.resize(file.size()) || !made.write(0, file)) throw std::runtime_error("write");
    }
    using Handle = PreadStorage;
    Handle open() { return value_of(PreadStorage::open(path().c_str(), Access::write)); }
    [[nodiscard]] File bytes() const {
        const auto file = value_of(PreadStorage::open(path().c_str(), Access::read));
        File out(static_cast<size_t>(file.size()));
        if (!file.read(0, out)) throw std::runtime_error("read");
        return out;
    }

private:
    [[nodiscard]] std::string path() const { return folder_ / "image"; }
    TempDir folder_;
};

/// A device of a fixed size that moves sectors, three at most.
struct WritableSectors {
    File* file;
    [[nodiscard]] unsigned sector_bits() const { return 9; }
    [[nodiscard]] uint64_t sectors() const { return file->size() >> 9; }
    [[nodiscard]] size_t alignment() const { return 1; }
    [[nodiscard]] size_t max_transfer() const { return 3 * sector; }
    bool read(uint64_t lba, MutBytes out) const {
        return static_cast<bool>(MemoryStorage(*file).read(lba << 9, out));
    }
    bool write(uint64_t lba, Bytes in) {
        std::copy(in.begin(), in.end(), file->begin() + static_cast<std::ptrdiff_t>(lba << 9));
        return true;
    }
    bool flush() { return true; }
};

class KeptOnDevice {
public:
    explicit KeptOnDevice(File file) : file_(std::move(file)), bounce_(sector) {
        file_.resize((file_.size() * 3 + 6_MiB - 1) / 2_MiB * 2_MiB);
    }
    using Handle = CallbackStorage<WritableSectors>;
    Handle open() { return value_of(Handle::open(WritableSectors{&file_}, bounce_)); }
    [[nodiscard]] File bytes() const { return file_; }

private:
    File file_, bounce_;
};

}  // namespace vdisk::test
