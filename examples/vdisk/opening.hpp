// SPDX-License-Identifier: BSL-1.0
// From a name on the command line to an open disk.
#pragma once

#include "tool.hpp"

namespace tool {

/// The file a user named, before it is opened as an image.
struct Top {
    File file;
    std::string format;
    FolderGate gate;  ///< for the files it refers to: everyone gets the same, whatever their names
};

/// Opens the file; refuses one that another process writes to, or whose format is in doubt. Throws
/// Failure.
Top open_top(const Input& input);

/// Opens the image in `top` with everything below it. Throws Failure, which names the image that
/// refers to the one at fault.
Disk open_layers(Top& top, const Input& input, const vdisk::OpenOptions& options);

/// The path a name means: "file:" says nothing, other protocols are a Failure.
std::string local_path(const std::string& name, int exit_code = 1);

}  // namespace tool
