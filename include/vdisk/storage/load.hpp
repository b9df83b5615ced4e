// SPDX-License-Identifier: BSL-1.0
// On-disk structs go through here and nowhere else: a copy of their bytes, no pointer casts.
#pragma once

#include <cstring>
#include <type_traits>
#include <utility>

#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// A struct whose bytes are exactly those of the file: no padding, no alignment, no invariants.
template <class T>
concept OnDisk = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T> && alignof(T) == 1;

/// The struct that starts at `bytes`; there must be sizeof(T) of them.
template <OnDisk T>
[[nodiscard]] T load(Bytes bytes) {
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
}

/// Reads the struct at `at`.
template <OnDisk T, Storage S>
Result<T> load(const S& storage, uint64_t at) {
    Result<T> out(std::in_place);
    const Status read = storage.read(at, std::as_writable_bytes(std::span(&*out, 1)));
    if (!read) out = read.error();
    return out;
}

}  // namespace vdisk
