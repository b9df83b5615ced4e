// SPDX-License-Identifier: BSL-1.0
// Whether an image is sound: both footers, every table entry, and what of the file nobody uses.
#pragma once

#include <vdisk/format/problem.hpp>
#include <vdisk/format/vhd/closed.hpp>
#include <vdisk/format/vhd/locators.hpp>

namespace vdisk::vhd {

using CheckReport = BlockReport;

namespace checking {

template <Storage S, class Visit>
Status footers(const S& storage, const Layout& layout, Visit& visit) {
    if (!layout.checksums_right) {
        visit(Problem{.what = "vhd: checksum of the footer or the header is wrong"});
    }
    if (layout.is_fixed()) return {};
    if (layout.footer_copy == FooterCopy::front) {
        visit(Problem{.what = "vhd: the footer at the end is lost", .at = layout.data_end});
        return {};
    }
    const auto end = load<Footer>(storage, layout.data_end);
    if (!end) return end.error();
    const auto front = load<Footer>(storage, 0);
    if (!front) return front.error();
    if (!has_cookie(*front) || !footer::checksum_right(*front)) {
        visit(Problem{.what = "vhd: the copy of the footer at the front is lost", .at = 0});
    } else if (std::memcmp(&*front, &*end, sizeof(Footer)) != 0) {
        visit(Problem{.what = "vhd: the two footers differ", .at = 0});
    }
    return {};
}

template <Storage S, class Visit>
Status locators(const S& storage, const Layout& layout, Visit& visit) {
    if (!layout.has_parent()) return {};
    const auto header = load<DynamicHeader>(storage, layout.header_at);
    if (!header) return header.error();
    for (const ParentLocator& locator : header->parent_locators) {
        if (locator.platform_code.value() == platform::none) continue;
        const auto text = vhd::locators::text_of(locator, layout);
        if (text) continue;
        visit(
            Problem{.what = text.error().what, .value = text.error().value, .at = text.error().at});
    }
    return {};
}

// Blocks that there would be room for between what is used. `map` knows the blocks.
template <Allocation A, class Visit>
void gaps(const Layout& layout, const Areas& areas, const BlockMap<A>& map, Visit& visit) {
    const auto room = [&](uint64_t from, uint64_t to) {
        // Farther no sector number reaches.
        const uint64_t reach = uint64_t{unallocated} << sector_bits;
        if (to > reach) to = reach;
        if (to <= from || to - from < layout.stride()) return;
        const auto length = to - from;
        const uint64_t times = length / layout.stride();
        visit(Problem{.flaw = Flaw::leak,
                      .what = "vhd: space that nothing uses",
                      .value = length,
                      .at = from,
                      .times = times});
    };
    uint64_t end = 0;
    const auto used = [&](uint64_t at, uint64_t length) {
        // Tables that come before it.
        while (end < at) {
            const uint64_t next = areas.next(end, at);
            room(end, next);
            end = areas.past(next, 1);
            if (end == next) break;
        }
        if (at + length > end) end = at + length;
    };
    for (uint32_t i = 0; i < map.slots(); ++i) {
        const auto slot = map.slot(i);
        if (slot.number == map.nobody) continue;
        used(uint64_t{slot.at} << sector_bits, layout.stride());
    }
    used(layout.data_end, 0);
}

}  // namespace checking

/// Checks a closed image and calls `visit(const Problem&)` for everything that is wrong with it. An
/// image that cannot even be opened is an Error; wrong checksums are problems. Memory: 8 bytes for
/// every block that the file has room for.
template <Storage S, Allocation A, class Visit = NoVisitor>
Result<CheckReport> check_image(S& storage, A allocation, Visit visit = {}) {
    const auto image = open_closed(storage, allocation, Checksums::ignored);
    if (!image) return image.error();
    const Layout& layout = image->layout;
    CheckReport report;
    auto tell = [&](const Problem& problem) {
        report.add(problem);
        visit(problem);
    };
    if (Status told = checking::footers(storage, layout, tell); !told) return told.error();
    report.image_end = layout.data_end;
    if (layout.is_fixed()) return report;
    const uint64_t told_before = report.corruptions;
    if (Status told = checking::locators(storage, layout, tell); !told) return told.error();
    if (image->areas.outside && report.corruptions == told_before) {
        tell(Problem{.what = "vhd: a map ends past the end of the file"});
    }
    if (!is_aligned(layout.data_end, sector_bits)) {
        tell(Problem{.what = "vhd: the footer is not at a whole sector", .value = layout.data_end});
    }

    auto map = BlockMap<A>::make(layout, layout.data_end, std::move(allocation));
    if (!map) return map.error();
    report.total_blocks = layout.blocks_in_use();
    report.image_end = image->areas.end();
    uint64_t last = 0;
    const auto visit_entry = [&](uint32_t number, uint32_t entry, uint64_t at) -> Status {
        ++report.allocated_blocks;
        const uint64_t block = uint64_t{entry} << sector_bits;
        if (last != 0 && block < last) ++report.fragmented_blocks;
        last = block;
        const Status sound = image->areas.check(layout, entry, at);
        if (!sound) {
            tell(Problem{.what = sound.error().what, .value = entry, .at = at});
        } else if (map->add(number, entry) != map->nobody) {
            tell(Problem{.what = "vhd: two blocks overlap", .value = entry, .at = at});
        } else if (block + layout.stride() > report.image_end) {
            report.image_end = block + layout.stride();
        }
        return {};
    };
    if (Status walked = each_block(image->tables, layout, visit_entry); !walked) {
        return walked.error();
    }
    checking::gaps(layout, image->areas, *map, tell);
    return report;
}

}  // namespace vdisk::vhd
