// SPDX-License-Identifier: BSL-1.0
// Which other files the tool opens for an image: those inside the image's own folder.
#pragma once

#include <map>
#include <string>

#include <vdisk/disk/gate.hpp>
#include <vdisk/storage/pread.hpp>

namespace tool {

/// Where a file was found. Two origins are equal if they are one file, whatever its names.
struct Origin {
    std::string path;  ///< as given or composed; names inside the image are relative to its folder
    vdisk::FileIdentity identity;
    friend bool operator==(const Origin& a, const Origin& b) { return a.identity == b.identity; }
};

using File = vdisk::Opened<vdisk::PreadStorage, Origin>;

/// Admits backing and data files inside `folder` (symbolic links resolved), or anywhere if the
/// user says so. Names with a protocol (`json:`, `nbd:` ...) are always refused.
class FolderGate {
public:
    using Origin = tool::Origin;

    struct Options {
        bool anywhere = false;
        bool shared = false;  ///< other processes may be writing to the files
    };

    FolderGate(std::string folder, Options options)
        : folder_(std::move(folder)), options_(options) {}

    vdisk::Result<File> open(const vdisk::Reference& reference, const Origin& from);

    /// Forgets what was asked for, not the files: a new chain begins.
    void begin() { last_.clear(); }
    /// The file that was asked for last; it is to blame if opening a chain fails.
    [[nodiscard]] const std::string& last() const { return last_; }
    /// "b.qcow2: backing file 'a.qcow2'": who asked for it, and how it is called there.
    [[nodiscard]] const std::string& reference() const { return reference_; }

private:
    std::string folder_;
    Options options_;
    std::string last_;
    std::string reference_;
    /// So that every thread gets the same file, not just the same name.
    std::map<std::string, File> opened_;
};

/// Opens a file the user named. For writing it is locked, too.
vdisk::Result<File> open_file(const std::string& path, vdisk::Access access = vdisk::Access::read);

/// `name` as an image at `from` means it: relative to the folder of that image.
std::string resolve(std::string_view name, const std::string& from);

/// True for "nbd:...", "json:..." and the like: a colon before any slash.
bool has_protocol(std::string_view name);

}  // namespace tool
