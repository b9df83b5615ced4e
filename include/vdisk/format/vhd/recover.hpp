// SPDX-License-Identifier: BSL-1.0
// Brings the two footers in line, after a cut or a copy that lost one of them.
#pragma once

#include <vdisk/format/vhd/closed.hpp>

namespace vdisk::vhd {

/// Both footers there and alike: nothing to do. One is lost: it is written again; space behind the
/// last block that a cut left is given back. They differ: that at the end counts. An image that
/// cannot be opened, or has blocks that cannot be, stays as it is.
template <WritableStorage S, Allocation A>
Status recover(S& storage, A allocation) {
    const auto image = open_closed(storage, std::move(allocation));
    if (!image || image->layout.is_fixed()) return {};
    const Layout& layout = image->layout;
    const bool has_end = layout.footer_copy == FooterCopy::end;
    const auto footer = load<Footer>(storage, has_end ? layout.data_end : 0);
    if (!footer) return footer.error();
    if (!has_end) {
        const auto end = end_of_data(*image);
        if (!end) return end.error().code == Errc::io ? Status(end.error()) : Status{};
        return put_end(storage, *footer, *end);
    }
    const auto front = load<Footer>(storage, 0);
    if (!front) return front.error();
    if (std::memcmp(&*front, &*footer, sizeof(Footer)) == 0) return {};
    const Status put = storage.write(0, std::as_bytes(std::span(&*footer, 1)));
    return put ? storage.flush() : put;
}

}  // namespace vdisk::vhd
