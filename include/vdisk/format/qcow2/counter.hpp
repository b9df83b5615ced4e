// SPDX-License-Identifier: BSL-1.0
// What a census counts clusters with, and how it tells what is wrong.
#pragma once

#include <vdisk/format/problem.hpp>
#include <vdisk/format/qcow2/closed.hpp>
#include <vdisk/format/qcow2/root.hpp>

namespace vdisk::qcow2::census {

template <Storage S, Allocation A, class Visit>
class Counter {
public:
    Counter(const Closed<S, A>& image, Census<A>& out, Visit& visit)
        : image_(image), layout_(image.layout), tables_(image.tables), out_(out), visit_(visit) {}

protected:
    [[nodiscard]] unsigned bits() const { return layout_.cluster_bits; }
    void tell(const char* what, uint64_t value, uint64_t at, uint64_t times = 1) {
        visit_(Problem{.what = what, .value = value, .at = at, .times = times});
    }

    void lost(const char* what, uint64_t value, uint64_t at, uint64_t times = 1) {
        visit_(
            Problem{.what = what, .value = value, .at = at, .times = times, .in_refcounts = true});
    }
    // With refcounts of a bit a second use is told as an overflow.
    [[nodiscard]] bool is_shared(uint64_t from, uint64_t length) const {
        bool shared = false;
        for (uint64_t c = from >> bits(); c <= (from + length - 1) >> bits(); ++c)
            shared = shared || out_.counts[c] != 1;
        return shared && layout_.refcount_order != 0;
    }

    // `what` is said of ranges that are not in the file.
    bool count(uint64_t from, uint64_t length, uint64_t at, const char* what, uint64_t times = 1) {
        if (length == 0) return true;
        if (!image_.inside(from, length)) {
            tell(what, from, at, times);
            return false;
        }
        const uint64_t last = (from + length - 1) >> bits();
        for (uint64_t c = from >> bits(); c <= last; ++c) out_.counts.add(c, times);
        if (out_.clusters <= last) out_.clusters = last + 1;
        return true;
    }

    const Closed<S, A>& image_;
    const Layout& layout_;
    const Metadata<Borrowed<S>, A>& tables_;
    Census<A>& out_;
    Visit& visit_;
};

}  // namespace vdisk::qcow2::census
