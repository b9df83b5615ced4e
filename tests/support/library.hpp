// SPDX-License-Identifier: BSL-1.0
// A gate over files in memory, and chains opened through it.
#pragma once

#include <map>

#include "support/storages.hpp"

namespace vdisk::test {

/// Opens what images name from a map; keeps a record. A name is its own origin.
struct Library {
    using Origin = std::string;
    using Image = AnyImage<AllFormats, MemoryStorage, Heap, SystemCodecs>;
    using Disk = Chain<Image, Origin>;

    struct Request {
        std::string name, from;
        Reference::Role role;
    };

    std::map<std::string, File> files = {};
    std::vector<Request> asked = {};

    [[nodiscard]] Result<Opened<MemoryStorage, Origin>> get(const std::string& name) const {
        const auto found = files.find(name);
        if (found == files.end()) return fail(Errc::not_found, "library: no such file");
        return Opened<MemoryStorage, Origin>{MemoryStorage(found->second), name};
    }

    Result<Opened<MemoryStorage, Origin>> open(const Reference& reference, const Origin& from) {
        asked.push_back({std::string(reference.name), from, reference.role});
        return get(asked.back().name);
    }

    /// The disk that begins with `top`.
    Result<Disk> disk(const std::string& top, const ChainOptions& options = {}) {
        auto opened = get(top);
        if (!opened) return opened.error();
        return open_chain<Image>(*std::move(opened), *this, options);
    }
};
static_assert(Gate<Library, MemoryStorage>);

/// Why the disk that begins with "top" does not open; "" if it does.
inline std::string error_of(Library& library, const ChainOptions& options = {}) {
    const auto disk = library.disk("top", options);
    return disk ? "" : disk.error().what;
}

constexpr const char* no_file = "library: no such file";
constexpr const char* not_the_parent =
    "open: not the parent that the image was made on (its id differs)";

}  // namespace vdisk::test
