// SPDX-License-Identifier: BSL-1.0
// What commands do to VHD and VHDX images as a whole, while nobody has them open. All throw
// Failure.
#pragma once

#include <functional>

#include <vdisk/core/guid.hpp>
#include <vdisk/format/compaction.hpp>

#include "closed.hpp"
#include "creation.hpp"
#include "new_kind.hpp"

namespace tool {

/// What there is to know of an image.
struct Facts {
    uint64_t size = 0;
    unsigned sector_bits = 9;
    bool is_fixed = false;
    bool has_parent = false;
};

using ReadBelow = std::function<vdisk::Status(uint64_t at, vdisk::MutBytes out)>;
using ShowProgress = std::function<vdisk::Status(uint64_t block)>;

/// What differs from format to format. Functions with a Storage are those of the library.
struct Operations {
    std::string_view format;
    const char* title;
    uint64_t max_size;
    const char* max_text;

    /// Makes the disk longer. Where the contents have an id it becomes `identity`, unless that is
    /// nil.
    vdisk::Status (*grow)(Storage& file, uint64_t size, const vdisk::Guid& identity);
    /// What is behind the new end is given back.
    vdisk::Status (*shrink)(Storage& file, uint64_t size);
    vdisk::Status (*set_parent)(Storage& file, const AnyImage& parent, const std::string& path,
                                const ParentPaths& paths);
    /// How many blocks have a place.
    vdisk::Result<uint64_t> (*count_blocks)(Storage& file);
    /// Without `below` only gaps are closed.
    vdisk::Result<vdisk::Compacted> (*compact)(Storage& file, const ReadBelow& below,
                                               const ShowProgress& progress);
    /// Sets what there are options for; all of `wanted` is looked at before anything is written.
    void (*amend)(Top& top, const Input& input, const Creation& wanted);
    const char* amend_help;
};

extern const Operations vhd_operations, vhdx_operations;

/// nullptr for other formats.
const Operations* operations_of(std::string_view format);
inline const Operations* operations_of(const Top& top) { return operations_of(top.format); }

Facts facts_of(const Top& top);

/// Makes the disk larger or smaller; what is new reads as zeros, also where the parent is longer.
/// `identity` as for Operations::grow.
void resize_with(Top& top, const Operations& does, const Input& input, uint64_t size,
                 vdisk::qcow2::Preallocation preallocation, const vdisk::Guid& identity = {});

/// Where contents have an id, that of the top image becomes `identity` (not nil), and stays so as
/// long as `disk` is open. Before the first write.
void keep_identity(WritableDisk& disk, const vdisk::Guid& identity);

/// Throws Failure unless the image has a parent, and can have that `name` of that format.
void check_parent(const Top& top, const Operations& does, const std::string& name,
                  const std::string& format);

/// From now on the parent is the image that is called `name` at the image. Nothing else changes.
void set_parent(Top& top, const Operations& does, const Input& input, const std::string& name);

}  // namespace tool
