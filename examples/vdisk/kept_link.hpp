// SPDX-License-Identifier: BSL-1.0
// Ids of VHDX images change with what they hold. A commit changes what is below an image, and it
// has to find it all the same, even after a power cut in the middle.
#pragma once

#include "operations.hpp"

namespace tool {

/// The link from an image to the one below it, which is going to be written.
class KeptLink {
public:
    /// `child` is open for writing; both are as they are before. From here on the child takes the
    /// old base and the new one. Throws Failure.
    KeptLink(Top& child, const AnyImage& base);

    /// What the base has to become; nil: formats have no such ids.
    [[nodiscard]] const vdisk::Guid& next() const { return next_; }
    /// The base is written: the child takes no other any more. Throws Failure.
    void settle();

private:
    Top& child_;
    vdisk::Guid next_;
};

}  // namespace tool
