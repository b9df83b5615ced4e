// SPDX-License-Identifier: BSL-1.0
// A VHDX image, read side. A log that was not replayed is read over the file; nothing is written.
#pragma once

#include <vdisk/allocation/none.hpp>
#include <vdisk/core/bits.hpp>
#include <vdisk/format/coalesce.hpp>
#include <vdisk/format/parent.hpp>
#include <vdisk/format/vhdx/bat.hpp>
#include <vdisk/format/vhdx/locator.hpp>
#include <vdisk/format/vhdx/overlay.hpp>

namespace vdisk::vhdx {

/// Without memory there is no log to be read over the file.
template <Storage S, Allocation A>
using ReadTables =
    Metadata<std::conditional_t<std::derived_from<A, NoAllocation>, S, Overlaid<S>>, A>;

/// `T` is how tables are reached: Metadata to read, another beneath a Writer.
template <Storage S, Allocation A, class T = ReadTables<S, A>>
class Image {
public:
    using Tables = T;
    static constexpr bool in_place = Tables::in_place;

    /// Opens the image; reads headers, log, region table and metadata, and not the BAT.
    static Result<Image> open(S storage, OpenOptions options = {}, A allocation = A{}) {
        if (Status known = check_identifier(storage); !known) return known.error();
        const auto header = find_header(storage);
        if (!header) return header.error();
        const auto log = check(*header, storage.size());
        if (!log) return log.error();
        auto overlay = load_log(storage, *log, allocation);
        if (!overlay) return overlay.error();
        Layout layout = layout_of(*header, *log);
        auto tables =
            make_tables(std::move(storage), *overlay, options.cache, std::move(allocation));
        if (!tables) return tables.error();
        if (Status read = load_layout(tables->storage(), layout); !read) return read.error();
        return Result<Image>(std::in_place, layout, *std::move(tables), *std::move(overlay));
    }

    [[nodiscard]] uint64_t size() const { return layout_.size; }
    [[nodiscard]] const Layout& layout() const { return layout_; }
    [[nodiscard]] const S& file() const {
        if constexpr (requires { tables_.storage().base(); }) return tables_.storage().base();
        else return tables_.storage();
    }
    /// The file as it will be after its log is replayed.
    [[nodiscard]] const auto& storage() const { return tables_.storage(); }
    /// What a replay would do: nothing, if it has no entries.
    [[nodiscard]] const ActiveLog& log() const { return overlay_.active(); }
    [[nodiscard]] size_t logged_updates() const { return overlay_.updates(); }

    [[nodiscard]] bool has_parent() const { return layout_.has_parent; }
    /// As ManyParentNames says.
    Result<std::string_view> parent_name(unsigned choice, std::span<char> out) const {
        return vhdx::parent_name(storage(), layout_, choice, out);
    }
    /// A VHDX image stands on nothing but VHDX images.
    Result<std::string_view> parent_format(std::span<char> /*out*/) const {
        return std::string_view(has_parent() ? "vhdx" : "");
    }
    [[nodiscard]] Guid identity() const { return layout_.data_write_guid; }
    [[nodiscard]] bool is_child_of(const Guid& parent) const {
        if (!has_parent()) return parent.is_nil();
        const auto linked = is_linked_to(storage(), layout_, parent);
        return linked && *linked;
    }

    Result<Extent> lookup(uint64_t at, uint64_t length) const {
        return coalesce(at, length,
                        [this](uint64_t from, uint64_t rest) { return piece(from, rest); });
    }

    /// As lookup, but holes of a sparse file are zeros.
    Result<Extent> survey(uint64_t at, uint64_t length) const {
        return survey_holes(storage(), lookup(at, length));
    }

    /// How tables are read.
    [[nodiscard]] const Tables& tables() const { return tables_; }

protected:
    [[nodiscard]] Tables& tables() { return tables_; }
    [[nodiscard]] Layout& layout_mut() { return layout_; }

    /// Where `length` bytes begin that a BAT entry, found at `entry_at`, points to: checked.
    Result<uint64_t> place_of(uint64_t entry, uint64_t entry_at, uint64_t length) const {
        const uint64_t at = entry & entry::offset_mask;
        const Found where{entry, entry_at};
        const Status right = check_place(layout_, at, length, storage().size(), where);
        return right ? Result<uint64_t>(at) : right.error();
    }

private:
    friend Result<Image>;

    Image(const Layout& layout, Tables&& tables, Overlay<A>&& overlay)
        : layout_(layout), tables_(std::move(tables)), overlay_(std::move(overlay)) {}

    /// A writer's tables go on with a log, and lie under none.
    static constexpr bool reads_log = std::same_as<T, ReadTables<S, A>>;

    static Result<Overlay<A>> load_log(const S& storage, const Log& log, const A& allocation) {
        Overlay<A> overlay(allocation);
        if (log.guid.is_nil()) return Result<Overlay<A>>(std::move(overlay));
        if constexpr (!reads_log) {
            return fail(Errc::read_only, "vhdx: the log has to be replayed before writing");
        } else if constexpr (std::derived_from<A, NoAllocation>) {
            return fail(Errc::no_memory,
                        "vhdx: the log was not replayed, and there is no memory for it");
        } else {
            const auto active = find_active(storage, log, allocation);
            if (!active) return active.error();
            const Status read = overlay.load(storage, log, *active);
            return read ? Result<Overlay<A>>(std::move(overlay)) : read.error();
        }
    }

    static Result<Tables> make_tables(S storage, const Overlay<A>& overlay, CacheShape shape,
                                      A allocation) {
        if constexpr (requires { Tables::make(overlay.over(storage), shape, allocation); }) {
            return Tables::make(overlay.over(std::move(storage)), shape, std::move(allocation));
        } else {
            return Tables::make(std::move(storage), shape, std::move(allocation));
        }
    }

    Result<Extent> piece(uint64_t at, uint64_t length) const {
        const uint64_t number = at >> layout_.block_bits;
        const uint64_t skip = at & (layout_.block_size() - 1);
        const uint64_t rest = layout_.block_size() - skip;
        const uint64_t entry_at = layout_.entry_at(number);
        const auto e = tables_.le64(entry_at);
        if (!e) return e.error();
        const auto state = static_cast<State>(*e & entry::state_mask);
        if (state == State::fully_present) [[likely]]
            return stored(*e, entry_at, skip, rest);
        if ((*e & entry::reserved) != 0) {
            return corrupt("vhdx: reserved bits of a BAT entry are set", {*e, entry_at});
        }
        switch (state) {
            case State::not_present: return Extent{.kind = Kind::absent, .length = rest};
            case State::undefined:
            case State::zero:
            case State::unmapped: return Extent{.kind = Kind::zero, .length = rest};
            case State::partially_present:
                if (layout_.has_parent)
                    return partial(*e, number, skip, length < rest ? length : rest);
                break;
            default: break;
        }
        return corrupt("vhdx: BAT entry has a state that it cannot have", {*e, entry_at});
    }

    Result<Extent> stored(uint64_t e, uint64_t entry_at, uint64_t skip, uint64_t length) const {
        const auto place = place_of(e, entry_at, layout_.block_size());
        if (!place) return place.error();
        const uint64_t home = *place + skip;
        const uint64_t end = storage().size();
        if (home >= end) return Extent{.kind = Kind::zero, .length = length};
        const uint64_t there = end - home;
        return Extent{.kind = Kind::data, .at = home, .length = length < there ? length : there};
    }

    // A block of which some sectors are here, and the others in the parent.
    Result<Extent> partial(uint64_t e, uint64_t number, uint64_t skip, uint64_t length) const {
        const uint64_t bitmap_entry_at = layout_.bitmap_entry_at(number);
        const auto bitmap_entry = tables_.le64(bitmap_entry_at);
        if (!bitmap_entry) return bitmap_entry.error();
        if (static_cast<State>(*bitmap_entry & entry::state_mask) != State::fully_present) {
            return corrupt("vhdx: a block is partially present without a sector bitmap",
                           {*bitmap_entry, bitmap_entry_at});
        }
        const auto bitmap = place_of(*bitmap_entry, bitmap_entry_at, mib);
        if (!bitmap) return bitmap.error();
        const uint64_t in_chunk = number & (power_of_two(layout_.chunk_bits()) - 1);
        const uint64_t first = ((in_chunk << layout_.block_bits) + skip) >> layout_.sector_bits;
        const uint64_t into = skip & (power_of_two(layout_.sector_bits) - 1);
        const uint64_t count = blocks(into + length, layout_.sector_bits);
        const auto run = bits(*bitmap, first, count);
        if (!run) return run.error();
        uint64_t bytes = (run->length << layout_.sector_bits) - into;
        if (bytes > length) bytes = length;
        if (run->value) return stored(e, layout_.entry_at(number), skip, bytes);
        return Extent{.kind = Kind::absent, .at = (e & entry::offset_mask) + skip, .length = bytes};
    }

    // The run of equal bits from bit `first` of a bitmap block on.
    Result<BitRun> bits(uint64_t bitmap_at, uint64_t first, uint64_t count) const {
        BitRun run;
        while (run.length < count) {
            const uint64_t bit = first + run.length;
            const uint64_t at = bitmap_at + (bit >> 6) * 8;
            uint64_t wanted = blocks((bit & 63) + count - run.length, 6) * 8;
            // Logged sectors are lent one by one.
            const uint64_t in_sector = log_sector - (at & (log_sector - 1));
            if (wanted > in_sector) wanted = in_sector;
            const auto words = tables_.entries(at, wanted);
            if (!words) return words.error();
            const BitRun more = bit_run<BitOrder::lsb_first>(*words, bit & 63, count - run.length);
            if (run.length > 0 && more.value != run.value) break;
            run = {more.value, run.length + more.length};
            if ((bit & 63) + more.length < words->size() * 8) break;
        }
        return run;
    }

    Layout layout_;
    Tables tables_;
    Overlay<A> overlay_;
};

}  // namespace vdisk::vhdx
