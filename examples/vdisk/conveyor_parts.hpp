// SPDX-License-Identifier: BSL-1.0
// What the sources of Conveyor share.
#pragma once

#include "conveyor.hpp"

namespace tool {

/// A stretch of the source: whole clusters, or the end.
struct Conveyor::Piece {
    uint64_t number = 0;
    uint64_t at = 0;
    uint64_t length = 0;
    std::optional<vdisk::Kind> kind = {};  ///< if all of it is of one, and nobody has to look again
};

/// Where a part of the piece goes in the file.
struct Conveyor::Home {
    uint64_t at = 0;  ///< of the guest
    vdisk::Placement placement;
    vdisk::Bytes bytes;   ///< with what fills up the last cluster
    uint64_t packed = 0;  ///< bytes of a packed cluster, 0 if it is plain
    bool is_hole = false;
};

struct Conveyor::Worker {
    const Source* source = nullptr;
    const Disk* backing = nullptr;
    vdisk::Buffer<vdisk::Heap> data, packed, other;
    vdisk::SystemCodecs codec;
    std::vector<What> what;           ///< of each cluster
    std::vector<uint8_t> zeros;       ///< of each step: it is all zeros
    std::vector<size_t> packed_size;  ///< of each cluster; 0: it is stored plain
    std::vector<Home> homes;
    std::optional<DraftFile> file;
};

}  // namespace tool
