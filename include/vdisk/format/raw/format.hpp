// SPDX-License-Identifier: BSL-1.0
// raw, as a name for open<> and for lists of formats.
#pragma once

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/codec/concepts.hpp>
#include <vdisk/format/raw/writer.hpp>

namespace vdisk {

/// Has no `detect`: every file is a raw disk, so it is raw only if somebody says so.
struct Raw {
    static constexpr std::string_view name = "raw";

    template <Storage S, Allocation A, Codec C>
    using Image = raw::Image<S>;

    template <Storage S, Allocation A, Codec C>
    static Result<raw::Image<S>> open(S storage, OpenOptions options, A /*allocation*/,
                                      C /*codec*/) {
        return raw::Image<S>::open(std::move(storage), options);
    }

    template <WritableStorage S, Allocation A, Codec C>
    using Writer = raw::Writer<S>;

    template <WritableStorage S, Allocation A, Codec C>
    static Result<raw::Writer<S>> open_writer(S storage, OpenOptions options, A /*allocation*/,
                                              C /*codec*/) {
        return raw::Writer<S>::open(std::move(storage), options);
    }
};

}  // namespace vdisk
