// SPDX-License-Identifier: BSL-1.0
// VHD images as a whole. amend changes size, ids and geometry.
#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/vhd/change.hpp>
#include <vdisk/format/vhd/compact.hpp>
#include <vdisk/format/vhd/resize.hpp>

#include "ids.hpp"
#include "new_vhd.hpp"
#include "operations.hpp"

namespace tool {

using namespace vdisk;

namespace {

/// "1003/12/17"
vhd::Geometry geometry_of(const std::string& text) {
    std::array<uint64_t, 3> numbers{};
    constexpr std::array<uint64_t, 3> most = {65535, 255, 255};
    size_t at = 0;
    bool good = true;
    for (size_t i = 0; i < numbers.size() && good; ++i) {
        const size_t end = i == 2 ? text.size() : std::min(text.find('/', at), text.size());
        const std::string digits = text.substr(at, end - at);
        good = !digits.empty() && digits.size() < 6 &&
               digits.find_first_not_of("0123456789") == std::string::npos;
        if (good) numbers[i] = std::stoul(digits);
        good = good && numbers[i] >= 1 && numbers[i] <= most[i];
        at = std::min(end + 1, text.size());
    }
    if (!good) {
        throw Failure{"-o geometry: '" + text +
                      "' is not CYLINDERS/HEADS/SECTORS (up to 65535/255/255)"};
    }
    return {static_cast<uint16_t>(numbers[0]), static_cast<uint8_t>(numbers[1]),
            static_cast<uint8_t>(numbers[2])};
}

void amend_vhd(Top& top, const Input& input, const Creation& wanted) {
    wanted.refuse_others_than({"geometry", "parent_uuid", "size", "uuid"});
    std::optional<uint64_t> size;
    if (wanted.has("size")) size = size_of(wanted.text("size"), "size");
    if (size && (*size == 0 || *size > vhd::max_size)) {
        throw Failure{"-o size: a VHD disk has 512 bytes to 2040G"};
    }
    std::optional<Guid> id, parent;
    std::optional<vhd::Geometry> geometry;
    if (wanted.has("uuid")) id = id_of(wanted.text("uuid"), "-o uuid");
    if (wanted.has("parent_uuid")) parent = id_of(wanted.text("parent_uuid"), "-o parent_uuid");
    if (wanted.has("geometry")) geometry = geometry_of(wanted.text("geometry"));
    const auto layout = vhd::load_layout(top.file.storage);
    if (!layout) throw failure(top.file.origin.path, layout.error());
    expect(top, vhd::check_writable(top.file.storage, *layout));
    if (parent && !layout->has_parent()) {
        throw Failure{top.file.origin.path + ": the image has no parent"};
    }
    Storage& file = top.file.storage;
    if (size) resize_with(top, vhd_operations, input, *size, qcow2::Preallocation::off);
    if (parent) expect(top, vhd::set_parent_id(file, *parent, layout->parent_time_stamp, Heap{}));
    if (id) expect(top, vhd::set_unique_id(file, *id, Heap{}));
    if (geometry) expect(top, vhd::set_geometry(file, *geometry, Heap{}));
}

vdisk::Status grow_vhd(Storage& file, uint64_t size, const Guid& /*identity*/) {
    return vhd::grow(file, size, Heap{});
}

vdisk::Status shrink_vhd(Storage& file, uint64_t size) {
    const vdisk::Status done = vhd::shrink(file, size, Heap{});
    if (!done) return done;
    const auto packed = vhd::compact(file, Heap{}, Compaction::move_only);
    return packed ? vdisk::Status{} : vdisk::Status(packed.error());
}

vdisk::Status set_parent_of_vhd(Storage& file, const AnyImage& parent, const std::string& path,
                                const ParentPaths& paths) {
    return vhd::set_parent(file, link_to_vhd(parent, path, paths), Heap{});
}

Result<uint64_t> count_blocks_of_vhd(Storage& file) {
    const auto image = vhd::open_closed(file, Heap{});
    if (!image) return image.error();
    uint64_t count = 0;
    const auto walked = vhd::each_block(image->tables, image->layout,
                                        [&](uint32_t, uint32_t, uint64_t) -> vdisk::Status {
                                            ++count;
                                            return {};
                                        });
    return walked ? Result<uint64_t>(count) : walked.error();
}

Result<Compacted> compact_vhd(Storage& file, const ReadBelow& below, const ShowProgress& progress) {
    if (below) return vhd::compact(file, Heap{}, Compaction::drop, below, progress);
    return vhd::compact(file, Heap{}, Compaction::move_only, NothingBelow{}, progress);
}

}  // namespace

const Operations vhd_operations = {
    .format = Vhd::name,
    .title = "VHD",
    .max_size = vhd::max_size,
    .max_text = "2040G",
    .grow = grow_vhd,
    .shrink = shrink_vhd,
    .set_parent = set_parent_of_vhd,
    .count_blocks = count_blocks_of_vhd,
    .compact = compact_vhd,
    .amend = amend_vhd,
    .amend_help =
        "  geometry=<c/h/s>       - Cylinders, heads and sectors; the size in bytes stays\n"
        "  parent_uuid=<str>      - Unique id of the image it stands on (differencing)\n"
        "  size=<size>            - Virtual disk size\n"
        "  uuid=<str>             - Unique id; children know the image by it",
};

}  // namespace tool
