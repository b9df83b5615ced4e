// SPDX-License-Identifier: BSL-1.0
// Opens an image of any format, told by its first bytes, in memory that is there from the start.
#pragma once

#include <vdisk/allocation/arena.hpp>
#include <vdisk/codec/inflate.hpp>
#include <vdisk/format/qcow/image.hpp>
#include <vdisk/format/qcow2/image.hpp>
#include <vdisk/format/raw/image.hpp>
#include <vdisk/format/vhd/image.hpp>
#include <vdisk/format/vhdx/image.hpp>
#include <vdisk/storage/ref.hpp>

#include "file.hpp"

namespace images {

using vdisk::Arena;
using vdisk::Inflate;
using vdisk::StorageRef;

using Raw = vdisk::raw::Image<StorageRef>;
using Qcow = vdisk::qcow::Image<StorageRef, Arena, Inflate>;
using Qcow2 = vdisk::qcow2::Image<StorageRef, Arena, Inflate>;
using Vhd = vdisk::vhd::Image<StorageRef, Arena>;
using Vhdx = vdisk::vhdx::Image<StorageRef, Arena>;

inline bool begins(const File& file, uint64_t at, std::string_view magic) {
    char bytes[8] = {};
    if (!vdisk::fits(at, magic.size(), file.size())) return false;
    const auto out = std::as_writable_bytes(std::span(bytes)).first(magic.size());
    return file.read(at, out) && std::string_view(bytes, magic.size()) == magic;
}

/// Calls `visit(format, image)` with the image that the file holds.
template <class Visit>
vdisk::Status visit(const File& file, const Visit& visit) {
    // Tables, log, and a cluster with its packed bytes. What is not touched costs nothing.
    alignas(16) static std::byte memory[8 << 20];
    alignas(16) static std::byte codec[Inflate::memory_needed];
    static vdisk::ArenaMemory arena{memory};
    const StorageRef storage(file);
    const vdisk::OpenOptions options{.cache = {.page_bits = 12, .count_bits = 4}};

    using namespace std::string_view_literals;  // one of them has zeros in it

    const auto give = [&](const char* format, const auto& image) -> vdisk::Status {
        if (!image) return image.error();
        if (vdisk::has_parent(*image)) return vdisk::unsupported("the image has a parent");
        return visit(format, *image);
    };
    if (begins(file, 0, "QFI\xFB\0\0\0\1"sv))
        return give("qcow", Qcow::open(storage, options, Arena(arena), Inflate(codec)));
    if (begins(file, 0, "QFI\xFB"))
        return give("qcow2", Qcow2::open(storage, options, Arena(arena), Inflate(codec)));
    if (begins(file, 0, "vhdxfile"))
        return give("vhdx", Vhdx::open(storage, options, Arena(arena)));
    if (begins(file, 0, "conectix") || begins(file, file.size() - 512, "conectix"))
        return give("vpc", Vhd::open(storage, options, Arena(arena)));
    return give("raw", Raw::open(storage, options));
}

}  // namespace images
