// SPDX-License-Identifier: BSL-1.0
#include "closed_vhd.hpp"

#include <algorithm>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/format/vhd/change.hpp>
#include <vdisk/format/vhd/compact.hpp>
#include <vdisk/format/vhd/resize.hpp>

#include "interrupt.hpp"
#include "new_vhd.hpp"

namespace tool {

using namespace vdisk;
using vdisk::qcow2::Preallocation;

vhd::Layout vhd_layout_of(const Top& top) {
    const auto layout = vhd::load_layout(top.file.storage);
    if (!layout) throw failure(top.file.origin.path, layout.error());
    return *layout;
}

namespace {

/// Hides what the parent has where the disk is longer than it was.
vdisk::Status hide_parent(Top& top, const Input& input, uint64_t from) {
    WritableDisk disk = open_writable_layers(top, input);
    if (!disk.parents() || disk.parents()->size() <= from) return {};
    const uint64_t end = std::min(disk.size(), disk.parents()->size());
    std::array<byte, 4096> scratch{};
    vdisk::Status done = zero(disk, from, end - from, scratch);
    if (done) done = disk.top().flush();
    top.file.storage = disk.top().file();  // it knows the size
    return done;
}

vdisk::Status make_smaller(Storage& file, uint64_t size) {
    const vdisk::Status done = vhd::shrink(file, size, Heap{});
    if (!done) return done;
    const auto packed = vhd::compact(file, Heap{}, vhd::Compaction::move_only);
    return packed ? vdisk::Status{} : vdisk::Status(packed.error());
}

/// Room for what is new of a fixed disk.
vdisk::Status fill(const Storage& storage, uint64_t at, uint64_t end, Preallocation preallocation) {
    if (preallocation == Preallocation::off) return {};
    InterruptibleFile file(storage);
    const vdisk::Status done = qcow2::create_parts::room(file, at, end, preallocation);
    return done ? file.flush() : done;
}

void grow_vhd(Top& top, const Input& input, const vhd::Layout& layout, uint64_t size,
              Preallocation preallocation) {
    Storage& file = top.file.storage;
    // Everything that could be missing later is missing now.
    if (layout.has_parent()) static_cast<void>(open_writable_layers(top, input));
    vdisk::Status done = vhd::grow(file, size, Heap{});
    if (done && layout.has_parent()) done = hide_parent(top, input, layout.size);
    if (done) done = fill(file, layout.size, size, preallocation);
    if (!done && vhd_layout_of(top).size > layout.size) {
        static_cast<void>(make_smaller(file, layout.size));
    }
    if (!done) check_interrupt();
    expect(top, done);
}

}  // namespace

void resize_vhd(Top& top, const Input& input, uint64_t size, Preallocation preallocation) {
    const vhd::Layout layout = vhd_layout_of(top);
    const std::string& path = top.file.origin.path;
    const bool full =
        preallocation == Preallocation::falloc || preallocation == Preallocation::full;
    if (preallocation == Preallocation::metadata || (full && !layout.is_fixed())) {
        throw Failure{path + ": Unsupported preallocation mode (fixed disks have falloc and full)"};
    }
    size = blocks(size, vhd::sector_bits) << vhd::sector_bits;
    if (size > vhd::max_size) {
        throw Failure{path + ": New image size is too large (VHD goes up to 2040G)"};
    }
    if (size == layout.size) return;
    if (size > layout.size) return grow_vhd(top, input, layout, size, preallocation);
    expect(top, make_smaller(top.file.storage, size));
}

void check_vhd_parent(const Top& top, const std::string& name) {
    const std::string& path = top.file.origin.path;
    if (!vhd_layout_of(top).has_parent()) {
        throw Failure{path +
                      ": the image has no parent, and cannot get one (its type is not "
                      "differencing)"};
    }
    if (name.empty()) {
        throw Failure{path +
                      ": a differencing image cannot stand alone (convert makes a copy that "
                      "does)"};
    }
}

void set_vhd_parent(Top& top, const Input& input, const std::string& name) {
    const std::string& path = top.file.origin.path;
    const auto itself = open_file(resolve(name, path));
    if (itself && itself->origin == top.file.origin) {
        throw Failure{path + ": cannot be its own backing file"};
    }
    auto file = top.gate.open({.name = name}, top.file.origin);
    if (!file) {
        Failure out = failure(name, file.error());
        out.message.replace(0, name.size(), top.gate.reference());
        throw out;
    }
    const auto parent = AnyImage::open(Vhd::name, file->storage, {.size_rule = input.size_rule});
    if (!parent) throw failure(file->origin.path, parent.error());
    const ParentPaths paths(path, name);
    expect(top, vhd::set_parent(top.file.storage, link_to_vhd(*parent, name, paths), Heap{}));
}

}  // namespace tool
