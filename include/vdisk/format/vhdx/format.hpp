// SPDX-License-Identifier: BSL-1.0
// VHDX, as a name for open<> and for lists of formats. New ids come from the system.
#pragma once

#include <vdisk/codec/concepts.hpp>
#include <vdisk/format/vhdx/writer.hpp>
#include <vdisk/storage/system_ids.hpp>

namespace vdisk {

struct Vhdx {
    static constexpr std::string_view name = "vhdx";

    template <Storage S, Allocation A, Codec C>
    using Image = vhdx::Image<S, A>;

    template <Storage S, Allocation A, Codec C>
    static Result<Image<S, A, C>> open(S storage, OpenOptions options, A allocation, C /*codec*/) {
        return vhdx::Image<S, A>::open(std::move(storage), options, std::move(allocation));
    }

    template <WritableStorage S, Allocation A, Codec C>
    using Writer = vhdx::Writer<S, A, SystemIds>;

    template <WritableStorage S, Allocation A, Codec C>
    static Result<Writer<S, A, C>> open_writer(S storage, OpenOptions options, A allocation,
                                               C /*codec*/) {
        return Writer<S, A, C>::open(std::move(storage), options, std::move(allocation),
                                     SystemIds{});
    }

    /// True if the file claims to be VHDX: its identifier. Open it to learn whether it is.
    template <Storage S>
    static Result<bool> detect(const S& storage) {
        std::array<char, 8> signature{};
        if (storage.size() < signature.size()) return false;
        const Status got = storage.read(0, std::as_writable_bytes(std::span(signature)));
        if (!got) return got.error();
        return signature == vhdx::file_signature;
    }
};

}  // namespace vdisk
