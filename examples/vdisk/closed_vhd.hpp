// SPDX-License-Identifier: BSL-1.0
// What commands do to VHD images as a whole, while nobody has them open. All throw Failure.
#pragma once

#include <vdisk/format/vhd/closed.hpp>

#include "closed.hpp"
#include "creation.hpp"

namespace tool {

vdisk::vhd::Layout vhd_layout_of(const Top& top);

/// Makes the disk larger or smaller; what is new reads as zeros, also where the parent is longer.
/// A smaller image gives back the space.
void resize_vhd(Top& top, const Input& input, uint64_t size,
                vdisk::qcow2::Preallocation preallocation);

/// Throws Failure unless the image has a parent, and can have that `name`.
void check_vhd_parent(const Top& top, const std::string& name);

/// From now on the parent is the VHD image that is called `name` at the image. Nothing else
/// changes.
void set_vhd_parent(Top& top, const Input& input, const std::string& name);

/// Sets size, ids and geometry; all of `wanted` is looked at before anything is written.
void amend_vhd(Top& top, const Input& input, const Creation& wanted);
void print_vhd_amend_help();

}  // namespace tool
