// SPDX-License-Identifier: BSL-1.0
// A new image, from its options to the file: what create and convert have in common.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "creation.hpp"
#include "new_kind.hpp"
#include "new_qcow2.hpp"
#include "output.hpp"

namespace tool {

/// What a new image shall be. Made of checked options: creating it fails for lack of space only, or
/// because files cannot be written.
class NewImage {
public:
    /// Throws Failure if the options are wrong or contradict each other. What is not in `options`,
    /// such as a size from elsewhere, is set before check().
    NewImage(const std::string& path, const std::string& format, const Creation& options);

    std::optional<uint64_t> size;
    std::string backing_file;
    std::string backing_format;

    [[nodiscard]] const std::string& format() const { return format_; }
    [[nodiscard]] const std::string& data_file() const { return qcow2_.data_file(); }
    [[nodiscard]] const vdisk::qcow2::CreateOptions& qcow2() const { return qcow2_.options(); }
    /// Not of every format; after check().
    [[nodiscard]] const NewKind* kind() const { return kind_.get(); }
    /// Has to look at its parent, and cannot be made without.
    [[nodiscard]] bool needs_parent() const;
    /// The image that `backing_file` is. To be called before check(), if needs_parent().
    void set_parent(const AnyImage& parent);

    /// Says that it will be `output`, before anything is touched. Throws Failure if that is its
    /// own backing or data file.
    void place(const Output& output);
    /// Throws Failure if its data file is one of those the disk is read from.
    void refuse_if_read_by(const Disk& disk) const;
    /// Throws Failure unless such an image can be.
    void check();
    /// "Formatting 'x', fmt=qcow2 ...", as qemu-img prints it.
    [[nodiscard]] std::string describe() const;
    /// Creates it in `output`, which is open. After place() and check().
    void create(Output& output);
    /// The new data file; only if there is one, and after create().
    [[nodiscard]] Storage& data_storage() { return data_->storage(); }
    /// Gives the data file its name, then the image.
    void commit(Output& output);

private:
    void read_preallocation(const Creation& options);
    void create_raw(Storage& storage) const;
    void create_kind(Storage& storage) const;
    void create_data_file();

    std::string path_;
    std::string format_;
    std::string preallocation_;  ///< as far as it was given
    vdisk::qcow2::Preallocation mode_ = vdisk::qcow2::Preallocation::off;
    bool no_cow_ = false;
    std::unique_ptr<Output> data_;
    NewQcow2 qcow2_;
    std::unique_ptr<NewKind> kind_;
};

/// The names of the options of -o for images of this format.
std::vector<std::string> creation_options(const std::string& format);

/// Prints the options of -o for images of this format, if `lists` ask for it ("help" or "?").
bool print_creation_help(const std::string& format, const std::vector<std::string>& lists);

}  // namespace tool
