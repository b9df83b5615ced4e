// SPDX-License-Identifier: BSL-1.0
// Errors as one line of text, for tools.
#pragma once

#include <cstring>
#include <string>

#include <vdisk/core/result.hpp>

namespace vdisk::text {

/// 0x-prefixed, no leading zeros.
[[nodiscard]] inline std::string hex(uint64_t value) {
    std::string digits;
    do {
        digits.insert(digits.begin(), "0123456789abcdef"[value & 15]);
        value >>= 4;
    } while (value != 0);
    return "0x" + digits;
}

/// "qcow2: L1 table is too small (value 0x2, at offset 0x24)", with the system's words if it
/// failed.
[[nodiscard]] inline std::string describe(const Error& error) {
    std::string line = error.what;
    if (error.os != 0) line += std::string(": ") + std::strerror(error.os);
    std::string where;
    if (error.value != Error::none) where = "value " + hex(error.value);
    if (error.at != Error::none) {
        if (!where.empty()) where += ", ";
        where += "at offset " + hex(error.at);
    }
    return where.empty() ? line : line + " (" + where + ")";
}

}  // namespace vdisk::text
