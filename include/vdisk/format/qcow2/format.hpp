// SPDX-License-Identifier: BSL-1.0
// qcow2, as a name for open<> and for lists of formats.
#pragma once

#include <vdisk/format/qcow2/writer.hpp>

namespace vdisk {

struct Qcow2 {
    static constexpr std::string_view name = "qcow2";

    template <Storage S, Allocation A, Codec C>
    using Image = qcow2::Image<S, A, C>;

    template <Storage S, Allocation A, Codec C>
    static Result<Image<S, A, C>> open(S storage, OpenOptions options, A allocation, C codec) {
        return Image<S, A, C>::open(std::move(storage), options, std::move(allocation),
                                    std::move(codec));
    }

    template <WritableStorage S, Allocation A, Codec C>
    using Writer = qcow2::Writer<S, A, C>;

    template <WritableStorage S, Allocation A, Codec C>
    static Result<Writer<S, A, C>> open_writer(S storage, OpenOptions options, A allocation,
                                               C codec) {
        return Writer<S, A, C>::open(std::move(storage), options, std::move(allocation),
                                     std::move(codec));
    }

    /// True if the file claims to be qcow2: magic and version, later ones included, since a disk of
    /// a version nobody knows yet is no raw disk. Open it to learn whether it is.
    template <Storage S>
    static Result<bool> detect(const S& storage) {
        if (storage.size() < qcow2::v2_header_length) return false;
        const auto header = qcow2::load_header(storage);
        if (!header) return header.error();
        return header->magic.value() == qcow2::magic && header->version.value() >= 2;
    }
};

}  // namespace vdisk
