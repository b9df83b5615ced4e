// SPDX-License-Identifier: BSL-1.0
// Fails at the n-th call: run a test for n = 1, 2, ... until `fired` stays false, and every error
// path has been walked. Or when the medium is full.
#pragma once

#include <algorithm>
#include <utility>

#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// What is left of a transfer that fails.
enum class Remains : uint8_t {
    nothing,  ///< the call has no effect
    torn,     ///< a read leaves rubbish in the first half of the buffer, a write does its half
};

/// When to fail. Every call of a FaultyStorage but `size` counts, in all copies together.
struct Fault {
    uint64_t countdown = 0;  ///< the call that fails, 1 is the next; 0: none
    Remains remains = Remains::nothing;
    bool fired = false;
    bool hit_change = false;  ///< the call that failed was one that writes, resizes or flushes

    /// Counts one call; true if it is the one to fail.
    constexpr bool due() {
        if (countdown == 0 || --countdown != 0) return false;
        fired = true;
        return true;
    }
    constexpr bool due_change() {
        const bool now = due();
        hit_change = hit_change || now;
        return now;
    }
};

/// An S held by value that fails with Errc::io as `fault`, which outlives it, says; copies share
/// it. Calls after the failing one work again. One thread at a time.
template <Storage S>
class FaultyStorage {
public:
    FaultyStorage(S storage, Fault& fault) : storage_(std::move(storage)), fault_(&fault) {}

    [[nodiscard]] uint64_t size() const { return storage_.size(); }

    Status read(uint64_t at, MutBytes out) const {
        if (!fault_->due()) return storage_.read(at, out);
        if (fault_->remains == Remains::torn) {
            std::ranges::fill(out.first(out.size() / 2), byte{0xA5});
        }
        return fail(Errc::io, "faulty: this read was meant to fail", {.at = at});
    }

    [[nodiscard]] Result<Bytes> view(uint64_t at,
                                     uint64_t length) const requires ViewableStorage<S> {
        if (!fault_->due()) return storage_.view(at, length);
        return fail(Errc::io, "faulty: this view was meant to fail", {.at = at});
    }

    Status write(uint64_t at, Bytes in) requires WritableStorage<S> {
        if (!fault_->due_change()) return storage_.write(at, in);
        if (fault_->remains == Remains::torn) {
            const Status half = storage_.write(at, in.first(in.size() / 2));
            if (!half) return half;
        }
        return fail(Errc::io, "faulty: this write was meant to fail", {.at = at});
    }

    Status resize(uint64_t size) requires WritableStorage<S> {
        if (!fault_->due_change()) return storage_.resize(size);
        return fail(Errc::io, "faulty: this resize was meant to fail", {.value = size});
    }

    Status flush() requires WritableStorage<S> {
        if (!fault_->due_change()) return storage_.flush();
        return fail(Errc::io, "faulty: this flush was meant to fail");
    }

    Status punch(uint64_t at, uint64_t length) requires PunchStorage<S> {
        if (!fault_->due_change()) return storage_.punch(at, length);
        return fail(Errc::io, "faulty: this punch was meant to fail", {.at = at});
    }

    [[nodiscard]] Result<Hole> hole(uint64_t at, uint64_t length) const requires SparseStorage<S> {
        if (!fault_->due()) return storage_.hole(at, length);
        return fail(Errc::io, "faulty: this hole was meant to fail", {.at = at});
    }

private:
    S storage_;
    Fault* fault_;
};

/// A medium that becomes full: an S held by value that grows to `limit` bytes and no further. The
/// limit outlives it; copies share it.
template <WritableStorage S>
class FullStorage {
public:
    FullStorage(S storage, const uint64_t& limit) : storage_(std::move(storage)), limit_(&limit) {}

    [[nodiscard]] uint64_t size() const { return storage_.size(); }
    Status read(uint64_t at, MutBytes out) const { return storage_.read(at, out); }
    Status write(uint64_t at, Bytes in) { return storage_.write(at, in); }
    Status flush() { return storage_.flush(); }

    Status resize(uint64_t size) {
        if (size > storage_.size() && size > *limit_) {
            return fail(Errc::no_space, "full: no room left on the medium", {.value = size});
        }
        return storage_.resize(size);
    }

private:
    S storage_;
    const uint64_t* limit_;
};

}  // namespace vdisk
