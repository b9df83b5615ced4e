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

/// As open_top, for writing: from here on the file is locked, and others find it in use.
Top open_top_for_writing(const Input& input);

/// Opens the image in `top`, which is open for writing, to be written, and all it stands on to be
/// read. Throws Failure as open_layers.
WritableDisk open_writable_layers(Top& top, const Input& input);

/// Opens the image in `top` with everything below it; how strictly, `input` says. Throws Failure,
/// which names the image that refers to the one at fault.
Disk open_layers(Top& top, const Input& input, const vdisk::OpenOptions& options);

/// Opens what an image at `path`, which need not be there yet, refers to as its backing file
/// `name`, with everything below it. The rules of `input` hold, its file is not looked at. Throws
/// Failure.
std::vector<Disk> open_backing(const std::string& path, const std::string& name,
                               const std::string& format, const Input& input, unsigned count = 1,
                               const vdisk::OpenOptions& options = {});

/// The path a name means: "file:" says nothing, other protocols are a Failure.
std::string local_path(const std::string& name, int exit_code = 1);

}  // namespace tool
