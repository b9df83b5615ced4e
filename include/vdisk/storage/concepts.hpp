// SPDX-License-Identifier: BSL-1.0
// What a place where bytes live must offer. A Storage is a small handle, passed and kept by value.
#pragma once

#include <concepts>

#include <vdisk/core/result.hpp>

namespace vdisk {

/// Positional reads over `size()` bytes. `read` fills all of `out` or fails; a read past the end
/// fails with Errc::invalid. Where a Storage may be used by several threads, its header says so.
template <class S>
concept Storage = requires(const S& s, uint64_t at, MutBytes out) {
    { s.size() } -> std::same_as<uint64_t>;
    { s.read(at, out) } -> std::same_as<Status>;
};

/// A Storage that can lend its bytes: the view stays valid and unchanged in place as long as the
/// storage lives. Fails with Errc::invalid past the end.
template <class S>
concept ViewableStorage = Storage<S> && requires(const S& s, uint64_t at, uint64_t length) {
    { s.view(at, length) } -> std::same_as<Result<Bytes>>;
};

/// A Storage that can be changed. `write` grows nothing: call `resize` first, which adds
/// zeros. `flush` returns when everything written before it survives a power cut.
template <class S>
concept WritableStorage = Storage<S> && requires(S& s, uint64_t at, Bytes in, uint64_t size) {
    { s.write(at, in) } -> std::same_as<Status>;
    { s.resize(size) } -> std::same_as<Status>;
    { s.flush() } -> std::same_as<Status>;
};

/// A run of bytes of a storage that reads as zeros without being stored, or that is stored.
struct Hole {
    bool is_hole = false;
    uint64_t length = 0;
};

/// A Storage that knows its holes (sparse files). `hole(at, length)` describes the longest run at
/// `at`, at most `length` bytes; a storage that cannot tell answers "stored".
template <class S>
concept SparseStorage = Storage<S> && requires(const S& s, uint64_t at, uint64_t length) {
    { s.hole(at, length) } -> std::same_as<Result<Hole>>;
};

/// A Storage that can give space back: after `punch(at, length)` those bytes read as zeros and take
/// no room. They must lie inside. Errc::unsupported where that cannot be done; nothing happened.
template <class S>
concept PunchStorage = WritableStorage<S> && requires(S& s, uint64_t at, uint64_t length) {
    { s.punch(at, length) } -> std::same_as<Status>;
};

/// A Storage that can keep room for bytes without writing them: `reserve(at, length)` makes later
/// writes there succeed on a full medium; the bytes read as before. The range lies inside `size()`.
template <class S>
concept ReservingStorage = WritableStorage<S> && requires(S& s, uint64_t at, uint64_t length) {
    { s.reserve(at, length) } -> std::same_as<Status>;
};

}  // namespace vdisk
