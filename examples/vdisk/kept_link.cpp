// SPDX-License-Identifier: BSL-1.0
#include "kept_link.hpp"

#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/vhdx/change.hpp>

#include "ids.hpp"

namespace tool {

using namespace vdisk;

KeptLink::KeptLink(Top& child, const AnyImage& base) : child_(child) {
    if (child.format != Vhdx::name || base.format() != Vhdx::name) return;
    next_ = new_id();
    expect(child,
           vhdx::set_parent_id(child.file.storage, base.identity(), next_, Heap{}, SystemIds{}));
}

void KeptLink::settle() {
    if (next_.is_nil()) return;
    expect(child_, vhdx::set_parent_id(child_.file.storage, next_, Guid{}, Heap{}, SystemIds{}));
}

}  // namespace tool
