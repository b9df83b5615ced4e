// SPDX-License-Identifier: BSL-1.0
// How a fuzz target says that a promise is broken.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <span>

#include <vdisk/core/types.hpp>

namespace fuzz {

using namespace vdisk;

/// Ends the program if a promise is broken; the fuzzer keeps the input.
inline void require(bool promise, const char* what) {
    if (promise) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

/// Whether a check has found nothing but space that is lost.
template <class Report>
bool is_sound(const Report& report) {
    return report && report->corruptions + report->check_errors == 0;
}

inline Bytes bytes_of(const uint8_t* data, size_t size) {
    return std::as_bytes(std::span(data, size));
}

}  // namespace fuzz
