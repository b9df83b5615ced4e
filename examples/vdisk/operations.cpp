// SPDX-License-Identifier: BSL-1.0
#include "operations.hpp"

#include <algorithm>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/qcow2/create.hpp>

#include "interrupt.hpp"

namespace tool {

using namespace vdisk;
using vdisk::qcow2::Preallocation;

const Operations* operations_of(std::string_view format) {
    for (const Operations* known : {&vhd_operations, &vhdx_operations}) {
        if (known->format == format) return known;
    }
    return nullptr;
}

Facts facts_of(const Top& top) {
    const auto image = AnyImage::open(top.format, top.file.storage, {.purpose = Purpose::metadata});
    if (!image) throw failure(top.file.origin.path, image.error());
    return image->visit([](const auto& real) {
        Facts out{.size = real.size(), .has_parent = vdisk::has_parent(real)};
        if constexpr (requires { real.layout().is_fixed(); }) {
            out.is_fixed = real.layout().is_fixed();
        } else if constexpr (requires { real.layout().leaves_allocated; }) {
            out.is_fixed = real.layout().leaves_allocated && !out.has_parent;
            out.sector_bits = real.layout().sector_bits;
        }
        return out;
    });
}

void keep_identity(WritableDisk& disk, const Guid& identity) {
    if (identity.is_nil()) return;
    const auto kept = disk.top().visit([&](auto& writer) -> vdisk::Status {
        if constexpr (requires { writer.begin_change_to(identity); }) {
            return writer.begin_change_to(identity);
        } else {
            return {};
        }
    });
    if (!kept) throw failure(disk.origin().path, kept.error());
}

namespace {

/// Hides what the parent has where the disk is longer than it was.
vdisk::Status hide_parent(Top& top, const Input& input, uint64_t from, const Guid& identity) {
    WritableDisk disk = open_writable_layers(top, input);
    if (!disk.parents() || disk.parents()->size() <= from) return {};
    keep_identity(disk, identity);
    const uint64_t end = std::min(disk.size(), disk.parents()->size());
    std::array<byte, 4096> scratch{};
    vdisk::Status done = zero(disk, from, end - from, scratch);
    if (done) done = disk.top().close();
    top.file.storage = disk.top().file();  // it knows the size
    return done;
}

/// Room for what is new of a fixed disk.
vdisk::Status fill(const Top& top, uint64_t at, uint64_t end, Preallocation preallocation) {
    if (preallocation == Preallocation::off) return {};
    const auto image = AnyImage::open(top.format, top.file.storage);
    if (!image) return image.error();
    InterruptibleFile file(top.file.storage);
    while (at < end) {
        const auto run = image->lookup(at, end - at);
        if (!run) return run.error();
        if (run->kind == Kind::data) {
            const vdisk::Status kept =
                qcow2::create_parts::room(file, run->at, run->at + run->length, preallocation);
            if (!kept) return kept;
        }
        at += run->length;
    }
    return file.flush();
}

void grow(Top& top, const Operations& does, const Input& input, const Facts& before, uint64_t size,
          Preallocation preallocation, const Guid& identity) {
    Storage& file = top.file.storage;
    // Everything that could be missing later is missing now.
    if (before.has_parent) static_cast<void>(open_writable_layers(top, input));
    vdisk::Status done = does.grow(file, size, identity);
    if (done && before.has_parent) done = hide_parent(top, input, before.size, identity);
    if (done) done = fill(top, before.size, size, preallocation);
    if (!done && facts_of(top).size > before.size) {
        static_cast<void>(does.shrink(file, before.size));
    }
    if (!done) check_interrupt();
    expect(top, done);
}

}  // namespace

void resize_with(Top& top, const Operations& does, const Input& input, uint64_t size,
                 Preallocation preallocation, const Guid& identity) {
    const Facts facts = facts_of(top);
    const std::string& path = top.file.origin.path;
    const bool full =
        preallocation == Preallocation::falloc || preallocation == Preallocation::full;
    if (preallocation == Preallocation::metadata || (full && !facts.is_fixed)) {
        throw Failure{path + ": Unsupported preallocation mode (fixed disks have falloc and full)"};
    }
    size = blocks(size, facts.sector_bits) << facts.sector_bits;
    if (size > does.max_size) {
        throw Failure{path + ": New image size is too large (" + does.title + " goes up to " +
                      does.max_text + ")"};
    }
    if (size == facts.size) return;
    if (size < facts.size) return expect(top, does.shrink(top.file.storage, size));
    grow(top, does, input, facts, size, preallocation, identity);
}

void check_parent(const Top& top, const Operations& does, const std::string& name,
                  const std::string& format) {
    const std::string& path = top.file.origin.path;
    if (!facts_of(top).has_parent) {
        throw Failure{path +
                      ": the image has no parent, and cannot get one (its type is not "
                      "differencing)"};
    }
    if (name.empty()) {
        throw Failure{path +
                      ": a differencing image cannot stand alone (convert makes a copy that "
                      "does)"};
    }
    if (format != does.format) {
        throw Failure{path + ": a " + does.title + " image stands on nothing but " + does.title +
                      " images"};
    }
}

void set_parent(Top& top, const Operations& does, const Input& input, const std::string& name) {
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
    const auto parent = AnyImage::open(does.format, file->storage, {.size_rule = input.size_rule});
    if (!parent) throw failure(file->origin.path, parent.error());
    const ParentPaths paths(path, name);
    expect(top, does.set_parent(top.file.storage, *parent, name, paths));
}

}  // namespace tool
