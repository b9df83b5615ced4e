// SPDX-License-Identifier: BSL-1.0
// Brings the two footers in line, after a cut or a copy that lost one of them.
#pragma once

#include <vdisk/format/vhd/move.hpp>

namespace vdisk::vhd {

/// Where the last sector at or behind `from` is that is the footer of a fixed disk and says just
/// that: the disk ends there. no_offset if there is none. Reads all of it.
template <Storage S, Allocation A>
Result<uint64_t> find_fixed(const S& storage, uint64_t from, A allocation) {
    Buffer<A> buffer(std::move(allocation));
    const auto memory = buffer.reserve(copy_bytes);
    if (!memory) return memory.error();
    for (uint64_t end = align_down(storage.size(), sector_bits); end > from;) {
        const auto length = static_cast<size_t>(end - from < copy_bytes ? end - from : copy_bytes);
        const uint64_t start = end - length;
        if (Status got = storage.read(start, memory->first(length)); !got) return got.error();
        for (size_t at = length; at > 0;) {
            at -= sector_size;
            const auto footer = load<Footer>(memory->subspan(at, sector_size));
            if (!has_cookie(footer) || !is_fixed(footer)) continue;
            if (footer.checksum.value() != checksum(footer)) continue;
            if (footer.current_size.value() == start + at) return start + at;
        }
        end = start;
    }
    return no_offset;
}

namespace recovering {

// The footer at the end is lost. What is at the front may be what the guest of a fixed disk wrote.
template <WritableStorage S, Allocation A>
Status restore_end(S& storage, const Closed<S, A>& image, A allocation) {
    const auto end = end_of_data(image);
    if (!end) return end.error().code == Errc::io ? Status(end.error()) : Status{};
    const auto fixed = find_fixed(storage, *end, std::move(allocation));
    if (!fixed) return fixed.error();
    if (*fixed != no_offset) {
        return fail(Errc::ambiguous, "vhd: a fixed disk ends behind what the front describes",
                    {Error::none, *fixed});
    }
    const auto footer = load<Footer>(storage, 0);
    return footer ? put_end(storage, *footer, *end) : Status(footer.error());
}

template <WritableStorage S>
Status restore_front(S& storage, const Footer& footer) {
    const auto front = load<Footer>(storage, 0);
    if (!front) return front.error();
    if (std::memcmp(&*front, &footer, sizeof(Footer)) == 0) return {};
    return put_durable(storage, 0, std::as_bytes(std::span(&footer, 1)));
}

}  // namespace recovering

/// Both footers there and alike: nothing to do. One is lost: it is written again; space behind the
/// last block that a cut left is given back. They differ: that at the end counts. One that is not
/// at a whole sector is moved there. An image that cannot be opened, has blocks that cannot be, or
/// belongs to a suspended machine stays as it is.
template <WritableStorage S, Allocation A>
Status recover(S& storage, A allocation) {
    const auto image = open_closed(storage, allocation);
    if (!image || image->layout.is_fixed() || image->layout.saved_state) return {};
    const Layout& layout = image->layout;
    if (layout.footer_copy == FooterCopy::front) {
        return recovering::restore_end(storage, *image, std::move(allocation));
    }
    const auto footer = load<Footer>(storage, layout.data_end);
    if (!footer) return footer.error();
    if (Status front = recovering::restore_front(storage, *footer); !front) return front;
    if (is_aligned(layout.data_end, sector_bits)) return {};
    const auto end = end_of_data(*image);
    if (!end) return {};
    const uint64_t behind = blocks(layout.data_end + sizeof(Footer), sector_bits) << sector_bits;
    return put_end(storage, *footer, *end > behind ? *end : behind);
}

}  // namespace vdisk::vhd
