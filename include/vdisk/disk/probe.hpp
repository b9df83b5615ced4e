// SPDX-License-Identifier: BSL-1.0
// Which format is this? All detectors are asked; a file that two of them claim is nobody's.
#pragma once

#include <vdisk/disk/any.hpp>

namespace vdisk {

/// The name of the one format that claims the file. Errc::not_found if none does (only the caller
/// may then say that it is raw), Errc::ambiguous if several do. Opens no other file.
///
/// A detector goes by signature and version alone, so that a damaged image is refused when it is
/// opened instead of being taken for a raw disk.
template <Storage S, class... Formats>
Result<std::string_view> probe(const S& storage, FormatList<Formats...> /*list*/) {
    std::string_view name;
    Status failed;
    const auto ask = [&]<class Format>(std::type_identity<Format>) {
        if constexpr (requires { Format::detect(storage); }) {
            if (!failed) return;
            const Result<bool> mine = Format::detect(storage);
            if (!mine) failed = mine.error();
            else if (*mine && !name.empty())
                failed = fail(Errc::ambiguous, "probe: fits more than one format");
            else if (*mine) name = Format::name;
        }
    };
    (ask(std::type_identity<Formats>{}), ...);
    if (!failed) return failed.error();
    if (name.empty()) return fail(Errc::not_found, "probe: no known format");
    return name;
}

}  // namespace vdisk
