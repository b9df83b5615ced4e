// SPDX-License-Identifier: BSL-1.0
// The library never opens a path. What an image names is handed to a gate, and the caller's gate
// decides whether, where and how to open it.
#pragma once

#include <concepts>
#include <string_view>

#include <vdisk/core/result.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// A file that an image names. The name comes from the image: it is not trusted.
struct Reference {
    enum class Role : uint8_t { backing_file, data_file };
    enum class Use : uint8_t { read, write };
    Role role = Role::backing_file;
    std::string_view name;
    Use use = Use::read;  ///< what for; a gate may open for less, and writing fails later
};

/// What a gate lets through. `origin` says where it was found; relative names inside it are meant
/// relative to that. Origins are equal if they are the same file.
template <Storage S, std::equality_comparable Origin>
struct Opened {
    S storage;
    Origin origin;
};

/// Opens what the image at `from` refers to, or refuses (Errc::denied, Errc::not_found ...).
template <class G, class S>
concept Gate = requires(G& gate, const Reference& reference, const typename G::Origin& from) {
    { gate.open(reference, from) } -> std::same_as<Result<Opened<S, typename G::Origin>>>;
};

/// The default: nothing gets through.
template <Storage S>
struct DenyAll {
    struct Origin {
        friend bool operator==(const Origin&, const Origin&) { return false; }
    };
    Result<Opened<S, Origin>> open(const Reference& /*reference*/, const Origin& /*from*/) {
        return fail(Errc::denied, "gate: other files may not be opened");
    }
};

}  // namespace vdisk
