// SPDX-License-Identifier: BSL-1.0
// A disk that can only transfer whole sectors by number: BIOS, UEFI, an SD card's driver.
//
// The device gives the primitive; heads, tails and buffers it cannot reach go through one sector
// of memory that the caller lends.
#pragma once

#include <concepts>
#include <cstring>
#include <limits>
#include <utility>

#include <vdisk/core/math.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// How a device says that it failed: `false`, or an Error of its own.
template <class T>
concept Outcome = std::same_as<T, bool> || std::same_as<T, Status>;

/// A small handle, kept by value. `read(lba, out)` fills `out`, which is a whole number of
/// sectors, at most `max_transfer()` of them (0: any number), and starts at a multiple of
/// `alignment()` (a power of two, 1: anywhere).
template <class D>
concept BlockDevice = std::movable<D> && requires(const D& device, uint64_t lba, MutBytes out) {
    { device.sector_bits() } -> std::convertible_to<unsigned>;
    { device.sectors() } -> std::convertible_to<uint64_t>;
    { device.alignment() } -> std::convertible_to<size_t>;
    { device.max_transfer() } -> std::convertible_to<size_t>;
    { device.read(lba, out) } -> Outcome;
};

/// A BlockDevice that can be written, under the same rules.
template <class D>
concept WritableBlockDevice = BlockDevice<D> && requires(D& device, uint64_t lba, Bytes in) {
    { device.write(lba, in) } -> Outcome;
    { device.flush() } -> Outcome;
};

/// The bytes of a BlockDevice. All copies use the one borrowed sector: one thread at a time.
template <BlockDevice Device>
class CallbackStorage {
public:
    /// `bounce` holds at least one sector, starts at a multiple of the device's alignment and
    /// outlives the storage.
    static Result<CallbackStorage> open(Device device, MutBytes bounce) {
        const unsigned bits = device.sector_bits();
        if (bits >= std::numeric_limits<size_t>::digits || bounce.size() >> bits == 0) {
            return invalid("callback: the bounce buffer holds no sector");
        }
        if (!reaches(device, bounce.data())) {
            return invalid("callback: the bounce buffer is not aligned for the device");
        }
        if (device.sectors() > std::numeric_limits<uint64_t>::max() >> bits) {
            return unsupported("callback: the device is larger than 2^64 bytes");
        }
        return CallbackStorage(std::move(device), bounce.first(size_t{1} << bits));
    }

    [[nodiscard]] uint64_t size() const { return device_.sectors() << device_.sector_bits(); }

    Status read(uint64_t at, MutBytes out) const {
        if (!fits(at, out.size(), size())) return invalid("callback: read past the end");
        while (!out.empty()) {
            size_t done = direct(at, out);
            if (done != 0) {
                const Status read = read_sectors(at, out.first(done));
                if (!read) return read;
            } else {
                const Status read = read_sectors(at, bounce_);
                if (!read) return read;
                const MutBytes part = bounced(at, out.size());
                std::memcpy(out.data(), part.data(), part.size());
                done = part.size();
            }
            at += done;
            out = out.subspan(done);
        }
        return {};
    }

    /// A partly written sector is read first and written as a whole.
    Status write(uint64_t at, Bytes in) requires WritableBlockDevice<Device> {
        if (!fits(at, in.size(), size())) return invalid("callback: write past the end");
        while (!in.empty()) {
            size_t done = direct(at, in);
            if (done != 0) {
                const Status write = write_sectors(at, in.first(done));
                if (!write) return write;
            } else {
                const MutBytes part = bounced(at, in.size());
                if (part.size() != bounce_.size()) {
                    const Status read = read_sectors(at, bounce_);
                    if (!read) return read;
                }
                std::memcpy(part.data(), in.data(), part.size());
                const Status write = write_sectors(at, bounce_);
                if (!write) return write;
                done = part.size();
            }
            at += done;
            in = in.subspan(done);
        }
        return {};
    }

    /// Only the size it has.
    Status resize(uint64_t size) requires WritableBlockDevice<Device> {
        if (size == this->size()) return {};
        return unsupported("callback: a device keeps its size", {.value = size});
    }

    Status flush() requires WritableBlockDevice<Device> {
        return outcome(device_.flush(), "callback: the device failed to flush", Error::none);
    }

private:
    CallbackStorage(Device device, MutBytes bounce) : device_(std::move(device)), bounce_(bounce) {}

    [[nodiscard]] static bool reaches(const Device& device, const byte* buffer) {
        return (reinterpret_cast<uintptr_t>(buffer) & (size_t{device.alignment()} - 1)) == 0;
    }

    // How many bytes the device can move between `at` and `buffer` by itself; 0: bounce.
    [[nodiscard]] size_t direct(uint64_t at, Bytes buffer) const {
        const unsigned bits = device_.sector_bits();
        if (!is_aligned(at, bits) || !reaches(device_, buffer.data())) return 0;
        const size_t sectors = buffer.size() >> bits;
        const size_t most = device_.max_transfer();
        return (most != 0 && most < sectors ? most : sectors) << bits;
    }

    // The part of the bounce sector that stands for the bytes at `at`.
    [[nodiscard]] MutBytes bounced(uint64_t at, size_t length) const {
        const MutBytes rest = bounce_.subspan(static_cast<size_t>(at & (bounce_.size() - 1)));
        return rest.size() < length ? rest : rest.first(length);
    }

    Status read_sectors(uint64_t at, MutBytes out) const {
        const uint64_t lba = at >> device_.sector_bits();
        return outcome(device_.read(lba, out), "callback: the device failed to read", at);
    }

    Status write_sectors(uint64_t at, Bytes in) {
        const uint64_t lba = at >> device_.sector_bits();
        return outcome(device_.write(lba, in), "callback: the device failed to write", at);
    }

    static Status outcome(bool success, const char* what, uint64_t at) {
        if (success) return {};
        return fail(Errc::io, what, {.at = at});
    }
    static Status outcome(Status status, const char* /*what*/, uint64_t /*at*/) { return status; }

    [[no_unique_address]] Device device_;
    MutBytes bounce_;
};

}  // namespace vdisk
