// SPDX-License-Identifier: BSL-1.0
// How a call fails: Error says which rule was broken and where, Result<T> is a value or an Error.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include <vdisk/core/types.hpp>

namespace vdisk {

/// What kind of failure it was; a caller decides by this, a person reads Error::what.
enum class Errc : uint8_t {
    invalid,      ///< the call itself is wrong: a range past the end, an unknown option
    corrupt,      ///< the image breaks a rule of its format
    unsupported,  ///< the image is legal, but this build or library cannot serve it
    encrypted,    ///< the guest data is encrypted
    limit,        ///< legal, but beyond a limit that protects against hostile images
    no_memory,    ///< the Allocation policy has nothing left
    io,           ///< the storage failed; Error::os holds the system's number if there is one
    no_space,     ///< the storage is full
    read_only,    ///< a write where only reading is possible
    not_found,    ///< a named thing (file, snapshot, format) does not exist
    denied,       ///< the gate does not let this reference through
    ambiguous,    ///< the bytes fit more than one format
};

/// One failure. Copied freely, never allocates.
struct Error {
    /// Says that `value` or `at` carries nothing.
    static constexpr uint64_t none = ~uint64_t{0};

    Errc code = Errc::invalid;
    int os = 0;             ///< errno, or 0
    const char* what = "";  ///< a literal that names the broken rule: "qcow2: L1 table too small"
    uint64_t value = none;  ///< the offending value, as it stands in the file
    uint64_t at = none;     ///< where in the file it stands, in bytes
};

/// Where an offending value stands; both parts may be left out.
struct Found {
    uint64_t value = Error::none;
    uint64_t at = Error::none;
};

[[nodiscard]] constexpr Error fail(Errc code, const char* what, Found found = {}) {
    return {code, 0, what, found.value, found.at};
}
[[nodiscard]] constexpr Error corrupt(const char* what, Found found = {}) {
    return fail(Errc::corrupt, what, found);
}
[[nodiscard]] constexpr Error unsupported(const char* what, Found found = {}) {
    return fail(Errc::unsupported, what, found);
}
[[nodiscard]] constexpr Error invalid(const char* what, Found found = {}) {
    return fail(Errc::invalid, what, found);
}

/// A T or the Error that says why there is none. Reading the wrong side is undefined, as with
/// std::optional: test first.
template <class T>
class [[nodiscard]] Result {
public:
    // Implicit on purpose: `return value;` and `return corrupt("...");` are the whole protocol.
    constexpr Result(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
    constexpr Result(Error error) : error_(error) {}         // NOLINT(google-explicit-constructor)

    [[nodiscard]] constexpr explicit operator bool() const { return value_.has_value(); }
    [[nodiscard]] constexpr const Error& error() const { return error_; }

    constexpr T& operator*() & { return *value_; }
    constexpr const T& operator*() const& { return *value_; }
    constexpr T&& operator*() && { return *std::move(value_); }
    constexpr T* operator->() { return &*value_; }
    constexpr const T* operator->() const { return &*value_; }

private:
    std::optional<T> value_;
    Error error_;
};

/// Success or an Error.
template <>
class [[nodiscard]] Result<void> {
public:
    constexpr Result() = default;
    constexpr Result(Error error)  // NOLINT(google-explicit-constructor)
        : failed_(true), error_(error) {}

    [[nodiscard]] constexpr explicit operator bool() const { return !failed_; }
    [[nodiscard]] constexpr const Error& error() const { return error_; }

private:
    bool failed_ = false;
    Error error_;
};

using Status = Result<void>;

}  // namespace vdisk
