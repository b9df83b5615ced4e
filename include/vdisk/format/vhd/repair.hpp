// SPDX-License-Identifier: BSL-1.0
// Makes an image sound again. Each step leaves it no worse than it was, so a repair that was cut
// short is simply done again.
#pragma once

#include <vdisk/format/vhd/check.hpp>
#include <vdisk/format/vhd/compact.hpp>
#include <vdisk/format/vhd/recover.hpp>

namespace vdisk::vhd {

using RepairReport = Repaired<CheckReport>;

namespace repairing {

// Checksums that are wrong are made right, if what they cover makes sense to the last block: else
// it is not known which of it is wrong, and what is done by it would destroy the rest.
template <WritableStorage S, Allocation A>
Status reseal(S& storage, A allocation) {
    const auto found = find_footer(storage, Checksums::ignored);
    if (!found) return found.error();
    const auto layout = load_layout(storage, Checksums::ignored);
    if (!layout) return layout.error();
    if (layout->checksums_right) return {};
    if (!layout->is_fixed()) {
        const auto image = open_closed(storage, allocation, Checksums::ignored);
        if (!image) return image.error();
        if (Status inside = refuse_outside(*image); !inside) return inside;
        const auto map = map_blocks(image->tables, image->layout, image->areas, allocation);
        if (!map && map.error().code != Errc::corrupt) return map.error();
        if (!map) {
            return corrupt("vhd: a checksum is wrong, and so are blocks: neither can be trusted");
        }
    }
    if (!layout->is_fixed()) {
        auto header = load<DynamicHeader>(storage, layout->header_at);
        if (!header) return header.error();
        seal(*header);
        const Bytes bytes = std::as_bytes(std::span(&*header, 1));
        if (Status put = put_durable(storage, layout->header_at, bytes); !put) return put;
    }
    Footer footer = found->footer;
    seal(footer);
    const size_t length = found->copy == FooterCopy::short_end ? 511 : 512;
    return put_durable(storage, found->at, std::as_bytes(std::span(&footer, 1)).first(length));
}

/// What makes the entries of a table right again.
template <WritableStorage S, Allocation A>
class Entries {
public:
    Entries(S& storage, const Closed<S, A>& image, BlockMap<A>& map, MutBytes buffer)
        : storage_(storage), image_(image), map_(map), buffer_(buffer) {}

    Status run() {
        const Layout& layout = image_.layout;
        // Those that are sound have their places before any other gets one.
        Status walked = each([&](uint32_t number, uint32_t entry, uint64_t at) -> Status {
            if (image_.areas.check(layout, entry, at)) map_.add(number, entry);
            return {};
        });
        if (!walked) return walked;
        // As many copies as the file could hold: a table in which all entries are one does not fill
        // the drive.
        uint64_t copied = 0;
        walked = each([&](uint32_t number, uint32_t entry, uint64_t at) -> Status {
            if (fate(number, entry, at) != Fate::copy) return {};
            const uint64_t bytes = stored(uint64_t{entry} << sector_bits);
            if (bytes > layout.data_end - copied) {
                return fail(Errc::limit,
                            "vhd: too many blocks overlap: they take more than the file",
                            {entry, at});
            }
            copied += bytes;
            return {};
        });
        if (!walked) return walked;
        return each([&](uint32_t number, uint32_t entry, uint64_t at) -> Status {
            switch (fate(number, entry, at)) {
                case Fate::stay: return {};
                case Fate::copy: return copy(uint64_t{entry} << sector_bits, at);
                case Fate::drop: break;
            }
            dropped_ = true;
            return put(at, unallocated);
        });
    }
    [[nodiscard]] bool dropped() const { return dropped_; }

private:
    enum class Fate : uint8_t { stay, copy, drop };

    template <class Visit>
    Status each(Visit visit) {
        return each_block(image_.tables, image_.layout, visit);
    }

    [[nodiscard]] Fate fate(uint32_t number, uint32_t entry, uint64_t at) const {
        const Layout& layout = image_.layout;
        if (image_.areas.check(layout, entry, at)) {
            return map_.meets(entry).number == number ? Fate::stay : Fate::copy;
        }
        // What the file cuts short, or what a hint lies over, can be saved in another place.
        const uint64_t block = uint64_t{entry} << sector_bits;
        const bool has_begin = fits(block, layout.bitmap_bytes(), layout.data_end) &&
                               !image_.areas.overlap_vital(block, layout.stride());
        return has_begin ? Fate::copy : Fate::drop;
    }

    // What the file has of a block.
    [[nodiscard]] uint64_t stored(uint64_t block) const {
        const uint64_t left = image_.layout.data_end - block, stride = image_.layout.stride();
        return left < stride ? left : stride;
    }

    Status put(uint64_t at, uint32_t entry) {
        std::array<byte, 4> bytes{};
        store_be32(bytes.data(), entry);
        return put_durable(storage_, at, bytes);
    }

    // The block as it is in the file, as far as that goes, gets a place of its own.
    Status copy(uint64_t block, uint64_t entry_at) {
        const Layout& layout = image_.layout;
        const uint64_t to = aligned_block(layout, storage_.size());
        if (to >> sector_bits >= unallocated) {
            return fail(Errc::limit, "vhd: the file is too large for another block", {to});
        }
        const auto footer = load<Footer>(storage_, 0);
        if (!footer) return footer.error();
        Status done = storage_.resize(to + layout.stride() + sizeof(Footer));
        if (done) done = copy_bytes_to(storage_, block, to, stored(block), buffer_);
        if (done) done = put_end(storage_, *footer, to + layout.stride());
        return done ? put(entry_at, static_cast<uint32_t>(to >> sector_bits)) : done;
    }

    S& storage_;
    const Closed<S, A>& image_;
    BlockMap<A>& map_;
    MutBytes buffer_;
    bool dropped_ = false;
};

template <WritableStorage S, Allocation A>
Status entries(S& storage, A allocation) {
    const auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    if (image->layout.is_fixed()) return {};
    if (Status inside = refuse_outside(*image); !inside) return inside;
    auto map = BlockMap<A>::make(image->layout, image->layout.data_end, allocation);
    if (!map) return map.error();
    Buffer<A> buffer(allocation);
    if (auto memory = buffer.reserve(copy_bytes); !memory) return memory.error();
    Entries<S, A> table(storage, *image, *map, buffer.bytes());
    if (Status done = table.run(); !done) return done;
    return table.dropped() ? clear_batmap(storage, image->layout, image->areas) : Status{};
}

// XenServer's map is given up where a block lies in it, and where the file does not hold all of it:
// as the file grows, what comes to lie there would be taken for it. Where a block lies over its
// header, that is no header.
template <WritableStorage S, Allocation A>
Status drop_batmap(S& storage, A allocation) {
    const auto image = open_closed(storage, std::move(allocation));
    if (!image) return image.error();
    const Layout& layout = image->layout;
    const Batmap& map = image->areas.map;
    if (!map.is_there()) return {};
    bool is_wrong = !map.inside, is_header = true;
    const Status walked =
        each_block(image->tables, layout, [&](uint32_t, uint32_t entry, uint64_t) -> Status {
            const uint64_t block = uint64_t{entry} << sector_bits;
            if (overlaps(block, layout.stride(), map.at, map.length)) is_wrong = true;
            if (overlaps(block, layout.stride(), map.header_at, sector_size)) is_header = false;
            return {};
        });
    if (!walked || !is_wrong || !is_header) return walked;
    constexpr std::array<byte, sizeof(Cookie)> none{};
    return put_durable(storage, map.header_at, none);
}

// The footer at the end, of an image in which blocks may be cut short.
template <WritableStorage S, Allocation A>
Status end_footer(S& storage, A allocation) {
    const auto image = open_closed(storage, std::move(allocation));
    if (!image) return image.error();
    if (image->layout.footer_copy != FooterCopy::front) return {};
    const auto footer = load<Footer>(storage, 0);
    if (!footer) return footer.error();
    return put_end(storage, *footer, blocks(storage.size(), sector_bits) << sector_bits);
}

template <WritableStorage S, Allocation A>
Status all(S& storage, A allocation) {
    Status done = reseal(storage, allocation);
    if (done) done = drop_batmap(storage, allocation);
    if (done) done = recover(storage, allocation);
    if (done) done = end_footer(storage, allocation);
    if (done) done = entries(storage, allocation);
    if (done) done = recover(storage, allocation);  // what wrong entries stood in the way of
    return done;
}

}  // namespace repairing

/// Repairs a closed image; calls `visit(const Problem&)` for what was wrong. A repair that succeeds
/// may leave what it could not help: see `after`. Blocks that lie nowhere become unallocated; of
/// two that overlap, one gets a copy. Leaks go by moving blocks; an image with corruptions keeps
/// them: repair it again, once nothing is missed.
template <WritableStorage S, Allocation A, class Visit = NoVisitor>
Result<RepairReport> repair(S& storage, Repair what, A allocation, Visit visit = {}) {
    RepairReport report;
    auto before = check_image(storage, allocation, visit);
    if (!before && before.error().code == Errc::corrupt && what == Repair::all) {
        const auto found = find_fixed(storage, 0, allocation);
        if (!found) return found.error();
        if (*found == no_offset) return before.error();
        Status cut = storage.resize(*found + sizeof(Footer));
        if (cut) cut = storage.flush();
        if (!cut) return cut.error();
        visit(Problem{.what = "vhd: the footer of a fixed disk is not at the end"});
        before = check_image(storage, allocation, visit);
        if (before) ++before->corruptions;
    }
    if (!before) return before.error();
    report.before = *before;
    const auto layout = load_layout(storage, Checksums::ignored);
    if (!layout) return layout.error();
    if (layout->saved_state && !before->is_clean()) {
        return fail(Errc::read_only, "vhd: the disk belongs to a suspended machine");
    }
    Status done;
    if (what == Repair::all && before->corruptions != 0) done = repairing::all(storage, allocation);
    if (!done) return done.error();
    auto now = check_image(storage, allocation);
    // What was unlinked may be the only copy of something: its place stays as it is for now.
    if (now && before->corruptions == 0 && now->corruptions == 0 && now->leaks != 0) {
        const auto packed = compact(storage, allocation, Compaction::move_only);
        if (!packed) return packed.error();
        now = check_image(storage, allocation);
    }
    if (!now) return now.error();
    report.after = *now;
    return report;
}

}  // namespace vdisk::vhd
