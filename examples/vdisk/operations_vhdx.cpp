// SPDX-License-Identifier: BSL-1.0
// VHDX images as a whole. amend changes size and ids.
#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/vhdx/change.hpp>
#include <vdisk/format/vhdx/compact.hpp>
#include <vdisk/format/vhdx/resize.hpp>

#include "ids.hpp"
#include "new_vhdx.hpp"
#include "operations.hpp"

namespace tool {

using namespace vdisk;

namespace {

/// One id for all: the contents shall have it, and that the others are new matters little.
struct OneId {
    Guid id;
    Guid operator()() const { return id; }
};

vdisk::Status grow_vhdx(Storage& file, uint64_t size, const Guid& identity) {
    if (identity.is_nil()) return vhdx::grow(file, size, Heap{}, SystemIds{});
    return vhdx::grow(file, size, Heap{}, OneId{identity});
}

vdisk::Status shrink_vhdx(Storage& file, uint64_t size) {
    const vdisk::Status done = vhdx::shrink(file, size, Heap{}, SystemIds{});
    if (!done) return done;
    const auto packed = vhdx::compact(file, Heap{}, SystemIds{}, Compaction::move_only);
    return packed ? vdisk::Status{} : vdisk::Status(packed.error());
}

vdisk::Status set_parent_of_vhdx(Storage& file, const AnyImage& parent, const std::string& path,
                                 const ParentPaths& paths) {
    const auto image = vhdx::Image<Storage, Heap>::open(file, {.purpose = Purpose::metadata});
    if (!image) return image.error();
    const vhdx::Layout& layout = vhdx_layout_of(parent, path);
    if (layout.sector_bits != image->layout().sector_bits) {
        return invalid("the logical sectors of the parent have another size",
                       {uint64_t{1} << layout.sector_bits});
    }
    return vhdx::set_parent(file,
                            {.data_write_guid = layout.data_write_guid,
                             .relative_path = paths.relative,
                             .absolute_path = paths.absolute},
                            Heap{}, SystemIds{});
}

Result<uint64_t> count_blocks_of_vhdx(Storage& file) {
    const auto report = vhdx::check_image(file, Heap{});
    return report ? Result<uint64_t>(report->allocated_blocks) : report.error();
}

Result<Compacted> compact_vhdx(Storage& file, const ReadBelow& below,
                               const ShowProgress& progress) {
    if (below) return vhdx::compact(file, Heap{}, SystemIds{}, Compaction::drop, below, progress);
    return vhdx::compact(file, Heap{}, SystemIds{}, Compaction::move_only, NothingBelow{},
                         progress);
}

void amend_vhdx(Top& top, const Input& input, const Creation& wanted) {
    wanted.refuse_others_than({"data_uuid", "parent_uuid", "size", "uuid"});
    const auto id = [&](const char* name) -> std::optional<Guid> {
        if (!wanted.has(name)) return std::nullopt;
        return turned(id_of(wanted.text(name), (std::string("-o ") + name).c_str()));
    };
    std::optional<uint64_t> size;
    if (wanted.has("size")) size = size_of(wanted.text("size"), "size");
    if (size && (*size == 0 || *size > vhdx::max_size)) {
        throw Failure{"-o size: a VHDX disk has 512 bytes to 64T"};
    }
    const auto disk = id("uuid"), data = id("data_uuid"), parent = id("parent_uuid");
    const Facts facts = facts_of(top);
    if (parent && !facts.has_parent) {
        throw Failure{top.file.origin.path + ": the image has no parent"};
    }
    Storage& file = top.file.storage;
    if (size) resize_with(top, vhdx_operations, input, *size, qcow2::Preallocation::off);
    if (parent) expect(top, vhdx::set_parent_id(file, *parent, Guid{}, Heap{}, SystemIds{}));
    if (disk) expect(top, vhdx::set_virtual_disk_id(file, *disk, Heap{}, SystemIds{}));
    // The last: what changes the disk changes it, too.
    if (data) expect(top, vhdx::set_identity(file, *data, Heap{}, SystemIds{}));
}

}  // namespace

const Operations vhdx_operations = {
    .format = Vhdx::name,
    .title = "VHDX",
    .max_size = vhdx::max_size,
    .max_text = "64T",
    .grow = grow_vhdx,
    .shrink = shrink_vhdx,
    .set_parent = set_parent_of_vhdx,
    .count_blocks = count_blocks_of_vhdx,
    .compact = compact_vhdx,
    .amend = amend_vhdx,
    .amend_help =
        "  data_uuid=<str>        - Id of the contents; children know the image by it\n"
        "  parent_uuid=<str>      - That of the image it stands on (differencing)\n"
        "  size=<size>            - Virtual disk size\n"
        "  uuid=<str>             - Id of the disk",
};

}  // namespace tool
