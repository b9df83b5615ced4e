// SPDX-License-Identifier: BSL-1.0
// Is a virtual machine using the image? QEMU says so with locks on bytes of the file.
#pragma once

#include <vdisk/storage/pread.hpp>

namespace tool {

enum class Use : uint8_t { read, write };

/// Fails if another process has the file open in a way that does not go with `use`. It only looks:
/// who only reads locks nothing, and who comes later does not see it.
vdisk::Status check_not_in_use(const vdisk::PreadStorage& file, Use use);

/// Takes the locks of a writer, which last as long as a handle of the file lives, or fails as
/// check_not_in_use. From then on QEMU and this tool refuse to open the file. `file` is to be open
/// for writing; other handles of this process that opened it anew would find it in use.
vdisk::Status lock_for_writing(const vdisk::PreadStorage& file);

}  // namespace tool
