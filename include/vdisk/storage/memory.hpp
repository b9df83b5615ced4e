// SPDX-License-Identifier: BSL-1.0
// Bytes in memory that somebody else owns: ROM, a mapped file, a test's vector.
#pragma once

#include <cstring>

#include <vdisk/core/math.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// Borrowed bytes; they must outlive the storage. Any number of threads may read.
class MemoryStorage {
public:
    constexpr explicit MemoryStorage(Bytes bytes) : bytes_(bytes) {}

    [[nodiscard]] constexpr uint64_t size() const { return bytes_.size(); }

    Status read(uint64_t at, MutBytes out) const {
        if (!fits(at, out.size(), bytes_.size())) return invalid("memory: read past the end");
        if (!out.empty()) std::memcpy(out.data(), bytes_.data() + at, out.size());
        return {};
    }

    [[nodiscard]] constexpr Result<Bytes> view(uint64_t at, uint64_t length) const {
        if (!fits(at, length, bytes_.size())) return invalid("memory: view past the end");
        return bytes_.subspan(static_cast<size_t>(at), static_cast<size_t>(length));
    }

private:
    Bytes bytes_;
};

static_assert(ViewableStorage<MemoryStorage>);

}  // namespace vdisk
