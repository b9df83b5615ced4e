// SPDX-License-Identifier: BSL-1.0
// Copies (a part of) a disk into an Output, in several threads: what convert and dd have in common.
#pragma once

#include <vdisk/io/copy.hpp>

#include "output.hpp"
#include "progress.hpp"
#include "salvage.hpp"

namespace tool {

struct CopyJob {
    uint64_t from = 0;  ///< of the disk
    uint64_t length = 0;
    uint64_t to = 0;  ///< where in the output `from` goes to
    vdisk::CopyOptions options = {};
    Progress* progress = nullptr;
    Salvage* salvage = nullptr;
};

/// Copies with one thread per disk but the first, which looks ahead. `name` is that of the input,
/// for errors. Throws Failure; a signal is a failure.
void copy_disk(const std::vector<Disk>& disks, const std::string& name, Output& output,
               const CopyJob& job);

}  // namespace tool
