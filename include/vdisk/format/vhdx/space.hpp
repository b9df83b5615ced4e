// SPDX-License-Identifier: BSL-1.0
// Which MiB of the file are in use.
#pragma once

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/core/bits.hpp>
#include <vdisk/format/vhdx/bat.hpp>
#include <vdisk/format/vhdx/regions.hpp>

namespace vdisk::vhdx {

/// A map of the first MiB of a file. Takes two bits for each; what lies behind it is not known. All
/// offsets and lengths are whole MiB.
template <Allocation A>
class Space {
public:
    /// More, 128 TiB, are not mapped.
    static constexpr uint64_t max_mibs = uint64_t{1} << 27;
    static constexpr uint64_t none = ~uint64_t{0};

    explicit Space(A allocation) : memory_(std::move(allocation)) {}

    /// Makes the map, all free, for a file of `size` bytes. Errc::limit or no_memory: there is
    /// none.
    Status cover(uint64_t size) {
        const uint64_t mibs = blocks(size, mib_bits);
        if (mibs > max_mibs) return fail(Errc::limit, "vhdx: the file is too large", {size});
        const auto bytes = static_cast<size_t>(blocks(mibs, 6) * 8);
        if (auto memory = memory_.reserve(2 * bytes); !memory) return memory.error();
        std::memset(memory_.bytes().data(), 0, 2 * bytes);
        mibs_ = mibs;
        return {};
    }

    /// Makes a range used. False if some of it was.
    bool take(uint64_t at, uint64_t length) {
        const bool free = is_free(at, length);
        const Range r = clip(at, length);
        fill_bits<BitOrder::lsb_first>(used(), r.first, r.end - r.first, true);
        return free;
    }
    [[nodiscard]] bool is_free(uint64_t at, uint64_t length) const {
        const Range r = clip(at, length);
        if (r.first == r.end) return true;
        const BitRun run = bit_run<BitOrder::lsb_first>(used(), r.first, r.end - r.first);
        return !run.value && run.length == r.end - r.first;
    }
    void give(uint64_t at, uint64_t length) {
        const Range r = clip(at, length);
        fill_bits<BitOrder::lsb_first>(used(), r.first, r.end - r.first, false);
        // With what was free before it, but too short.
        const uint64_t from = at < searched_ ? 0 : at - searched_;
        if (from < search_from_) search_from_ = from;
    }

    /// A range that is given up, and free once `settle` is told of a later generation.
    void give_later(uint64_t at, uint64_t length, uint64_t generation) {
        const Range r = clip(at, length);
        fill_bits<BitOrder::lsb_first>(given(), r.first, r.end - r.first, true);
        generation_ = generation;
        has_given_ = true;
    }
    /// What was given up before `generation` is free; `visit(at, length)` is told.
    template <class Visit>
    void settle(uint64_t generation, Visit&& visit) {
        if (!has_given_ || generation <= generation_) return;
        has_given_ = false;
        for (uint64_t i = 0; i < mibs_;) {
            const BitRun run = bit_run<BitOrder::lsb_first>(given(), i, mibs_ - i);
            if (run.value) {
                give(i << mib_bits, run.length << mib_bits);
                visit(i << mib_bits, run.length << mib_bits);
            }
            i += run.length;
        }
        if (mibs_ != 0) std::memset(given().data(), 0, given().size());
    }

    /// The lowest free range of `length` bytes below `limit`; `none` if there is none.
    [[nodiscard]] uint64_t find(uint64_t length, uint64_t limit) {
        const uint64_t wanted = length >> mib_bits;
        const Range r = clip(0, limit);
        uint64_t i = length == searched_ ? search_from_ >> mib_bits : 0;
        searched_ = length;
        uint64_t tail = r.end;  // what is free at the limit may go on behind it
        while (i < r.end) {
            const BitRun run = bit_run<BitOrder::lsb_first>(used(), i, r.end - i);
            if (!run.value && run.length >= wanted) break;
            if (!run.value && i + run.length == r.end) tail = i;
            i += run.length;
        }
        const bool found = i < r.end;
        search_from_ = (found ? i : tail) << mib_bits;
        return found ? search_from_ : none;
    }

    /// So much of the file is mapped.
    [[nodiscard]] uint64_t covered() const { return mibs_ << mib_bits; }
    /// Where the last used MiB of that ends.
    [[nodiscard]] uint64_t end() const {
        uint64_t end = 0;
        for (uint64_t i = 0; i < mibs_;) {
            const BitRun run = bit_run<BitOrder::lsb_first>(used(), i, mibs_ - i);
            i += run.length;
            if (run.value) end = i;
        }
        return end << mib_bits;
    }
    [[nodiscard]] uint64_t count_used() const {
        uint64_t count = 0;
        for (size_t i = 0; i < used().size(); i += 8) {
            count += static_cast<uint64_t>(std::popcount(load_le64(used().data() + i)));
        }
        return count;
    }

private:
    struct Range {
        uint64_t first, end;
    };
    [[nodiscard]] Range clip(uint64_t at, uint64_t length) const {
        const uint64_t first = at >> mib_bits, end = first + blocks(length, mib_bits);
        return {first < mibs_ ? first : mibs_, end < mibs_ ? end : mibs_};
    }
    [[nodiscard]] MutBytes used() const { return memory_.bytes().first(map_bytes()); }
    [[nodiscard]] MutBytes given() const {
        return memory_.bytes().subspan(map_bytes(), map_bytes());
    }
    [[nodiscard]] size_t map_bytes() const { return static_cast<size_t>(blocks(mibs_, 6) * 8); }

    Buffer<A> memory_;  ///< bits of what is used, then of what is given up
    uint64_t mibs_ = 0;
    uint64_t generation_ = 0;   ///< in which something was given up last
    uint64_t search_from_ = 0;  ///< no range of `searched_` bytes is free before
    uint64_t searched_ = 0;
    bool has_given_ = false;
};

/// Marks all that the image uses; the file ends at `size`, and is mapped. Calls `wrong(const
/// BatEntry&, const Error&) -> Status` for entries that cannot be, or whose block is somebody
/// else's. Says where the last block ends, which may be past the end of the file.
template <Storage S, class T, Allocation A, class Wrong>
Result<uint64_t> mark_used(const S& storage, const T& tables, const Layout& layout, uint64_t size,
                           Space<A>& space, Wrong&& wrong) {
    const auto regions = layout::find_regions(storage);
    if (!regions) return regions.error();
    space.take(0, mib);
    space.take(layout.log.at, layout.log.length);
    uint64_t end = layout.log.at + layout.log.length;
    const auto up_to = [&](uint64_t last) { end = last > end ? last : end; };
    Status walked = regions->each([&](const RegionTableEntry& e, uint64_t) -> Status {
        // Regions that nobody knows may overlap.
        space.take(e.file_offset.value(), e.length.value());
        up_to(e.file_offset.value() + e.length.value());
        return {};
    });
    if (!walked) return walked.error();
    walked = each_entry(tables, layout, [&](const BatEntry& e) -> Status {
        if (Status right = check(layout, e, size); !right) return wrong(e, right.error());
        if (!e.has_place()) return {};
        const uint64_t length = length_of(layout, e);
        if (!space.take(e.place(), length)) {
            return wrong(e, corrupt("vhdx: block overlaps another, or a region", {e.value, e.at}));
        }
        up_to(e.place() + length);
        return {};
    });
    return walked ? Result<uint64_t>(end) : walked.error();
}

}  // namespace vdisk::vhdx
