// SPDX-License-Identifier: BSL-1.0
// The images of the shared suite: one of each kind, every cluster out of order.
#pragma once

#include <string_view>

#include "support/image_builder.hpp"

namespace vdisk::test {

struct Subject {
    const char* name;
    std::string_view format;
    Built image;
    bool is_packed = false;  ///< some clusters are compressed
};

/// Built once. A new format joins the shared suite with one line in the function.
const std::vector<Subject>& subjects();

}  // namespace vdisk::test
