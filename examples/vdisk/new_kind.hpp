// SPDX-License-Identifier: BSL-1.0
// What of a new image differs from format to format: VHD and VHDX, whose images stand on images of
// the same format alone, and know them by an id.
#pragma once

#include <memory>
#include <string>

#include <vdisk/format/qcow2/create_options.hpp>

#include "creation.hpp"
#include "interrupt.hpp"

namespace tool {

/// What the image at `path`, which need not be there yet, calls the file `name`, given relative to
/// its folder or absolute. Outlives the ParentLink made of it.
struct ParentPaths {
    ParentPaths() = default;
    ParentPaths(const std::string& path, const std::string& name);
    std::string relative, absolute;
};

/// A new image of one of these formats.
class NewKind {
public:
    NewKind() = default;
    NewKind(const NewKind&) = delete;
    NewKind& operator=(const NewKind&) = delete;
    virtual ~NewKind() = default;

    /// Throws Failure if an option is wrong.
    virtual void read(const Creation& options, const std::string& path) = 0;
    /// The parent, and how the image calls it.
    virtual void set_parent(const AnyImage& parent, const std::string& path,
                            const std::string& name) = 0;
    /// The disk shall have `size`, rounded up as options want it. Throws Failure unless such an
    /// image can be.
    virtual void check(const std::string& path, uint64_t size, bool has_backing) = 0;
    /// What of "Formatting ..." is the format's own.
    [[nodiscard]] virtual std::string describe() const = 0;
    [[nodiscard]] virtual bool is_fixed() const = 0;
    /// Makes the empty image.
    virtual vdisk::Status create(InterruptibleFile& file,
                                 vdisk::qcow2::Preallocation preallocation) const = 0;
    /// After all is written: ids that writing changed are those that were asked for.
    virtual vdisk::Status finish(Storage& file) const;

    /// Of a dynamic image: log2 of a block, how many there can be, and how long the file is with
    /// so many in it. A fixed one has all of them at once.
    [[nodiscard]] virtual unsigned block_bits() const = 0;
    [[nodiscard]] virtual uint64_t all_blocks() const = 0;
    [[nodiscard]] virtual uint64_t file_size(uint64_t blocks) const = 0;
};

/// Of the format; nullptr where it is none of those.
std::unique_ptr<NewKind> new_kind(const std::string& format);

/// subformat=dynamic, fixed or differencing; throws Failure.
enum class Subformat : uint8_t { unsaid, dynamic, fixed, differencing };
Subformat subformat_of(const Creation& options, const std::string& path);

/// Whether the image is differencing. Throws Failure if that does not fit `subformat`, or it would
/// be smaller than its parent.
bool is_differencing(Subformat subformat, bool has_backing, uint64_t size, uint64_t parent_size,
                     const std::string& path);

}  // namespace tool
