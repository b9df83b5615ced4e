// SPDX-License-Identifier: BSL-1.0
// VHD, as a name for open<> and for lists of formats.
#pragma once

#include <vdisk/codec/concepts.hpp>
#include <vdisk/format/vhd/writer.hpp>

namespace vdisk {

struct Vhd {
    static constexpr std::string_view name = "vpc";  ///< as QEMU calls it
    static constexpr std::string_view alias = "vhd";

    template <Storage S, Allocation A, Codec C>
    using Image = vhd::Image<S, A>;

    template <Storage S, Allocation A, Codec C>
    static Result<Image<S, A, C>> open(S storage, OpenOptions options, A allocation, C /*codec*/) {
        return vhd::Image<S, A>::open(std::move(storage), options, std::move(allocation));
    }

    template <WritableStorage S, Allocation A, Codec C>
    using Writer = vhd::Writer<S, A>;

    template <WritableStorage S, Allocation A, Codec C>
    static Result<Writer<S, A, C>> open_writer(S storage, OpenOptions options, A allocation,
                                               C /*codec*/) {
        return vhd::Writer<S, A>::open(std::move(storage), options, std::move(allocation));
    }

    /// True if the file claims to be VHD: a footer's cookie at the front, or at the end a footer
    /// with a right checksum. What a guest of a fixed image writes cannot hide its footer; whoever
    /// can write the last sector of a raw disk can make it look like VHD.
    template <Storage S>
    static Result<bool> detect(const S& storage) {
        if (storage.size() < sizeof(vhd::Footer) - 1) return false;
        const auto front = vhd::footer::candidate(storage, vhd::FooterCopy::front);
        if (!front) return front.error();
        if (vhd::has_cookie(front->footer)) return true;
        if (front->footer.cookie == vhd::poisoned_cookie) return true;
        for (const auto copy : {vhd::FooterCopy::end, vhd::FooterCopy::short_end}) {
            const auto found = vhd::footer::candidate(storage, copy);
            if (!found) return found.error();
            if (vhd::footer::serves(*found) && found->checksum_right) return true;
        }
        return false;
    }
};

}  // namespace vdisk
