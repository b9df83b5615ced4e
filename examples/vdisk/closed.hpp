// SPDX-License-Identifier: BSL-1.0
// What the commands share that change an image as a whole, while nobody has it open.
#pragma once

#include <vdisk/format/qcow2/create_options.hpp>

#include "opening.hpp"

namespace tool {

/// Adds FILE and -f: these commands look at that one file.
void add_closed(CLI::App& app, Input& input);

/// As open_top_for_writing; an image that was not closed cleanly is repaired, as whoever opens one
/// to write has to do.
Top open_closed_for_writing(const Input& input);

[[nodiscard]] bool is_qcow2(const Top& top);

/// Of the qcow2 image in `top`; throws Failure.
vdisk::qcow2::Layout layout_of(const Top& top);

/// Text in the image file; throws Failure.
std::string text_in(const Top& top, vdisk::Text text);

/// Throws the Failure, if it is one.
void expect(const Top& top, const vdisk::Status& status);

/// The name of a preallocation; throws Failure.
vdisk::qcow2::Preallocation preallocation_of(const std::string& name);

/// Makes the disk of an image, open for writing, larger or smaller, data file included. A raw data
/// file is preallocated whatever is asked for. Throws Failure.
void resize_image(Top& top, const Input& input, uint64_t size,
                  vdisk::qcow2::Preallocation preallocation);

/// Bytes the guest sees; throws Failure.
uint64_t size_of_image(const Top& top);

/// Sets in the bitmap `target` of the image in `file`, which is at `path`, what is set in `source`
/// of that in `other`, whose disk has the same size. Throws Failure.
void merge_bitmap_of(Storage& file, const std::string& path, const Top& other,
                     const std::string& source, const std::string& target);

}  // namespace tool
