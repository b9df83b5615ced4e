// SPDX-License-Identifier: BSL-1.0
// What rewrite() is to make of an image, and where it finds room for it.
#pragma once

#include <string_view>

#include <vdisk/format/qcow2/census.hpp>
#include <vdisk/format/qcow2/stream.hpp>

namespace vdisk::qcow2 {

/// The state an image is to be in; made by same_state() and then changed.
struct NewState {
    L1 source;          ///< what the guest is to see
    uint64_t size = 0;  ///< of the disk, bytes
    unsigned refcount_order = 4;
    uint64_t keep = ~uint64_t{0};     ///< guest bytes from here on are dropped,
    uint64_t zeros_end = 0;           ///< and up to here they become zeros that hide a backing file
    uint64_t left_out = Error::none;  ///< where the entry of a snapshot stands that is to go
    const byte* added = nullptr;      ///< the head of an entry for the old state: a new snapshot
    size_t added_size = 0;
    std::string_view added_name;  ///< the end of that entry
    bool refcounts_lost =
        false;                  ///< those of the image cannot be trusted; new tables go to its end
    bool clears_flags = false;  ///< "dirty" and "corrupt" are to go

    /// What remains of the old state is kept.
    [[nodiscard]] bool is_cut() const { return keep != ~uint64_t{0}; }
};

/// Whether a snapshot, whose entry stands at `at`, is there in the new state. Where refcounts are
/// lost those go that cannot be.
template <Storage S, Allocation A>
[[nodiscard]] bool is_kept(const Closed<S, A>& image, const NewState& state, uint64_t at,
                           const Snapshot& s) {
    if (at == state.left_out) return false;
    return !state.refcounts_lost ||
           (!image.layout.has_data_file && is_l1(image.layout, s.l1) &&
            (s.l1.entries == 0 || image.has(s.l1.at, uint64_t{s.l1.entries} * 8)));
}

/// The state that the image is in.
[[nodiscard]] inline NewState same_state(const Layout& layout) {
    NewState out;
    out.source = layout.l1;
    out.size = layout.size;
    out.refcount_order = layout.refcount_order;
    return out;
}

/// A caller that does not read the disk.
struct NoGuest {
    Status operator()(uint64_t at, MutBytes) const {
        return invalid("qcow2: the disk ends inside a cluster that has to be read", {at});
    }
};

namespace rewriting {

/// Clusters for the new tables: free in the old state and in the new one.
template <WritableStorage S, Allocation A>
class Free {
public:
    Free(S& storage, const Closed<S, A>& image, Census<A>& census, bool only_behind)
        : storage_(storage), image_(image), census_(census) {
        first_ = only_behind ? image.file_clusters() : 1;
        for (uint64_t c = census.counts.size(); c > 0 && end_ == 0; --c) {
            if (census.counts[c - 1] != 0) end_ = c;
        }
    }

    /// `count` clusters side by side, now in use once.
    Result<uint64_t> take(uint64_t count) {
        uint64_t run = 0;
        for (uint64_t c = first_; c < census_.counts.size(); ++c) {
            const auto free = is_free(c);
            if (!free) return free.error();
            run = *free ? run + 1 : 0;
            if (run < count) continue;
            const uint64_t from = c + 1 - count;
            if (count == 1 || from == first_) first_ = c + 1;
            return claim(from, count);
        }
        return fail(Errc::limit, "qcow2: no room was planned for a table");
    }

    /// Behind the last cluster in use.
    [[nodiscard]] uint64_t end() const { return end_; }

private:
    Result<bool> is_free(uint64_t cluster) const {
        if (census_.counts[cluster] != 0) return false;
        if (cluster >= image_.file_clusters()) return true;
        const auto stored = stored_refcount(image_.tables, image_.layout, cluster);
        if (!stored) return stored.error();
        return stored->is(0);
    }

    Result<uint64_t> claim(uint64_t from, uint64_t count) {
        const unsigned bits = image_.layout.cluster_bits;
        for (uint64_t c = from; c < from + count; ++c) census_.counts.add(c, 1);
        if (end_ < from + count) end_ = from + count;
        if (end_ << bits > storage_.size()) {  // once; what is too much goes at the end
            Status grown = storage_.resize(census_.counts.size() << bits);
            if (!grown) return grown.error();
        }
        return from << bits;
    }

    S& storage_;
    const Closed<S, A>& image_;
    Census<A>& census_;
    uint64_t first_;  ///< no cluster before it is free
    uint64_t end_ = 0;
};

}  // namespace rewriting
}  // namespace vdisk::qcow2
