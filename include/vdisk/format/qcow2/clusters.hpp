// SPDX-License-Identifier: BSL-1.0
// Which clusters of a qcow2 file are taken: allocated, referred to once more, released.
#pragma once

#include <vdisk/format/qcow2/refcount_growth.hpp>

namespace vdisk::qcow2 {

/// A run that was just allocated.
struct NewRun : Run {
    bool blank = false;  ///< was never written: reads as zeros
};

/// A view of an image's clusters; cheap to make, kept by nobody.
template <class Tables>
class Clusters : public RefcountGrowth<Tables> {
    using Base = RefcountGrowth<Tables>;

public:
    using Base::Base;
    using Base::blocks_in_use, Base::grow_to;

    /// Takes a run of free clusters, `most` or fewer; their refcount becomes 1. The file is made
    /// long enough.
    Result<NewRun> allocate(uint64_t most) {
        for (;;) {
            const auto start = first_free();
            if (!start) return start.error();
            space_.cursor = *start;
            const auto end = next_used(*start, most);
            if (!end) return end.error();
            const Run run{*start, *end - *start};
            const auto described = describe_all(run);
            if (!described) return described.error();
            if (!*described) continue;  // a new block may stand where the run was to be
            if (Status taken = take(run); !taken) return taken.error();
            space_.cursor = run.end();
            const bool blank = run.first >= space_.blank;
            if (blank) space_.blank = run.end();
            return NewRun{run, blank};
        }
    }

    /// Takes exactly `count` neighbouring clusters, for a table of more than one cluster.
    Result<Run> allocate_table(uint64_t count) {
        const auto run = allocate(count);
        if (!run) return run.error();
        if (run->count == count) return Run(*run);
        if (Status given_back = dereference(*run); !given_back) return given_back.error();
        const auto index = blocks_in_use();
        if (!index) return index.error();
        const Run area = area_at(*index, count);
        if (Status room = table_holds(*index + area.count); !room) return room.error();
        const auto again = blocks_in_use();  // the table may have moved to where the area was
        if (!again) return again.error();
        return link_area(*again, count);
    }

    /// One more reference to each cluster of the run.
    Status reference(Run run) { return add(run, 1); }
    /// One less, at once: only where nothing durable leads to them any more.
    Status dereference(Run run) { return lower(run); }

    /// True if so many runs can be queued.
    [[nodiscard]] bool has_room(size_t runs) const {
        return Space::max_freed - space_.freed >= runs;
    }
    /// Queues a run to lose a reference after the next flush; there must be room.
    void free_later(Run run) {
        if (space_.freed > 0 && space_.queue[space_.freed - 1].end() == run.first) {
            space_.queue[space_.freed - 1].count += run.count;
        } else {
            space_.queue[space_.freed++] = run;
        }
    }
    /// Flushes the tables, then lets go of what was queued. The lowered refcounts are not durable
    /// yet; losing them costs space.
    Status release() {
        if (Status flushed = tables_.flush(); !flushed) return flushed;
        while (space_.freed > 0) {
            Run& run = space_.queue[space_.freed - 1];
            const Run whole = run;
            if (Status lowered = lower(run); !lowered) return lowered;  // the rest stays queued
            --space_.freed;
            if (Status punched = punch(whole); !punched) return punched;
        }
        return {};
    }

private:
    using Base::add, Base::area_at, Base::block_bits, Base::describe_all, Base::layout_;
    using Base::link_area, Base::lower, Base::next, Base::overlaps_fixed, Base::space_,
        Base::table_holds;
    using Base::tables_;

    // A hostile refcount table can claim far more clusters than the file has: after so many the
    // search goes on where no block describes anything.
    static constexpr uint64_t max_search = uint64_t{1} << 24;

    Result<uint64_t> first_free() {
        const uint64_t enough = space_.cursor + max_search;
        const auto found = next(
            space_.cursor, [](uint64_t n) { return n == 0; }, enough);
        if (!found || *found < enough) return found;
        const auto described = blocks_in_use();
        if (!described) return described;
        const uint64_t end = *described << block_bits();
        return end > enough ? end : enough;
    }
    Result<uint64_t> next_used(uint64_t at, uint64_t most) const {
        return next(
            at, [](uint64_t count) { return count != 0; }, at + most);
    }

    Status take(Run run) {
        if (run.first == 0 || overlaps_fixed(run)) {
            return corrupt("qcow2: refcount of a cluster in use is 0", {run.first});
        }
        if (Status grown = grow_to(run.end()); !grown) return grown;
        return add(run, 1);
    }

    // Gives the space of those clusters of the run that are free now back to the file system.
    Status punch(Run run) {
        if constexpr (requires { tables_.storage().punch(uint64_t{}, uint64_t{}); }) {
            for (uint64_t at = run.first; at < run.end();) {
                const auto free = next(
                    at, [](uint64_t n) { return n == 0; }, run.end());
                if (!free) return free.error();
                const auto used = next(
                    *free, [](uint64_t n) { return n != 0; }, run.end());
                if (!used) return used.error();
                if (*free == *used) break;
                // Space that cannot be given back is no failure.
                static_cast<void>(tables_.storage().punch(*free << layout_.cluster_bits,
                                                          (*used - *free) << layout_.cluster_bits));
                at = *used;
            }
        }
        return {};
    }
};

}  // namespace vdisk::qcow2
