// SPDX-License-Identifier: BSL-1.0
#include "new_vhdx.hpp"

#include <algorithm>
#include <bit>

#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/storage/zeros.hpp>

#include "draft.hpp"
#include "ids.hpp"

namespace tool {

using namespace vdisk;

namespace {

uint64_t whole_mib(uint64_t size) { return blocks(size, vhdx::mib_bits) << vhdx::mib_bits; }

/// As QEMU chooses it; a differencing image has small ones, as those of Windows.
uint8_t block_bits_for(uint64_t size, bool is_differencing) {
    if (is_differencing) return 21;
    return size <= 1_GiB ? 23 : size <= 100_GiB ? 24 : size <= 32_TiB ? 25 : 26;
}

std::optional<uint8_t> sector_bits(const Creation& options, const char* name) {
    if (!options.has(name)) return std::nullopt;
    const uint64_t size = options.number(name, "");
    if (size != 512 && size != 4096) {
        throw Failure{std::string("-o ") + name + ": a sector has 512 or 4096 bytes"};
    }
    return static_cast<uint8_t>(std::countr_zero(size));
}

}  // namespace

const vhdx::Layout& vhdx_layout_of(const AnyImage& image, const std::string& path) {
    const vhdx::Layout* const layout = image.visit([](const auto& real) -> const vhdx::Layout* {
        if constexpr (requires { real.layout().data_write_guid; }) return &real.layout();
        else return nullptr;
    });
    if (layout == nullptr) throw Failure{path + ": a VHDX image stands on nothing but VHDX images"};
    return *layout;
}

void NewVhdx::read(const Creation& options, const std::string& path) {
    subformat_ = subformat_of(options, path);
    subformat_word_ = options.text("subformat");
    options_.fixed = subformat_ == Subformat::fixed;
    if (options.has("block_state_zero")) {
        zero_word_ = options.flag("block_state_zero") ? "on" : "off";
    }
    read_sizes(options, path);
    const auto id = [&](const char* name) {
        return turned(id_of(options.text(name), (std::string("-o ") + name).c_str()));
    };
    if (options.has("data_uuid")) data_id_ = id("data_uuid");
    if (options.has("uuid")) options_.virtual_disk_id = id("uuid");
    if (options.has("creator")) creator_ = options.text("creator");
    const bool is_ascii =
        std::all_of(creator_.begin(), creator_.end(), [](char c) { return c > 0; });
    if (!is_ascii || creator_.size() > 255) {
        throw Failure{"-o creator: is ASCII, and has at most 255 letters"};
    }
}

void NewVhdx::read_sizes(const Creation& options, const std::string& path) {
    if (options.has("block_size")) block_size_ = options.number("block_size", "");
    const uint64_t block = whole_mib(block_size_);
    if (block != 0 && (!std::has_single_bit(block) || block > 256_MiB)) {
        throw Failure{path + ": block_size must be a power of two between 1M and 256M"};
    }
    log_size_ = options.number("log_size", "1M");
    const uint64_t log = std::max(whole_mib(log_size_), vhdx::mib);
    if (log > vhdx::max_log_bytes) throw Failure{path + ": log_size is 1G at most"};
    options_.log_length = static_cast<uint32_t>(log);
    sector_bits_ = sector_bits(options, "logical_sector_size");
    physical_bits_ = sector_bits(options, "physical_sector_size");
    if (sector_bits_) options_.sector_bits = *sector_bits_;
    if (physical_bits_) options_.physical_bits = *physical_bits_;
}

void NewVhdx::set_parent(const AnyImage& parent, const std::string& path, const std::string& name) {
    const vhdx::Layout& layout = vhdx_layout_of(parent, name);
    if (sector_bits_.value_or(layout.sector_bits) != layout.sector_bits) {
        throw Failure{path + ": logical_sector_size is that of the parent, " +
                      std::to_string(1u << layout.sector_bits)};
    }
    options_.sector_bits = layout.sector_bits;
    if (!physical_bits_) options_.physical_bits = layout.physical_bits;
    if (options_.virtual_disk_id.is_nil()) options_.virtual_disk_id = layout.virtual_disk_id;
    paths_ = ParentPaths(path, name);
    options_.parent = {.data_write_guid = layout.data_write_guid,
                       .relative_path = paths_.relative,
                       .absolute_path = paths_.absolute};
    parent_size_ = parent.size();
}

void NewVhdx::check(const std::string& path, uint64_t size, bool has_backing) {
    options_.is_child = is_differencing(subformat_, has_backing, size, parent_size_, path);
    if (size == 0) throw Failure{path + ": Image size is too small, cannot be zero length"};
    if (size > vhdx::max_size) throw Failure{path + ": Image size too large; max of 64TB"};
    options_.size = size;
    const uint64_t block = whole_mib(block_size_);
    options_.block_bits = block != 0 ? static_cast<uint8_t>(std::countr_zero(block))
                                     : block_bits_for(size, options_.is_child);
    const auto planned = vhdx::create_parts::plan(options_);
    if (!planned) throw failure(path, planned.error());
}

std::string NewVhdx::describe() const {
    std::string line =
        " log_size=" + std::to_string(log_size_) + " block_size=" + std::to_string(block_size_);
    if (!subformat_word_.empty()) line += " subformat=" + subformat_word_;
    if (!zero_word_.empty()) line += " block_state_zero=" + zero_word_;
    return line;
}

// Checked before.
vhdx::create_parts::Plan NewVhdx::plan() const {
    const auto planned = vhdx::create_parts::plan(options_);
    return planned ? *planned : vhdx::create_parts::Plan{};
}

vdisk::Status NewVhdx::create(InterruptibleFile& file, qcow2::Preallocation preallocation) const {
    vhdx::CreateOptions options = options_;
    options.creator = creator_;
    options.parent.relative_path = paths_.relative;
    options.parent.absolute_path = paths_.absolute;
    const vdisk::Status made = data_id_ ? vhdx::create(file, options, Ids{*data_id_})
                                        : vhdx::create(file, options, SystemIds{});
    if (!made || !is_fixed()) return made;
    const auto planned = plan();
    const uint64_t data_at = planned.layout.bat_at + planned.layout.bat_length;
    return qcow2::create_parts::room(file, data_at, planned.end, preallocation);
}

vdisk::Status NewVhdx::finish(Storage& file) const {
    if (!data_id_) return {};
    DraftFile draft(file, DraftFile::Order::free);
    auto found = vhdx::find_header(draft);
    if (!found) return found.error();
    found->header.file_write_guid = *data_id_;
    found->header.data_write_guid = *data_id_;
    std::array<byte, vhdx::header_bytes> scratch;
    const vdisk::Status put = vhdx::put_header(draft, *found, scratch);
    if (!put) return put;
    // What the log held has ids of its own.
    return make_zeros(draft, found->header.log_offset.value(), found->header.log_length.value());
}

uint64_t NewVhdx::all_blocks() const { return plan().layout.payload_blocks(); }

uint64_t NewVhdx::file_size(uint64_t count) const {
    const auto planned = plan();
    return is_fixed() ? planned.end : planned.end + (count << options_.block_bits);
}

}  // namespace tool
