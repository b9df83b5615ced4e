// SPDX-License-Identifier: BSL-1.0
// Changes of a file that lie over each other, made into a sorted list of pieces.
#pragma once

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/core/math.hpp>
#include <vdisk/core/sort.hpp>
#include <vdisk/format/vhdx/log_disk.hpp>

namespace vdisk::vhdx {

/// Bytes of the file that are others.
struct Patch {
    uint64_t at;
    uint64_t length;
    const byte* data;  ///< log_sector bytes; nullptr: zeros
};

/// The first of sorted patches that does not end before `at`.
[[nodiscard]] constexpr size_t first_patch(std::span<const Patch> patches, uint64_t at) {
    size_t first = 0, end = patches.size();
    while (first < end) {
        const size_t middle = first + (end - first) / 2;
        if (patches[middle].at + patches[middle].length <= at) first = middle + 1;
        else end = middle;
    }
    return first;
}

/// Makes sorted patches of some that may overlap, of which later ones hide earlier ones. In n log n
/// steps: the newest paint the pieces between all begins and ends first, and what is painted is
/// skipped at once.
template <Allocation A>
class Flattening {
public:
    explicit Flattening(A allocation) : points_(allocation), next_(std::move(allocation)) {}

    /// `out` has room for twice as many; says how many there are then.
    Result<size_t> run(std::span<const Patch> patches, std::span<Patch> out) {
        auto points = points_.reserve(2 * patches.size() * sizeof(uint64_t) + 1);
        if (!points) return points.error();
        auto next = next_.reserve((2 * patches.size() + 1) * sizeof(uint32_t));
        if (!next) return next.error();
        const std::span<const uint64_t> edges = find_edges(patches);
        for (size_t i = 0; i < edges.size(); ++i) {
            link(i) = static_cast<uint32_t>(i);
            out[i] = {edges[i], 0, nullptr};  // not painted
        }
        for (size_t i = patches.size(); i > 0; --i) paint(patches[i - 1], edges, out);
        size_t count = 0;
        for (size_t i = 0; i < edges.size(); ++i) {
            if (out[i].length > 0) out[count++] = out[i];
        }
        return count;
    }

private:
    [[nodiscard]] uint32_t& link(size_t i) {
        return reinterpret_cast<uint32_t*>(next_.bytes().data())[i];
    }

    // Where a patch begins or ends, each place once.
    std::span<const uint64_t> find_edges(std::span<const Patch> patches) {
        auto* const all = reinterpret_cast<uint64_t*>(points_.bytes().data());
        size_t n = 0;
        for (const Patch& p : patches) {
            all[n++] = p.at;
            all[n++] = p.at + p.length;
        }
        sort({all, n});
        size_t count = 0;
        for (size_t i = 0; i < n; ++i) {
            if (count == 0 || all[i] != all[count - 1]) all[count++] = all[i];
        }
        return {all, count};
    }

    // The first piece from `i` on that is not painted.
    size_t find(size_t i) {
        while (link(i) != i) {
            link(i) = link(link(i));
            i = link(i);
        }
        return i;
    }

    void paint(const Patch& p, std::span<const uint64_t> edges, std::span<Patch> out) {
        const size_t end = count_less(edges, p.at + p.length);
        for (size_t i = find(count_less(edges, p.at)); i < end; i = find(i)) {
            const byte* const data = p.data == nullptr ? nullptr : p.data + (edges[i] - p.at);
            out[i] = {edges[i], edges[i + 1] - edges[i], data};
            link(i) = static_cast<uint32_t>(i + 1);
        }
    }

    Buffer<A> points_;
    Buffer<A> next_;
};

}  // namespace vdisk::vhdx
