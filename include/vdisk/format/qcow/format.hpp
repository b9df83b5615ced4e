// SPDX-License-Identifier: BSL-1.0
// qcow version 1, as a name for open<> and for lists of formats.
#pragma once

#include <vdisk/format/qcow/writer.hpp>

namespace vdisk {

struct Qcow {
    static constexpr std::string_view name = "qcow";

    template <Storage S, Allocation A, Codec C>
    using Image = qcow::Image<S, A, C>;

    template <Storage S, Allocation A, Codec C>
    static Result<Image<S, A, C>> open(S storage, OpenOptions options, A allocation, C codec) {
        return Image<S, A, C>::open(std::move(storage), options, std::move(allocation),
                                    std::move(codec));
    }

    template <WritableStorage S, Allocation A, Codec C>
    using Writer = qcow::Writer<S, A, C>;

    template <WritableStorage S, Allocation A, Codec C>
    static Result<Writer<S, A, C>> open_writer(S storage, OpenOptions options, A allocation,
                                               C codec) {
        return Writer<S, A, C>::open(std::move(storage), options, std::move(allocation),
                                     std::move(codec));
    }

    /// True if the file claims to be qcow: magic and version. Open it to learn whether it is.
    template <Storage S>
    static Result<bool> detect(const S& storage) {
        if (storage.size() < sizeof(qcow::Header)) return false;
        const auto header = load<qcow::Header>(storage, 0);
        if (!header) return header.error();
        return header->magic.value() == qcow::magic && header->version.value() == 1;
    }
};

}  // namespace vdisk
