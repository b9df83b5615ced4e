// SPDX-License-Identifier: BSL-1.0
// Two ways to give the library a file of the host: as a device of sectors, which is how a card or
// a disk looks, and as a storage that can grow, which a writer wants.
#pragma once

#include <vdisk/storage/callback.hpp>

#include "board.hpp"

/// As the driver of a card would be. Reads alone.
struct HostDevice {
    board::HostFile file;

    static unsigned sector_bits() { return 9; }
    [[nodiscard]] uint64_t sectors() const { return file.size() >> 9; }
    static size_t alignment() { return 4; }
    static size_t max_transfer() { return 8; }
    bool read(uint64_t lba, vdisk::MutBytes out) const { return file.read(lba << 9, out); }
};

using HostCard = vdisk::CallbackStorage<HostDevice>;

/// A whole Storage policy of one's own: five functions.
class HostStorage {
public:
    explicit HostStorage(board::HostFile file) : file_(file), size_(file.size()) {}

    [[nodiscard]] uint64_t size() const { return size_; }
    vdisk::Status read(uint64_t at, vdisk::MutBytes out) const {
        if (!vdisk::fits(at, out.size(), size_)) return vdisk::invalid("host: past the end");
        return outcome(out.empty() || file_.read(at, out));
    }
    vdisk::Status write(uint64_t at, vdisk::Bytes in) {
        if (!vdisk::fits(at, in.size(), size_)) return vdisk::invalid("host: past the end");
        return outcome(in.empty() || file_.write(at, in));
    }
    /// What is new is made of zeros. Gives nothing back.
    vdisk::Status resize(uint64_t size) {
        static constexpr std::byte zeros[512] = {};
        while (size_ < size) {
            const uint64_t rest = size - size_;
            const size_t piece = rest < sizeof zeros ? static_cast<size_t>(rest) : sizeof zeros;
            if (!file_.write(size_, vdisk::Bytes(zeros, piece))) return outcome(false);
            size_ += piece;
        }
        return outcome(size_ == size);
    }
    static vdisk::Status flush() { return {}; }

private:
    static vdisk::Status outcome(bool success) {
        if (success) return {};
        return vdisk::fail(vdisk::Errc::io, "host: the file could not be read or written");
    }

    board::HostFile file_;
    uint64_t size_;
};

static_assert(vdisk::WritableStorage<HostStorage> && vdisk::BlockDevice<HostDevice>);
