// SPDX-License-Identifier: BSL-1.0
// A file in memory that can grow: for tests, for images built before they are written anywhere.
#pragma once

#include <algorithm>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include <vdisk/core/math.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// Bytes it owns, so a copy is a second file; lend it with `Borrowed` to keep working on this one.
/// A view is valid until the next `resize`. Several threads may read, or one may write.
class GrowableMemory {
public:
    GrowableMemory() = default;
    explicit GrowableMemory(std::vector<byte> bytes) : bytes_(std::move(bytes)) {}

    [[nodiscard]] uint64_t size() const { return bytes_.size(); }
    [[nodiscard]] Bytes bytes() const { return bytes_; }

    Status read(uint64_t at, MutBytes out) const {
        if (!fits(at, out.size(), size())) return invalid("memory: read past the end");
        std::ranges::copy(part(at, out.size()), out.begin());
        return {};
    }

    [[nodiscard]] Result<Bytes> view(uint64_t at, uint64_t length) const {
        if (!fits(at, length, size())) return invalid("memory: view past the end");
        return part(at, length);
    }

    Status write(uint64_t at, Bytes in) {
        if (!fits(at, in.size(), size())) return invalid("memory: write past the end");
        std::ranges::copy(in, std::span(bytes_).subspan(static_cast<size_t>(at)).begin());
        return {};
    }

    /// New bytes are zeros. Fails with Errc::no_memory and changes nothing.
    Status resize(uint64_t size) {
        if (size > bytes_.max_size()) return fail(Errc::no_memory, "memory: size out of reach");
        try {
            bytes_.resize(static_cast<size_t>(size));
        } catch (const std::bad_alloc&) {
            return fail(Errc::no_memory, "memory: nothing left to grow into");
        }
        return {};
    }

    Status flush() { return {}; }

private:
    [[nodiscard]] Bytes part(uint64_t at, uint64_t length) const {
        return bytes().subspan(static_cast<size_t>(at), static_cast<size_t>(length));
    }

    std::vector<byte> bytes_;
};

static_assert(WritableStorage<GrowableMemory> && ViewableStorage<GrowableMemory>);

}  // namespace vdisk
