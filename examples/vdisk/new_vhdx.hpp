// SPDX-License-Identifier: BSL-1.0
// A new VHDX image: its options, and how it finds its parent.
#pragma once

#include <optional>

#include <vdisk/format/vhdx/create.hpp>

#include "new_kind.hpp"

namespace tool {

/// The layout of a VHDX image. Throws Failure unless it is one.
const vdisk::vhdx::Layout& vhdx_layout_of(const AnyImage& image, const std::string& path);

class NewVhdx : public NewKind {
public:
    void read(const Creation& options, const std::string& path) override;
    void set_parent(const AnyImage& parent, const std::string& path,
                    const std::string& name) override;
    void check(const std::string& path, uint64_t size, bool has_backing) override;
    [[nodiscard]] std::string describe() const override;
    [[nodiscard]] bool is_fixed() const override { return options_.fixed; }
    vdisk::Status create(InterruptibleFile& file,
                         vdisk::qcow2::Preallocation preallocation) const override;
    vdisk::Status finish(Storage& file) const override;
    [[nodiscard]] unsigned block_bits() const override { return options_.block_bits; }
    [[nodiscard]] uint64_t all_blocks() const override;
    [[nodiscard]] uint64_t file_size(uint64_t blocks) const override;

private:
    /// Of the file and of its contents: a new image asks for no others.
    struct Ids {
        vdisk::Guid id;
        vdisk::Guid operator()() const { return id; }
    };

    void read_sizes(const Creation& options, const std::string& path);
    [[nodiscard]] vdisk::vhdx::create_parts::Plan plan() const;

    vdisk::vhdx::CreateOptions options_;
    std::optional<vdisk::Guid> data_id_;
    std::string creator_ = "vdisk";
    Subformat subformat_ = Subformat::unsaid;
    std::string subformat_word_, zero_word_;  ///< as far as they were given
    uint64_t block_size_ = 0, log_size_ = 0;  ///< as they were given
    std::optional<uint8_t> sector_bits_, physical_bits_;
    ParentPaths paths_;
    uint64_t parent_size_ = 0;
};

}  // namespace tool
