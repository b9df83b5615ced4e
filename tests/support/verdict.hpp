// SPDX-License-Identifier: BSL-1.0
// What comes of a damaged image: the same verdict with tables in place and through one page.
#pragma once

#include "catch.hpp"
#include "support/storages.hpp"

namespace vdisk::test {

/// Why an image was refused, or the bytes that were read.
struct Verdict {
    std::optional<Error> error;
    File bytes;

    [[nodiscard]] bool agrees(const Verdict& other) const {
        if (error.has_value() != other.error.has_value()) return false;
        if (!error) return bytes == other.bytes;
        return error->code == other.error->code && error->value == other.error->value &&
               error->at == other.error->at && std::string_view(error->what) == other.error->what;
    }
};

namespace detail {

template <class Format, class S, class Prepare>
Verdict judge(S storage, OpenOptions options, const Prepare& prepare) {
    options.cache = tiny_cache;
    auto image = Format::open(std::move(storage), options, Heap{}, SystemCodecs{});
    if (!image) return {image.error(), {}};
    if (const Status ready = prepare(*image); !ready) return {ready.error(), {}};
    constexpr uint64_t most = 4_MiB;
    Verdict verdict;
    verdict.bytes.resize(std::min(image->size(), most));
    if (const Status got = read(*image, 0, verdict.bytes); !got) return {got.error(), {}};
    return verdict;
}

}  // namespace detail

/// Opens `file` as a Format, calls `prepare(image) -> Status`, reads the first 4 MiB; on both
/// kinds of metadata, which must agree.
template <class Format, class Prepare>
Verdict judge(const File& file, const OpenOptions& options, const Prepare& prepare) {
    const Verdict in_place = detail::judge<Format>(MemoryStorage(file), options, prepare);
    const Verdict paged = detail::judge<Format>(PagedMemory(file), options, prepare);
    CHECK(in_place.agrees(paged));
    return in_place;
}
template <class Format, class Prepare>
Verdict judge(const File& file, Purpose purpose, const Prepare& prepare) {
    return judge<Format>(file, OpenOptions{.purpose = purpose}, prepare);
}
template <class Format>
Verdict judge(const File& file, const OpenOptions& options) {
    return judge<Format>(file, options, [](auto&) { return Status{}; });
}
template <class Format>
Verdict judge(const File& file, Purpose purpose = Purpose::data) {
    return judge<Format>(file, purpose, [](auto&) { return Status{}; });
}

/// The rule that was broken, or "" if the image could be read.
inline std::string rule(const Verdict& verdict) { return verdict.error ? verdict.error->what : ""; }

/// Checks that `verdict` is a refusal for this reason.
inline void check_refusal(const Verdict& verdict, Errc code, std::string_view what) {
    CHECK(rule(verdict) == what);
    CHECK((verdict.error && verdict.error->code == code));
}

}  // namespace vdisk::test
