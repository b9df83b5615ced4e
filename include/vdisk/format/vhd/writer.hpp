// SPDX-License-Identifier: BSL-1.0
// Writes a VHD image. New blocks go behind the footer, with a new footer behind them: none is ever
// overwritten, so that there is one at the end of the file at all times, and a cut loses space.
#pragma once

#include <vdisk/format/vhd/blocks.hpp>
#include <vdisk/format/vhd/image.hpp>
#include <vdisk/metadata/staged.hpp>

namespace vdisk::vhd {

/// `T` is how tables are written; tests plant faults there.
template <WritableStorage S, Allocation A, class T = StagedMetadata<S, A>>
class Writer : public Image<S, A, T> {
    using Base = Image<S, A, T>;

public:
    /// Opens an image to read and write. Refused: one whose footers are not both there and alike
    /// (`recover` makes them so), with a wrong checksum, with blocks that overlap, or that a
    /// suspended machine counts on. Looks at the whole block allocation table.
    static Result<Writer> open(S storage, OpenOptions options = {}, A allocation = A{}) {
        auto base = Base::open(std::move(storage), options, allocation);
        if (!base) return base.error();
        if (Status writable = check_writable(base->file(), base->layout()); !writable) {
            return writable.error();
        }
        Result<Writer> writer(std::in_place, *std::move(base));
        if (layout_of(*writer).is_fixed()) return writer;
        const Status apart = writer->check_blocks(std::move(allocation));
        if (!apart) writer = apart.error();
        return writer;
    }

    using Base::layout;
    using Base::storage;
    [[nodiscard]] S& storage() { return this->tables().storage(); }

    /// Sectors that are stored are overwritten in place, others get their place in their block. A
    /// block that is not there is made and linked at once, one per call: it shows what was there
    /// before, zeros or, with no sector claimed yet, the parent.
    Result<Placement> place(uint64_t at, uint64_t length) {
        auto run = this->lookup(at, length);
        if (!run) return run.error();
        const bool is_new = run->kind == Kind::absent && run->at == 0;
        if (is_new) {
            if (Status made = make_block(at); !made) return made.error();
            run = this->lookup(at, length);
            if (!run) return run.error();
        }
        if (run->kind == Kind::data) return Placement{.at = run->at, .length = run->length};
        const uint64_t head = at & (sector_size - 1);
        const uint64_t end = blocks(head + run->length, sector_bits) << sector_bits;
        return Placement{.at = run->at,
                         .length = run->length,
                         .head = head,
                         .tail = end - head - run->length,
                         .fresh = true,
                         .blank = is_new};
    }

    /// Claims the sectors of a fresh placement in the sector bitmap.
    Status commit(uint64_t at, const Placement& placement) {
        this->tables().wrote_data();
        if (!placement.fresh) return {};
        const uint64_t skip = at & (layout().block_size() - 1);
        const uint64_t block = placement.at - skip - layout().bitmap_bytes();
        const uint64_t first = (skip - placement.head) >> sector_bits;
        const uint64_t sectors = blocks(placement.head + placement.length, sector_bits);
        return set_bits(block, first, sectors);
    }

    [[nodiscard]] uint64_t block_size() const { return sector_size; }

    /// Needs no space for what is zeros already; makes holes where the storage can. As
    /// ErasableImage says.
    Result<uint64_t> zero(uint64_t at, uint64_t length) {
        const auto run = this->lookup(at, length);
        if (!run) return run.error();
        if (run->kind == Kind::zero) return run->length;
        if (run->kind == Kind::absent) return zero_absent(at, *run);
        return punch(*run);
    }

    /// Makes holes in what is stored; the sectors stay those of this image, and read as zeros.
    Result<uint64_t> discard(uint64_t at, uint64_t length) {
        const auto run = this->lookup(at, length);
        if (!run) return run.error();
        if (run->kind == Kind::data) {
            if (const auto punched = punch(*run); !punched) return punched;
        }
        return run->length;
    }

    /// Unlinks whole blocks. Their space is not used again before the image is compacted.
    Result<uint64_t> drop(uint64_t at, uint64_t length) {
        if (layout().is_fixed()) return unsupported("vhd: a fixed disk holds all it has");
        if (!fits(at, length, layout().size)) return invalid("vhd: drop past the end of the disk");
        const uint64_t size = layout().block_size();
        const uint64_t end = at + length == layout().size
                                 ? at + length
                                 : align_down(at + length, layout().block_bits);
        const uint64_t first = blocks(at, layout().block_bits) << layout().block_bits;
        for (uint64_t block = first; block < end; block += size) {
            const auto entry = this->tables().be32(this->entry_at(block));
            if (!entry) return entry.error();
            if (*entry == unallocated) continue;
            Status put = forget_full();
            if (put) put = this->tables().put_be32(this->entry_at(block), unallocated, Stage::link);
            if (!put) return put.error();
        }
        return length;
    }

    Status flush() { return this->tables().flush(); }

private:
    friend Result<Writer>;

    // XenServer's map says nothing of a block that goes.
    Status forget_full() {
        if (!batmap::may_be_there(layout())) return {};
        const auto areas = load_areas(this->file(), layout());
        return areas ? clear_batmap(storage(), layout(), *areas) : Status(areas.error());
    }

    explicit Writer(Base&& base) : Base(std::move(base)) {}

    static const Layout& layout_of(const Base& base) { return base.layout(); }

    [[gnu::noinline]] Status check_blocks(A allocation) {
        const auto areas = load_areas(this->file(), layout());
        if (!areas) return areas.error();
        if (areas->outside) {
            return corrupt("vhd: a parent locator or a map ends past the end of the file");
        }
        const auto map = map_blocks(this->tables(), layout(), *areas, std::move(allocation));
        return map ? Status{} : Status(map.error());
    }

    // The file grows by a block and a footer behind it, which is durable before the block is
    // linked. A base image has the whole block at once: it is zeros, and all writes to it are in
    // place.
    Status make_block(uint64_t at) {
        const auto block = append();
        if (!block) return block.error();
        Status put = put_footer(*block + layout().stride());
        if (put && !layout().has_parent()) {
            put = set_bits(*block, 0, layout().block_size() >> sector_bits);
        }
        if (!put) return put;
        const auto sector = static_cast<uint32_t>(*block >> sector_bits);
        return this->tables().put_be32(this->entry_at(at), sector, Stage::link);
    }

    // A copy of that at the front.
    Status put_footer(uint64_t to) {
        std::array<byte, 64> piece;
        for (uint64_t at = 0; at < sizeof(Footer); at += piece.size()) {
            if (Status read = storage().read(at, piece); !read) return read;
            if (Status put = this->tables().put(to + at, piece, Stage::claim); !put) return put;
        }
        return {};
    }

    // Where a new block begins. The file reaches to the end of the footer behind it.
    Result<uint64_t> append() {
        const uint64_t block = aligned_block(layout(), storage().size());
        if (block >> sector_bits >= unallocated) {
            return fail(Errc::limit, "vhd: the file is too large for another block", {block});
        }
        const uint64_t end = block + layout().stride();
        if (Status grown = storage().resize(end + sizeof(Footer)); !grown) return grown.error();
        this->layout_mut().data_end = end;
        return block;
    }

    Status set_bits(uint64_t block, uint64_t first, uint64_t count) {
        while (count > 0) {
            std::array<byte, 64> bits;
            const uint64_t word = first >> 6;
            const uint64_t in_bits = first & 63;
            const uint64_t room = bits.size() * 8 - in_bits;
            const uint64_t n = count < room ? count : room;
            const auto bytes = static_cast<size_t>(blocks(in_bits + n, 6) * 8);
            const auto now = this->tables().entries(block + word * 8, bytes);
            if (!now) return now.error();
            // Bitmaps begin with a sector, so a piece of 64 bytes never ends at a page's edge.
            const MutBytes piece = MutBytes(bits).first(now->size());
            std::memcpy(piece.data(), now->data(), piece.size());
            const uint64_t taken = n < piece.size() * 8 - in_bits ? n : piece.size() * 8 - in_bits;
            vdisk::set_bits<BitOrder::msb_first>(piece, in_bits, taken);
            if (Status put = this->tables().put(block + word * 8, piece, Stage::link); !put) {
                return put;
            }
            first += taken;
            count -= taken;
        }
        return {};
    }

    // In a base image nothing is zeros. In a child they have to hide the parent: a whole block that
    // is not there is made of them, in all other cases they are written.
    Result<uint64_t> zero_absent(uint64_t at, const Extent& run) {
        if (!layout().has_parent()) return run.length;
        const uint64_t size = layout().block_size();
        const bool whole =
            (at & (size - 1)) == 0 && (run.length >= size || at + run.length == layout().size);
        if (run.at != 0 || !whole) return uint64_t{0};
        const auto placed = place(at, run.length < size ? run.length : size);
        if (!placed) return placed.error();
        if (Status linked = commit(at, *placed); !linked) return linked.error();
        return placed->length;
    }

    Result<uint64_t> punch(const Extent& run) {
        if constexpr (PunchStorage<S>) {
            const Status punched = storage().punch(run.at, run.length);
            if (punched) {
                this->tables().wrote_data();
                return run.length;
            }
            if (punched.error().code != Errc::unsupported) return punched.error();
        }
        return uint64_t{0};
    }
};

}  // namespace vdisk::vhd
