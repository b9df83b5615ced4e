// SPDX-License-Identifier: BSL-1.0
// The list of internal snapshots, as info and snapshot -l print it.
#pragma once

#include <string>

#include <vdisk/format/qcow2/snapshot.hpp>

namespace tool {

void print_snapshot_heading();
void print_snapshot(const vdisk::qcow2::Snapshot& snapshot, const std::string& id,
                    const std::string& name);

}  // namespace tool
