// SPDX-License-Identifier: BSL-1.0
// Makes an image sound again. Each step leaves it no worse than it was, so a repair that was cut
// short is simply done again.
#pragma once

#include <vdisk/format/qcow2/lengthen.hpp>
#include <vdisk/format/qcow2/mend.hpp>
#include <vdisk/format/qcow2/rewrite.hpp>

namespace vdisk::qcow2 {

/// What `Error::what` is where refcounts have to be built anew before leaks can be told.
inline constexpr char rebuild_needed[] =
    "qcow2: refcounts have to be rebuilt: repair all, not leaks";

using RepairReport = Repaired<CheckReport>;

namespace repairing {

/// Which refcounts are changed: those that are too small; those that are too large; of these, only
/// those that do not become 1, so that no copied flag has to follow.
enum class Direction : uint8_t { up, down, down_without_flags };

/// Whether a cluster is that refcount block and nothing else.
template <Allocation A>
[[nodiscard]] bool is_only_block(const Layout& layout, const Census<A>& census, uint64_t block) {
    const uint64_t cluster = block >> layout.cluster_bits;
    return block != 0 && is_refcount_block(layout, block) && cluster < census.clusters &&
           census.counts[cluster] == 1;
}

/// Writes what `census` counted over stored refcounts that are smaller (up) or larger (down), and
/// makes that durable. Downwards it goes on behind the end of a file that was cut short: what is
/// counted there would leak when the file grows again. Blocks that are not there stay away, those
/// that are something else, too, stay as they are.
template <WritableStorage S, Allocation A>
Status write_refcounts(S& storage, const Closed<S, A>& image, const Census<A>& census,
                       Direction direction) {
    const Layout& layout = image.layout;
    const unsigned order = layout.refcount_order;
    const unsigned block_bits = refcount_block_bits(layout.cluster_bits, order);
    std::array<byte, 512> piece;
    const uint64_t per_piece = (piece.size() * 8) >> order;
    const uint64_t described = layout.refcount_table_bytes / 8 << block_bits;
    const uint64_t end = direction == Direction::up ? census.clusters : described;
    for (uint64_t first = 0; first < end; first += per_piece) {
        const auto block = refcount_block(image.tables, layout, first >> block_bits);
        if (!block) return block.error();
        if (!is_only_block(layout, census, *block)) {
            first = (first | ((uint64_t{1} << block_bits) - 1)) + 1 - per_piece;  // the next block
            continue;
        }
        const uint64_t in_block = first & ((uint64_t{1} << block_bits) - 1);
        const uint64_t at = *block + in_block / per_piece * piece.size();
        if (at >= storage.size()) continue;
        const uint64_t rest = storage.size() - at;
        const auto there = MutBytes(piece).first(rest < piece.size() ? size_t(rest) : piece.size());
        if (Status read = storage.read(at, there); !read) return read;
        bool changed = false;
        const uint64_t count = (there.size() * 8) >> order;
        for (uint64_t i = 0; i < count && first + i < end; ++i) {
            const uint64_t stored = load_refcount(piece.data(), i, order);
            uint64_t wanted = first + i < census.clusters ? census.counts[first + i] : 0;
            if (wanted > max_refcount(order)) wanted = max_refcount(order);
            if (direction == Direction::up ? stored >= wanted : stored <= wanted) continue;
            if (direction == Direction::down_without_flags && wanted == 1) continue;
            store_refcount(piece.data(), i, order, wanted);
            changed = true;
        }
        if (!changed) continue;
        if (Status written = storage.write(at, there); !written) return written;
    }
    return storage.flush();
}

/// Sets the copied flags of the active tables to what `census` counted.
template <WritableStorage S, Allocation A>
Status write_flags(S& storage, const Closed<S, A>& image, Census<A>& census) {
    const Status written = each_wrong_flag(
        image, census,
        [&](uint64_t cluster) {
            const bool known = cluster < census.clusters;
            return Result<StoredRefcount>({true, known ? census.counts[cluster] : 0});
        },
        [&](uint64_t at, uint64_t e, uint64_t, const char*) {
            std::array<byte, 8> raw{};
            store_be64(raw.data(), e ^ entry::copied);
            return storage.write(at, raw);
        });
    return written ? storage.flush() : written;
}

/// A check without an audience; the census stays with the caller.
template <Storage S, Allocation A>
Result<CheckReport> look(const Closed<S, A>& image, Census<A>& census) {
    NoVisitor nobody;
    return check_detail::run(image, census, nobody);
}

/// Refcounts and flags one by one, where that is possible.
template <WritableStorage S, Allocation A>
Status in_place(S& storage, Repair what, A allocation) {
    const auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    auto census = make_census(*image, image->layout.refcount_order, 0, std::move(allocation));
    if (!census) return census.error();
    const auto found = look(*image, *census);
    if (!found) return found.error();
    if (what == Repair::all) {
        if (Status up = write_refcounts(storage, *image, *census, Direction::up); !up) return up;
        if (Status flags = write_flags(storage, *image, *census); !flags) return flags;
    }
    return write_refcounts(storage, *image, *census,
                           what == Repair::all ? Direction::down : Direction::down_without_flags);
}

/// Leaks in an image that may have other problems. Where it has none, those that need a copied flag
/// to follow go in one step with it.
template <WritableStorage S, Allocation A>
Status leaks(S& storage, const CheckReport& found, A allocation) {
    if (found.leaks == 0 || found.bad_pointers != 0) return {};
    const bool is_sound = found.corruptions + found.check_errors == 0;
    if (!is_sound || found.flag_leaks == 0) return in_place(storage, Repair::leaks, allocation);
    const auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    NewState state = same_state(image->layout);
    state.clears_flags = true;
    return rewrite(storage, *image, state, allocation, NoGuest{});
}

/// New refcounts, as wide as they have to be, behind everything that there is.
template <WritableStorage S, Allocation A>
Status rebuild(S& storage, const Header& header, A allocation) {
    const auto image = open_closed(storage, header, allocation);
    if (!image) return image.error();
    NewState state = same_state(image->layout);
    state.refcounts_lost = true;
    while (true) {
        Status done = rewrite(storage, *image, state, allocation, NoGuest{});
        const bool narrow = !done && done.error().what == rewriting::refcounts_too_narrow;
        if (!narrow || image->layout.version < 3 || state.refcount_order == 6) return done;
        ++state.refcount_order;
    }
}

/// The header of an image whose refcount table cannot be where it says: with a place that can.
template <Storage S>
Header without_refcounts(const S& storage, Header header) {
    const unsigned bits = header.cluster_bits.value();
    if (bits < 9 || bits > 21) return header;
    header.refcount_table_clusters = 1;
    const uint64_t last = align_down(storage.size() - 1, bits);
    const uint64_t first = uint64_t{1} << bits;
    header.refcount_table_offset = header.l1_table_offset.value() == first ? last : first;
    return header;
}

/// The last step: nothing is wrong any more.
template <WritableStorage S>
Status clear_flags(S& storage, const Layout& layout) {
    constexpr uint64_t flags = incompatible::dirty | incompatible::corrupt;
    if ((layout.incompatible & flags) == 0) return {};
    auto sector = rewriting::FirstSector<S>::load(storage);
    if (!sector) return sector.error();
    sector->header.incompatible_features = layout.incompatible & ~flags;
    return sector->store(storage, layout);
}

/// Bitmaps that cannot be read are given up: nothing vouches for their extension any more, and it
/// is none any more, since QEMU does not open an image with a bad one. What they used leaks until
/// the end of the repair.
template <WritableStorage S, Allocation A>
Status drop_bad_bitmaps(S& storage, A allocation) {
    const auto image = open_closed(storage, std::move(allocation));
    if (!image) {  // where it is corrupt, there are other worries
        const Errc code = image.error().code;
        return code == Errc::corrupt ? Status{} : Status(image.error());
    }
    if (!bitmaps_valid(image->layout) && has_bitmaps_length(image->layout)) return {};
    bool good = has_bitmaps_length(image->layout);
    const auto is_good = [&](uint64_t at, uint64_t length) { return image->inside(at, length); };
    const Status walked = each_bitmap(storage, image->layout, [&](const Bitmap& b) {
        return each_entry(image->tables, b.table_at, b.table_entries, [&](uint64_t e, uint64_t) {
            const uint64_t cluster = e & entry::offset_mask;
            const bool reserved =
                (e & ~(entry::offset_mask | 1)) != 0 || (cluster != 0 && (e & 1) != 0);
            good = good && !reserved && is_aligned(cluster, image->layout.cluster_bits) &&
                   is_good(cluster, image->layout.cluster_size());
            return Status{};
        });
    });
    if (!walked && walked.error().code == Errc::io) return walked;
    if (walked && good) return {};
    auto sector = rewriting::FirstSector<S>::load(storage);
    if (!sector) return sector.error();
    Layout without = image->layout;
    without.autoclear &= ~autoclear::bitmaps;
    if (Status cleared = sector->store(storage, without); !cleared) return cleared;
    const be32 spacer(extension::spacer);
    const Status gone = storage.write(without.bitmaps.at - sizeof(ExtensionHeader),
                                      std::as_bytes(std::span(&spacer, 1)));
    return gone ? storage.flush() : gone;
}

/// Everything that is not a leak.
template <WritableStorage S, Allocation A>
Status all(S& storage, const Header& header, bool lost, A allocation) {
    if (Status dropped = drop_bad_bitmaps(storage, allocation); !dropped) return dropped;
    {
        const auto image = open_closed(storage, header, allocation);
        if (!image) return image.error();
        if (Status done = lengthen_l1_tables(storage, *image, allocation); !done) return done;
    }
    {
        const auto image = open_closed(storage, header, allocation);
        if (!image) return image.error();
        const auto mended = mend_tables(storage, *image, allocation);
        if (!mended) return mended.error();
    }
    if (!lost) {
        const auto now = check_image(storage, allocation);
        if (!now) return now.error();
        lost = now->refcounts_lost || now->check_errors != 0 || now->bad_pointers != 0;
    }
    if (lost) return rebuild(storage, header, allocation);
    return in_place(storage, Repair::all, allocation);
}

}  // namespace repairing

/// Repairs a closed image and clears its "dirty" and "corrupt" flags if it is sound then. Calls
/// `visit(const Problem&)` for what was wrong. A repair that succeeds may leave what it could not
/// help: see `after`. Repair::leaks fails with `rebuild_needed` where refcounts cannot be mended
/// one by one.
template <WritableStorage S, Allocation A, class Visit = NoVisitor>
Result<RepairReport> repair(S& storage, Repair what, A allocation, Visit visit = {}) {
    auto header = load_header(storage);
    if (!header) return header.error();
    RepairReport report;
    auto before = check_image(storage, allocation, visit);
    bool lost = false;
    if (!before && before.error().code == Errc::corrupt && what == Repair::all) {
        // Perhaps only the pointer to the refcount table is bad.
        const Header mended = repairing::without_refcounts(storage, *header);
        if (!check(mended, storage.size())) return before.error();
        visit(Problem{.what = before.error().what,
                      .value = before.error().value,
                      .at = before.error().at,
                      .in_refcounts = true});
        *header = mended;
        lost = true;
        report.before.corruptions = 1;
    } else if (!before) {
        return before.error();
    } else {
        report.before = *before;
    }
    Status done;
    const bool rebuilds = report.before.refcounts_lost || report.before.check_errors != 0;
    if (what == Repair::leaks) {
        if (rebuilds) return corrupt(rebuild_needed);
        done = repairing::leaks(storage, report.before, allocation);
    } else if (lost || report.before.corruptions + report.before.check_errors != 0) {
        done = repairing::all(storage, *header, lost, allocation);
    } else {
        done = repairing::leaks(storage, report.before, allocation);
    }
    if (!done) return done.error();
    const auto after = check_image(storage, allocation);
    if (!after) return after.error();
    report.after = *after;
    if (after->corruptions + after->check_errors != 0) return report;
    const auto image = open_closed(storage, std::move(allocation));
    if (!image) return image.error();
    if (Status cleared = repairing::clear_flags(storage, image->layout); !cleared) {
        return cleared.error();
    }
    return report;
}

}  // namespace vdisk::qcow2
