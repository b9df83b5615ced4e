// SPDX-License-Identifier: BSL-1.0
// The disk that `vdisk io` works on, open to be read or to be written.
#pragma once

#include <functional>
#include <string>
#include <variant>

#include <vdisk/io/pack.hpp>

#include "tool.hpp"

namespace tool {

/// A Disk or a WritableDisk. Writing to a Disk fails with Errc::read_only.
class Medium {
public:
    explicit Medium(Disk disk) : disk_(std::move(disk)) {}
    /// Makes an image so large, or small, while nobody has it open, and opens it again; `why` says
    /// what hindered it. Throws Failure if it cannot be opened any more.
    using Resize =
        std::function<WritableDisk(WritableDisk closed, uint64_t size, std::string& why)>;
    Medium(WritableDisk disk, Resize resize) : disk_(std::move(disk)), resize_(std::move(resize)) {}

    [[nodiscard]] bool is_writable() const { return std::holds_alternative<WritableDisk>(disk_); }
    [[nodiscard]] uint64_t size() const {
        return std::visit([](const auto& disk) { return disk.size(); }, disk_);
    }
    /// Calls `f` with the top image, or its writer.
    template <class F>
    decltype(auto) visit_top(F&& f) const {
        return std::visit([&](const auto& disk) { return f(disk.top()); }, disk_);
    }

    vdisk::Status read(uint64_t at, vdisk::MutBytes out) const;
    vdisk::Status write(uint64_t at, vdisk::Bytes in);
    /// Whole blocks only, of which the last of the disk may be short.
    vdisk::Status write_compressed(uint64_t at, vdisk::Bytes in);
    vdisk::Status zero(uint64_t at, uint64_t length);
    vdisk::Status discard(uint64_t at, uint64_t length);
    /// Makes the disk larger or smaller, where the format can: returns what hinders it, or nothing.
    /// Throws Failure if the image cannot be opened again.
    std::string truncate(uint64_t size);
    vdisk::Status flush();
    /// As flush, and the image is as others open it.
    vdisk::Status close();

private:
    template <class Act>
    vdisk::Status change(const Act& act);

    std::variant<Disk, WritableDisk> disk_;
    Resize resize_;
    vdisk::SystemCodecs codec_;
    vdisk::Buffer<vdisk::Heap> scratch_;
};

}  // namespace tool
