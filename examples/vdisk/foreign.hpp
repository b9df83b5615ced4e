// SPDX-License-Identifier: BSL-1.0
// Formats that this tool does not read, known by their signatures so that none passes for raw.
#pragma once

#include <string>

#include "tool.hpp"

namespace tool {

/// For a file that no format claims and nobody said is raw: throws Failure if it carries the
/// signature of another format, or is the beginning of an image. `hint` is the option that says
/// "it is raw all the same".
void refuse_foreign(const Storage& file, const std::string& name, const char* hint,
                    int exit_code = 1);

}  // namespace tool
