// SPDX-License-Identifier: BSL-1.0
// A new qcow2 image: its options.
#pragma once

#include <string>

#include <vdisk/format/qcow2/create.hpp>

#include "creation.hpp"

namespace tool {

class NewQcow2 {
public:
    /// Throws Failure if an option is wrong.
    void read(const Creation& options, const std::string& path);
    /// Throws Failure unless such an image can be. The names have to stay.
    void check(const std::string& path, uint64_t size, const std::string& backing_file,
               const std::string& backing_format);
    void set_preallocation(vdisk::qcow2::Preallocation mode) { options_.preallocation = mode; }

    /// What of "Formatting ..." is qcow2's own: first, after preallocation, after the size, and
    /// after the backing file.
    [[nodiscard]] std::string describe_clusters() const;
    [[nodiscard]] std::string describe_packing() const;
    [[nodiscard]] std::string describe_level() const;
    [[nodiscard]] std::string describe_rest() const;

    [[nodiscard]] uint64_t cluster_size() const { return uint64_t{1} << options_.cluster_bits; }
    [[nodiscard]] const std::string& data_file() const { return data_file_; }
    [[nodiscard]] const vdisk::qcow2::CreateOptions& options() const { return options_; }

private:
    void check_widths(const std::string& path) const;

    vdisk::qcow2::CreateOptions options_;
    std::string compat_;
    std::string data_file_;
};

}  // namespace tool
