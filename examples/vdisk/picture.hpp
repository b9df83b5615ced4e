// SPDX-License-Identifier: BSL-1.0
// A disk drawn in block characters: a look tells how full it is, where, and in which image.
#pragma once

#include "status.hpp"

namespace tool {

struct PictureOptions {
    std::string title;
    uint64_t start = 0;
    uint64_t end = 0;
    unsigned width = 0;  ///< columns; 0: as wide as the terminal
    std::string color = "auto";
};

/// Draws [start, end) of the disk on stdout. Every cell stands for the same number of bytes and
/// shows what most of it is, but a cell with any data shows data. Throws Failure.
void print_picture(const Disk& disk, const PictureOptions& options);

}  // namespace tool
