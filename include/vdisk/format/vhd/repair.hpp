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

// Checksums that are wrong are made right: what they cover was checked by its meaning.
template <WritableStorage S>
Status reseal(S& storage) {
    const auto found = find_footer(storage, Checksums::ignored);
    if (!found) return found.error();
    const auto layout = load_layout(storage, Checksums::ignored);
    if (!layout) return layout.error();
    if (layout->checksums_right) return {};
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
        return each([&](uint32_t number, uint32_t entry, uint64_t at) -> Status {
            const uint64_t block = uint64_t{entry} << sector_bits;
            if (image_.areas.check(layout, entry, at)) {
                return map_.meets(entry).number == number ? Status{} : copy(block, at);
            }
            const bool is_cut = fits(block, layout.bitmap_bytes(), layout.data_end) &&
                                !image_.areas.overlap(block, layout.stride());
            return is_cut ? copy(block, at) : put(at, unallocated);
        });
    }

private:
    template <class Visit>
    Status each(Visit visit) {
        return each_block(image_.tables, image_.layout, visit);
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
        const uint64_t left = layout.data_end - block;
        const uint64_t length = left < layout.stride() ? left : layout.stride();
        Status done = storage_.resize(to + layout.stride() + sizeof(Footer));
        if (done) done = copy_bytes_to(storage_, block, to, length, buffer_);
        if (done) done = put_end(storage_, *footer, to + layout.stride());
        return done ? put(entry_at, static_cast<uint32_t>(to >> sector_bits)) : done;
    }

    S& storage_;
    const Closed<S, A>& image_;
    BlockMap<A>& map_;
    MutBytes buffer_;
};

template <WritableStorage S, Allocation A>
Status entries(S& storage, A allocation) {
    const auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    if (image->layout.is_fixed()) return {};
    auto map = BlockMap<A>::make(image->layout, image->layout.data_end, allocation);
    if (!map) return map.error();
    Buffer<A> buffer(allocation);
    if (auto memory = buffer.reserve(copy_bytes); !memory) return memory.error();
    return Entries<S, A>(storage, *image, *map, buffer.bytes()).run();
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

// A fixed disk whose growth was cut has its footer where the disk ended before. Looks for the last
// sector that is a footer and says just that, and ends the file behind it. False: there is none.
template <WritableStorage S, Allocation A>
Result<bool> find_fixed(S& storage, A allocation) {
    Buffer<A> buffer(std::move(allocation));
    const auto memory = buffer.reserve(copy_bytes);
    if (!memory) return memory.error();
    for (uint64_t end = align_down(storage.size(), sector_bits); end > 0;) {
        const auto length = static_cast<size_t>(end < copy_bytes ? end : copy_bytes);
        const uint64_t from = end - length;
        if (Status got = storage.read(from, memory->first(length)); !got) return got.error();
        for (size_t at = length; at > 0;) {
            at -= sector_size;
            const auto footer = load<Footer>(memory->subspan(at, sector_size));
            if (!has_cookie(footer) || !is_fixed(footer)) continue;
            if (footer.checksum.value() != checksum(footer)) continue;
            if (footer.current_size.value() != from + at) continue;
            Status cut = storage.resize(from + at + sizeof(Footer));
            if (cut) cut = storage.flush();
            return cut ? Result<bool>(true) : cut.error();
        }
        end = from;
    }
    return false;
}

template <WritableStorage S, Allocation A>
Status all(S& storage, A allocation) {
    Status done = reseal(storage);
    if (done) done = recover(storage, allocation);
    if (done) done = end_footer(storage, allocation);
    if (done) done = entries(storage, allocation);
    return done;
}

}  // namespace repairing

/// Repairs a closed image; calls `visit(const Problem&)` for what was wrong. A repair that succeeds
/// may leave what it could not help: see `after`. Blocks that lie nowhere become unallocated; of
/// two that overlap, one gets a copy. Leaks go by moving blocks; an image with corruptions keeps
/// them until those are repaired.
template <WritableStorage S, Allocation A, class Visit = NoVisitor>
Result<RepairReport> repair(S& storage, Repair what, A allocation, Visit visit = {}) {
    RepairReport report;
    auto before = check_image(storage, allocation, visit);
    if (!before && before.error().code == Errc::corrupt && what == Repair::all) {
        const auto found = repairing::find_fixed(storage, allocation);
        if (!found) return found.error();
        if (!*found) return before.error();
        visit(Problem{.what = "vhd: the footer of a fixed disk is not at the end"});
        before = check_image(storage, allocation, visit);
        if (before) ++before->corruptions;
    }
    if (!before) return before.error();
    report.before = *before;
    Status done;
    if (what == Repair::all && before->corruptions != 0) done = repairing::all(storage, allocation);
    if (!done) return done.error();
    auto now = check_image(storage, allocation);
    if (now && now->corruptions == 0 && now->leaks != 0) {
        const auto packed = compact(storage, allocation, Compaction::move_only);
        if (!packed) return packed.error();
        now = check_image(storage, allocation);
    }
    if (!now) return now.error();
    report.after = *now;
    return report;
}

}  // namespace vdisk::vhd
