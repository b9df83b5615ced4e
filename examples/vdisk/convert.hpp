// SPDX-License-Identifier: BSL-1.0
// What belongs to convert and stands apart.
#pragma once

#include "tool.hpp"

namespace tool {

/// The id of the snapshot that "snapshot.id=1,snapshot.name=x" means: either may be left out.
std::string find_snapshot_id(const Input& input, std::string_view wanted);

}  // namespace tool
