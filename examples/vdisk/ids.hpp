// SPDX-License-Identifier: BSL-1.0
// Ids and times of new images: from chance and the clock, or as somebody wants them.
#pragma once

#include <string>

#include <vdisk/core/guid.hpp>

namespace tool {

/// A new id that nobody else has. Throws Failure where there is no source of chance.
vdisk::Guid new_id();

/// "00112233-4455-6677-8899-aabbccddeeff", the bytes in the order of the text. Throws Failure,
/// which names `what`.
vdisk::Guid id_of(const std::string& text, const char* what);
std::string text_of(const vdisk::Guid& id);

/// Between the order of the text and that of VHDX, whose first three numbers are little-endian.
vdisk::Guid turned(const vdisk::Guid& id);

/// Seconds since 1970: now, or what SOURCE_DATE_EPOCH says.
uint64_t time_now();

}  // namespace tool
