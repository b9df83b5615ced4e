// SPDX-License-Identifier: BSL-1.0
#include "new_vhd.hpp"

#include <bit>

#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/format/vhd/blocks.hpp>

#include "ids.hpp"

namespace tool {

using namespace vdisk;

vhd::ParentLink link_to_vhd(const AnyImage& parent, const std::string& path,
                            const ParentPaths& paths) {
    const vhd::Layout* const layout = parent.visit([](const auto& image) -> const vhd::Layout* {
        if constexpr (requires { image.layout().footer_copy; }) return &image.layout();
        else return nullptr;
    });
    if (layout == nullptr) throw Failure{path + ": a VHD image stands on nothing but VHD images"};
    return {.unique_id = layout->unique_id,
            .time_stamp = layout->time_stamp,
            .relative_path = paths.relative,
            .absolute_path = paths.absolute};
}

void NewVhd::read(const Creation& options, const std::string& path) {
    subformat_ = subformat_of(options, path);
    subformat_word_ = options.text("subformat");
    if (subformat_ == Subformat::fixed) options_.type = vhd::Type::fixed;
    force_size_ = options.flag("force_size");
    if (options.has("force_size")) force_size_word_ = force_size_ ? "on" : "off";
    if (options.has("block_size")) {
        const uint64_t size = options.number("block_size", "2M");
        if (!std::has_single_bit(size) || size < 512 || size > 256_MiB) {
            throw Failure{path + ": block_size must be a power of two between 512 and 256M"};
        }
        options_.block_bits = static_cast<uint8_t>(std::countr_zero(size));
    }
    options_.unique_id = options.has("uuid") ? id_of(options.text("uuid"), "-o uuid") : new_id();
    options_.time_stamp = vhd::time_stamp_of(time_now());
    if (options.has("time_stamp")) {
        const uint64_t seconds = options.number("time_stamp", "");
        if (seconds >> 32 != 0) throw Failure{path + ": time_stamp has 32 bits only"};
        options_.time_stamp = static_cast<uint32_t>(seconds);
    }
    if (!options.has("creator")) return;
    const std::string creator = options.text("creator");
    if (creator.size() > 4) throw Failure{"-o creator: has at most four letters"};
    options_.creator_application.fill(' ');
    std::copy(creator.begin(), creator.end(), options_.creator_application.begin());
}

void NewVhd::set_parent(const AnyImage& parent, const std::string& path, const std::string& name) {
    paths_ = ParentPaths(path, name);
    options_.parent = link_to_vhd(parent, name, paths_);
    parent_size_ = parent.size();
}

void NewVhd::check(const std::string& path, uint64_t size, bool has_backing) {
    if (is_differencing(subformat_, has_backing, size, parent_size_, path)) {
        options_.type = vhd::Type::differencing;
    }
    if (size > vhd::max_size) {
        throw Failure{path + ": The image size is too large for file format 'vpc' (2040G at most)"};
    }
    // QEMU's way: with force_size the geometry says nothing, without it the size is rounded up.
    if (force_size_) options_.geometry = vhd::largest_geometry;
    else if (!has_backing) size = vhd::size_by_geometry(size);
    options_.size = blocks(size, vhd::sector_bits) << vhd::sector_bits;
    if (size == 0) throw Failure{path + ": Image size is too small, cannot be zero length"};
}

std::string NewVhd::describe() const {
    std::string line;
    if (!subformat_word_.empty()) line += " subformat=" + subformat_word_;
    if (!force_size_word_.empty()) line += " force_size=" + force_size_word_;
    return line;
}

vdisk::Status NewVhd::create(InterruptibleFile& file, qcow2::Preallocation preallocation) const {
    const vdisk::Status made = vhd::create(file, options_);
    if (!made || !is_fixed()) return made;
    return qcow2::create_parts::room(file, 0, options_.size, preallocation);
}

uint64_t NewVhd::all_blocks() const { return blocks(options_.size, options_.block_bits); }

uint64_t NewVhd::file_size(uint64_t count) const {
    if (is_fixed()) return options_.size + sizeof(vhd::Footer);
    vhd::Layout layout;
    layout.block_bits = options_.block_bits;
    uint64_t size = 2 * sizeof(vhd::Footer) + sizeof(vhd::DynamicHeader) +
                    (blocks(all_blocks() * 4, vhd::sector_bits) << vhd::sector_bits);
    // As the writer puts them one behind the other.
    for (uint64_t i = 0; i < count; ++i) {
        size = vhd::aligned_block(layout, size) + layout.stride() + sizeof(vhd::Footer);
    }
    return size;
}

}  // namespace tool
