// SPDX-License-Identifier: BSL-1.0
// Is a virtual machine using the image? QEMU says so with locks on bytes of the file.
#pragma once

#include <vdisk/storage/pread.hpp>

namespace tool {

enum class Use : uint8_t { read, write };

/// Fails if another process has the file open in a way that does not go with `use`. It only looks:
/// this tool locks nothing, and who comes later does not see it.
vdisk::Status check_not_in_use(const vdisk::PreadStorage& file, Use use);

}  // namespace tool
