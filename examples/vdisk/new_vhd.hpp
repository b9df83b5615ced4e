// SPDX-License-Identifier: BSL-1.0
// A new VHD image: its options, and how it finds its parent.
#pragma once

#include <vdisk/format/vhd/create.hpp>

#include "new_kind.hpp"

namespace tool {

/// The id of a VHD image, and the time of its last change as its footer has it. Throws Failure
/// unless it is one.
vdisk::vhd::ParentLink link_to_vhd(const AnyImage& parent, const std::string& path,
                                   const ParentPaths& paths);

class NewVhd : public NewKind {
public:
    void read(const Creation& options, const std::string& path) override;
    void set_parent(const AnyImage& parent, const std::string& path,
                    const std::string& name) override;
    void check(const std::string& path, uint64_t size, bool has_backing) override;
    [[nodiscard]] std::string describe() const override;
    [[nodiscard]] bool is_fixed() const override {
        return options_.type == vdisk::vhd::Type::fixed;
    }
    vdisk::Status create(InterruptibleFile& file,
                         vdisk::qcow2::Preallocation preallocation) const override;
    [[nodiscard]] unsigned block_bits() const override { return options_.block_bits; }
    [[nodiscard]] uint64_t all_blocks() const override;
    [[nodiscard]] uint64_t file_size(uint64_t blocks) const override;

private:
    vdisk::vhd::CreateOptions options_;
    Subformat subformat_ = Subformat::unsaid;
    std::string subformat_word_, force_size_word_;  ///< as far as they were given
    ParentPaths paths_;
    bool force_size_ = false;
    uint64_t parent_size_ = 0;
};

}  // namespace tool
