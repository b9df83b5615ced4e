// SPDX-License-Identifier: BSL-1.0
// What is wrong with an image, one thing at a time.
#pragma once

#include <vdisk/core/result.hpp>

namespace vdisk {

/// How bad it is.
enum class Flaw : uint8_t {
    corruption,  ///< guest data is lost, or will be by the next write
    leak,        ///< space that nothing uses and nobody can
    unreadable,  ///< could not be looked at
};

/// One thing that is wrong. `what` is a literal that names the broken rule; `value` is what stands
/// there, `wanted` what should (Error::none: not known), `at` where in the file: that of an entry,
/// or for a refcount that of the cluster it counts.
struct Problem {
    Flaw flaw = Flaw::corruption;
    const char* what = "";
    uint64_t value = Error::none;
    uint64_t wanted = Error::none;
    uint64_t at = Error::none;
    uint64_t times = 1;         ///< it counts so often: an entry of a table that n states share, n
    bool in_refcounts = false;  ///< refcounts cannot be mended one by one, but built anew
    bool repaired = false;      ///< it was, before it was told
};

/// What a check found in an image of blocks that a table leads to.
struct BlockReport {
    uint64_t corruptions = 0;
    uint64_t leaks = 0;  ///< blocks that have room where nothing is
    uint64_t check_errors = 0;
    uint64_t image_end = 0;  ///< where the last block or table ends, in bytes
    uint64_t total_blocks = 0;
    uint64_t allocated_blocks = 0;
    uint64_t fragmented_blocks = 0;  ///< that do not follow the guest's last one in the file

    [[nodiscard]] bool is_clean() const { return corruptions + leaks + check_errors == 0; }

    void add(const Problem& problem) {
        switch (problem.flaw) {
            case Flaw::corruption: corruptions += problem.times; break;
            case Flaw::leak: leaks += problem.times; break;
            case Flaw::unreadable: check_errors += problem.times; break;
        }
    }
};

/// A visitor that is not interested.
struct NoVisitor {
    void operator()(const Problem&) const {}
};

/// What is to be repaired.
enum class Repair : uint8_t {
    leaks,  ///< space that is lost; harmless. Where pointers are bad it is left: they may lead
            ///< there.
    all,    ///< whatever is wrong. Guest data behind pointers that lead nowhere becomes zeros.
};

/// The image before and after a repair.
template <class Report>
struct Repaired {
    Report before, after;

    [[nodiscard]] uint64_t leaks_fixed() const { return fixed(before.leaks, after.leaks); }
    [[nodiscard]] uint64_t corruptions_fixed() const {
        return fixed(before.corruptions + before.check_errors,
                     after.corruptions + after.check_errors);
    }

private:
    static uint64_t fixed(uint64_t then, uint64_t now) { return then > now ? then - now : 0; }
};

}  // namespace vdisk
