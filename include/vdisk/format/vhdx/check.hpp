// SPDX-License-Identifier: BSL-1.0
// Whether an image is sound: both headers, the log, both region tables, every entry of the BAT.
#pragma once

#include <vdisk/format/problem.hpp>
#include <vdisk/format/vhdx/image.hpp>
#include <vdisk/format/vhdx/space.hpp>
#include <vdisk/storage/borrowed.hpp>

namespace vdisk::vhdx {

using CheckReport = BlockReport;

/// The table is read from front to back, in long pieces.
inline constexpr CacheShape closed_cache{.page_bits = 16, .count_bits = 3};

namespace checking {

// Any writer makes both headers new, so a copy that is lost is not missed for long.
template <Storage S, class Tell>
Status headers(const S& storage, Tell& tell) {
    for (const uint64_t place : header_places) {
        const auto header = load_header(storage, place);
        if (!header) return header.error();
        if (!header->is_valid)
            tell(Problem{.what = "vhdx: a copy of the header is lost", .at = place});
    }
    return {};
}

// Seen behind the log. Copies that say different things are both valid, and the first counts.
template <Storage S, class Tell>
Status region_tables(const S& storage, Tell& tell) {
    for (const uint64_t place : region_table_places) {
        layout::Regions<S> regions(storage, place);
        const auto valid = regions.is_valid();
        if (!valid) return valid.error();
        if (!*valid) tell(Problem{.what = "vhdx: a copy of the region table is lost", .at = place});
    }
    for (uint64_t at = 0; at < region_table_bytes; at += header_piece) {
        std::array<byte, header_piece> one, other;
        Status got = storage.read(region_table_places[0] + at, one);
        if (got) got = storage.read(region_table_places[1] + at, other);
        if (!got) return got;
        if (one == other) continue;
        tell(Problem{.what = "vhdx: the two region tables differ",
                     .at = region_table_places[1] + at});
        break;
    }
    return {};
}

template <class I, class Tell>
Status parent(const I& image, Tell& tell) {
    if (!image.has_parent()) return {};
    std::array<char, 160> linkage;
    const auto text = locator_value(image.storage(), image.layout(), "parent_linkage", linkage);
    Error wrong = text ? Error{} : text.error();
    if (text) {
        const auto guid = guid_from_text(*text);
        if (guid) return {};
        wrong = guid.error();
    }
    if (wrong.code == Errc::io) return wrong;
    tell(Problem{.what = wrong.code == Errc::not_found
                             ? "vhdx: parent locator has no parent_linkage"
                             : wrong.what,
                 .at = image.layout().parent_locator.at});
    return {};
}

}  // namespace checking

/// Checks a closed image and calls `visit(const Problem&)` for everything that is wrong with it,
/// as it is behind its log; a log that waits to be replayed is a corruption itself. An image that
/// cannot even be opened is an Error. Space that nobody uses is no leak: it is used again. Memory:
/// two bits for each MiB of the file, and what reading the log takes.
template <Storage S, Allocation A, class Visit = NoVisitor>
Result<CheckReport> check_image(S& storage, A allocation, Visit visit = {}) {
    const auto image =
        Image<Borrowed<S>, A>::open(Borrowed<S>(storage), {.cache = closed_cache}, allocation);
    if (!image) return image.error();
    const Layout& layout = image->layout();
    CheckReport report;
    auto tell = [&](const Problem& problem) {
        report.add(problem);
        visit(problem);
    };
    if (image->log().entries > 0) {
        tell(Problem{.what = "vhdx: the log has to be replayed", .at = layout.log.at});
    }
    Status done = checking::headers(storage, tell);
    if (done) done = checking::region_tables(image->storage(), tell);
    if (done) done = checking::parent(*image, tell);
    if (!done) return done.error();

    const uint64_t size = image->storage().size();
    Space<A> space(std::move(allocation));
    if (Status covered = space.cover(size); !covered) return covered.error();
    const auto wrong = [&](const BatEntry& e, const Error& error) -> Status {
        if (error.code != Errc::corrupt) return error;
        tell(Problem{.what = error.what, .value = e.value, .at = e.at});
        return {};
    };
    const auto end = mark_used(image->storage(), image->tables(), layout, size, space, wrong);
    if (!end) return end.error();
    report.image_end = *end;
    report.total_blocks = layout.payload_blocks();
    uint64_t last = 0;
    done = each_entry(image->tables(), layout, [&](const BatEntry& e) -> Status {
        if (has_stale_place(e)) {
            tell(Problem{.flaw = Flaw::leak,
                         .what = "vhdx: a block that is not there has a place",
                         .value = e.value,
                         .at = e.at});
        }
        const auto lost = lacks_bitmap(image->tables(), layout, e);
        if (!lost) return lost.error();
        if (*lost) {
            tell(Problem{.what = "vhdx: a block is partially present without a sector bitmap",
                         .value = e.value,
                         .at = e.at});
        }
        if (e.is_bitmap || e.state() < State::fully_present) return {};
        ++report.allocated_blocks;
        if (e.place() < last) ++report.fragmented_blocks;
        last = e.place();
        return {};
    });
    return done ? Result<CheckReport>(report) : done.error();
}

}  // namespace vdisk::vhdx
