// SPDX-License-Identifier: BSL-1.0
// A new VHD image: its options, and how it finds its parent.
#pragma once

#include <string>

#include <vdisk/format/vhd/create.hpp>

#include "creation.hpp"

namespace tool {

/// What the image at `path`, which need not be there yet, calls the file `name`, given relative to
/// its folder or absolute. Outlives the ParentLink made of it.
struct ParentPaths {
    ParentPaths() = default;
    ParentPaths(const std::string& path, const std::string& name);
    std::string relative, absolute;
};

/// The id of a VHD image, and the time of its last change as its footer has it. Throws Failure
/// unless it is one.
vdisk::vhd::ParentLink link_to(const AnyImage& parent, const std::string& path,
                               const ParentPaths& paths);

class NewVhd {
public:
    /// Throws Failure if an option is wrong.
    void read(const Creation& options, const std::string& path);
    /// The parent, and how the image calls it.
    void set_parent(const AnyImage& parent, const std::string& path, const std::string& name);
    /// The disk shall have `size`, rounded up as options want it. Throws Failure unless such an
    /// image can be.
    void check(const std::string& path, uint64_t size, bool has_backing);
    /// What of "Formatting ..." is VHD's own.
    [[nodiscard]] std::string describe() const;
    [[nodiscard]] bool is_fixed() const { return options_.type == vdisk::vhd::Type::fixed; }
    [[nodiscard]] const vdisk::vhd::CreateOptions& options() const { return options_; }

private:
    vdisk::vhd::CreateOptions options_;
    std::string subformat_;
    std::string force_size_word_;  ///< as far as it was given
    ParentPaths paths_;
    bool force_size_ = false;
    uint64_t parent_size_ = 0;
};

}  // namespace tool
