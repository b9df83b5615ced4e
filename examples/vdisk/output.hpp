// SPDX-License-Identifier: BSL-1.0
// The file a command writes: complete under its name, or not there at all.
#pragma once

#include <string>

#include "tool.hpp"

namespace tool {

/// What may be told to an Output.
struct OutputOptions {
    bool existing = false;  ///< write into a file or device that must exist (-n)
    bool durable = false;   ///< commit returns when everything survives a power cut
};

/// Throws a Failure if the file at `path` is one of those the disk is read from.
void refuse_if_read_by(const Disk& disk, const vdisk::FileIdentity& file, const std::string& path);

/// A regular file is written as ".NAME.XXXXXX" beside its final name and takes that name at the
/// end; if there is no end, it is removed. Devices, and files with `existing`, are written in
/// place. All members throw Failure.
class Output {
public:
    Output(const std::string& path, OutputOptions options);
    ~Output();
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;

    /// Throws if the target is one of the files the disk is read from, by whatever name.
    void refuse_if_read_by(const Disk& disk) const;
    /// Whether the two are, or will be, one file.
    [[nodiscard]] bool is_same_as(const Output& other) const;
    /// Whether `path` leads to the file.
    [[nodiscard]] bool is_at(const std::string& path) const;
    /// Opens the target with room for `size` bytes. Nothing is touched before.
    void open(uint64_t size);
    /// Makes the first `size` bytes read as zeros without writing them; false if that cannot be
    /// done. Only when open.
    [[nodiscard]] bool clear(uint64_t size);
    /// Gives the file its name.
    void commit();

    [[nodiscard]] bool in_place() const { return in_place_; }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const OutputOptions& options() const { return options_; }
    /// Only when open.
    [[nodiscard]] Storage& storage() { return *storage_; }

private:
    void open_in_place(uint64_t size);
    void open_temporary(uint64_t size);
    void take_over();

    /// What the file that will be replaced leaves behind.
    struct Replaced {
        unsigned user = 0, group = 0, mode = 0;
    };

    std::string path_;       ///< as given
    std::string final_;      ///< where symbolic links lead
    std::string temporary_;  ///< empty when there is none
    OutputOptions options_;
    bool exists_ = false;
    bool in_place_ = false;
    Replaced replaced_;
    vdisk::FileIdentity identity_ = {};
    std::optional<Storage> storage_;
};

}  // namespace tool
