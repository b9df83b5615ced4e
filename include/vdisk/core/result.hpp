// SPDX-License-Identifier: BSL-1.0
// How a call fails: Error says which rule was broken and where, Result<T> is a value or an Error.
#pragma once

#include <new>
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

namespace failure {

/// What a success gives who asks for its error all the same.
inline constexpr Error no_error{};

// Out of line, and not worked out by the compiler into 32 bytes to be copied: hundreds of places
// fail, and in firmware each shall cost no more than a call.
[[nodiscard, gnu::noinline, gnu::cold]] inline Error make(Errc code, const char* what) {
    return {.code = code, .what = what};
}
[[nodiscard, gnu::noinline, gnu::cold]] inline Error make(Errc code, const char* what,
                                                          const Found& found) {
    return {code, 0, what, found.value, found.at};
}

}  // namespace failure

[[nodiscard]] constexpr Error fail(Errc code, const char* what) {
    if (std::is_constant_evaluated()) return {.code = code, .what = what};
    return failure::make(code, what);
}
[[nodiscard]] constexpr Error fail(Errc code, const char* what, const Found& found) {
    if (std::is_constant_evaluated()) return {code, 0, what, found.value, found.at};
    return failure::make(code, what, found);
}
[[nodiscard]] constexpr Error corrupt(const char* what) { return fail(Errc::corrupt, what); }
[[nodiscard]] constexpr Error corrupt(const char* what, const Found& found) {
    return fail(Errc::corrupt, what, found);
}
[[nodiscard]] constexpr Error unsupported(const char* what) {
    return fail(Errc::unsupported, what);
}
[[nodiscard]] constexpr Error unsupported(const char* what, const Found& found) {
    return fail(Errc::unsupported, what, found);
}
[[nodiscard]] constexpr Error invalid(const char* what) { return fail(Errc::invalid, what); }
[[nodiscard]] constexpr Error invalid(const char* what, const Found& found) {
    return fail(Errc::invalid, what, found);
}

namespace failure {

/// Only one of the two, since firmware has them on its stack. The value is made in its place, of
/// what `make` returns.
template <class T, bool IsPlain>
union Slot {
    T value;
    Error error;

    template <class Make>
    constexpr Slot(std::in_place_t /*unused*/, const Make& make) : value(make()) {}
    constexpr explicit Slot(const Error& e) : error(e) {}
};

template <class T>
union Slot<T, false> {
    T value;
    Error error;

    template <class Make>
    constexpr Slot(std::in_place_t /*unused*/, const Make& make) : value(make()) {}
    constexpr explicit Slot(const Error& e) : error(e) {}
    constexpr ~Slot() {}  // NOLINT(modernize-use-equals-default): Either knows what there is to end
};

/// What a Result holds. A T that is copied as bytes leaves it so.
template <class T, bool IsPlain = std::is_trivially_copyable_v<T>>
struct Either {
    template <class Make>
    constexpr Either(std::in_place_t here, const Make& make) : has_value(true), slot(here, make) {}
    constexpr explicit Either(const Error& error) : has_value(false), slot(error) {}

    bool has_value;
    Slot<T, true> slot;
};

template <class T>
struct Either<T, false> {
    template <class Make>
    constexpr Either(std::in_place_t here, const Make& make) : has_value(true), slot(here, make) {}
    constexpr explicit Either(const Error& error) : has_value(false), slot(error) {}

    constexpr Either(const Either& other) requires std::is_copy_constructible_v<T>
        : has_value(other.has_value), slot(other.taken([&] { return T(other.slot.value); })) {}
    constexpr Either(Either&& other) noexcept
        : has_value(other.has_value),
          slot(other.taken([&] { return T(std::move(other.slot.value)); })) {}
    Either& operator=(Either&& other) noexcept {
        if (this == &other) return *this;
        this->~Either();
        return *::new (static_cast<void*>(this)) Either(std::move(other));
    }
    Either& operator=(const Either& other) requires std::is_copy_constructible_v<T> {
        return *this = Either(other);
    }
    constexpr ~Either() {
        if (has_value) slot.value.~T();
    }

    bool has_value;
    Slot<T, false> slot;

private:
    template <class Make>
    [[nodiscard]] constexpr Slot<T, false> taken(const Make& make) const {
        if (has_value) return Slot<T, false>(std::in_place, make);
        return Slot<T, false>(slot.error);
    }
};

}  // namespace failure

/// A T or the Error that says why there is none. Reading a value that is not there is undefined, as
/// with std::optional: test first.
template <class T>
class [[nodiscard]] Result {
public:
    // Implicit on purpose: `return value;` and `return corrupt("...");` are the whole protocol.
    constexpr Result(T&& value)  // NOLINT(google-explicit-constructor)
        : either_(std::in_place, [&] { return T(std::move(value)); }) {}
    constexpr Result(const T& value)  // NOLINT(google-explicit-constructor)
        requires std::is_copy_constructible_v<T>
        : either_(std::in_place, [&] { return T(value); }) {}
    [[gnu::noinline, gnu::cold]] constexpr Result(  // NOLINT(google-explicit-constructor)
        const Error& error)
        : either_(error) {}

    /// A value made of `args` where it is to be: large ones are not copied that way. T may keep its
    /// constructor to itself and its Result: `friend Result<T>`.
    template <class... Args>
    constexpr explicit Result(std::in_place_t here, Args&&... args)
        : either_(here, [&] { return T(std::forward<Args>(args)...); }) {}

    Result& operator=(const Error& error) noexcept {
        this->~Result();
        return *::new (static_cast<void*>(this)) Result(error);
    }

    [[nodiscard]] constexpr explicit operator bool() const { return either_.has_value; }
    [[nodiscard]] constexpr const Error& error() const {
        return either_.has_value ? failure::no_error : either_.slot.error;
    }

    constexpr T& operator*() & { return either_.slot.value; }
    constexpr const T& operator*() const& { return either_.slot.value; }
    constexpr T&& operator*() && { return std::move(either_.slot.value); }
    constexpr T* operator->() { return &either_.slot.value; }
    constexpr const T* operator->() const { return &either_.slot.value; }

private:
    failure::Either<T> either_;
};

/// Success or an Error.
template <>
class [[nodiscard]] Result<void> {
public:
    constexpr Result() : has_value_(true), either_(None{}) {}
    [[gnu::noinline, gnu::cold]] constexpr Result(  // NOLINT(google-explicit-constructor)
        const Error& error)
        : has_value_(false), either_(error) {}

    [[nodiscard]] constexpr explicit operator bool() const { return has_value_; }
    [[nodiscard]] constexpr const Error& error() const {
        return has_value_ ? failure::no_error : either_.error;
    }

private:
    bool has_value_;
    struct None {};
    union Either {
        None none;
        Error error;
        constexpr explicit Either(None n) : none(n) {}
        constexpr explicit Either(const Error& e) : error(e) {}
    } either_;
};

using Status = Result<void>;

}  // namespace vdisk
