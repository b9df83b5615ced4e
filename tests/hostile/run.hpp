// SPDX-License-Identifier: BSL-1.0
// The runner of the hostile tables: looks at an image in every way there is. All ways must say the
// same, nothing may be written, little memory taken, and the end come after few calls.
#pragma once

#include "support/verdict.hpp"

namespace vdisk::test {

/// What a reader says to `file`, which is a Verdict, and what a writer says to it.
struct Findings : Verdict {
    std::string writing = {};  ///< "" if a writer opens it and reads what a reader does
};

/// Checks that an image was refused for this reason; or read, where `what` is "".
inline void check_verdict(const Verdict& verdict, Errc code, std::string_view what) {
    CHECK(rule(verdict) == what);
    CHECK((what.empty() || (verdict.error && verdict.error->code == code)));
}

/// Looks at an image, or at one of its snapshots, in every way. Writers, check and repair look at
/// the image alone. Compiled once, in run.cpp.
template <class Format>
Findings examine(const File& file, OpenOptions options = {}, std::string_view snapshot = {});

}  // namespace vdisk::test
