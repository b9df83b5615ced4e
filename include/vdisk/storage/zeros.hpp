// SPDX-License-Identifier: BSL-1.0
// Zeros: stored, or by giving space back where a storage can do that.
#pragma once

#include <array>

#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// Writes zeros to bytes inside the file, so that the storage holds every one.
template <WritableStorage S>
Status store_zeros(S& storage, uint64_t at, uint64_t length) {
    static constexpr std::array<byte, is_hosted ? 65536 : 512> zeros{};
    while (length > 0) {
        const Bytes piece =
            Bytes(zeros).first(length < zeros.size() ? static_cast<size_t>(length) : zeros.size());
        if (Status put = storage.write(at, piece); !put) return put;
        at += piece.size();
        length -= piece.size();
    }
    return {};
}

/// Makes bytes inside the file read as zeros.
template <WritableStorage S>
Status make_zeros(S& storage, uint64_t at, uint64_t length) {
    if constexpr (PunchStorage<S>) {
        const Status punched = storage.punch(at, length);
        if (punched || punched.error().code != Errc::unsupported) return punched;
    }
    return store_zeros(storage, at, length);
}

}  // namespace vdisk
