// SPDX-License-Identifier: BSL-1.0
// The L2 tables of an image and how many L1 entries point to each. With it a table is walked once,
// however many snapshots share it.
#pragma once

#include <bit>
#include <cstring>
#include <limits>

#include <vdisk/allocation/concepts.hpp>

namespace vdisk::qcow2 {

/// A set of clusters with a number each. A bit per cluster of the file, a rank per 64 of them, four
/// bytes per member. First `note` all members, then `number`, then everything else.
template <Allocation A>
class TableSet {
public:
    static Result<TableSet> make(uint64_t clusters, A allocation) {
        TableSet made(clusters / 64 + 1, std::move(allocation));
        if (made.words_ > (std::numeric_limits<size_t>::max() >> 4)) {
            return fail(Errc::no_memory, "qcow2: the file has too many clusters to count",
                        {clusters});
        }
        const auto count = static_cast<size_t>(made.words_);
        auto bits = made.bits_.reserve(count * sizeof(uint64_t));
        if (!bits) return bits.error();
        std::memset(bits->data(), 0, bits->size());
        auto ranks = made.ranks_.reserve(count * sizeof(uint32_t));
        if (!ranks) return ranks.error();
        return made;
    }

    void note(uint64_t cluster) { word(cluster) |= bit(cluster); }

    [[nodiscard]] bool contains(uint64_t cluster) const {
        return (word(cluster) & bit(cluster)) != 0;
    }

    /// Gives every member its place; all numbers become 0.
    Status number() {
        size_t members = 0;
        auto* const ranks = reinterpret_cast<uint32_t*>(ranks_.bytes().data());
        for (uint64_t i = 0; i < words_; ++i) {
            ranks[i] = static_cast<uint32_t>(members);
            members += static_cast<size_t>(std::popcount(word(i * 64)));
            if (members > most) return fail(Errc::limit, "qcow2: too many L2 tables", {members});
        }
        members_ = static_cast<uint32_t>(members);
        auto memory = numbers_.reserve(members * sizeof(uint32_t));
        if (!memory) return memory.error();
        if (members != 0) std::memset(memory->data(), 0, members * sizeof(uint32_t));
        return {};
    }

    /// One more L1 entry points to this member.
    void count(uint64_t cluster) {
        uint32_t& n = slot(cluster);
        if ((n & most) != most) ++n;
    }
    [[nodiscard]] uint32_t times(uint64_t cluster) const { return slot(cluster) & most; }

    /// True when it is asked for the first time since restart().
    bool visit(uint64_t cluster) {
        uint32_t& n = slot(cluster);
        const bool first = (n & visited) == 0;
        n |= visited;
        return first;
    }
    void restart() {
        auto* const numbers = reinterpret_cast<uint32_t*>(numbers_.bytes().data());
        for (uint32_t i = 0; i < members_; ++i) numbers[i] &= most;
    }

    [[nodiscard]] uint32_t members() const { return members_; }

private:
    static constexpr uint32_t visited = uint32_t{1} << 31;
    static constexpr uint32_t most = visited - 1;

    TableSet(uint64_t words, A allocation)
        : bits_(allocation), ranks_(allocation), numbers_(std::move(allocation)), words_(words) {}

    static uint64_t bit(uint64_t cluster) { return uint64_t{1} << (cluster & 63); }
    [[nodiscard]] uint64_t& word(uint64_t cluster) const {
        return reinterpret_cast<uint64_t*>(bits_.bytes().data())[cluster >> 6];
    }
    [[nodiscard]] uint32_t& slot(uint64_t cluster) const {
        const auto before = std::popcount(word(cluster) & (bit(cluster) - 1));
        const auto* const ranks = reinterpret_cast<const uint32_t*>(ranks_.bytes().data());
        return reinterpret_cast<uint32_t*>(
            numbers_.bytes().data())[ranks[cluster >> 6] + static_cast<uint32_t>(before)];
    }

    Buffer<A> bits_, ranks_, numbers_;
    uint64_t words_;
    uint32_t members_ = 0;
};

}  // namespace vdisk::qcow2
