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
        Writer writer(*std::move(base));
        if (layout_of(writer).is_fixed()) return writer;
        if (Status apart = writer.check_blocks(std::move(allocation)); !apart) return apart.error();
        return writer;
    }

    using Base::storage;
    [[nodiscard]] S& storage() { return this->tables().storage(); }

    /// Sectors that are stored are overwritten in place, others get their place in their block; a
    /// block that is not there is made, one per call.
    Result<Placement> place(uint64_t at, uint64_t length) {
        const auto run = this->lookup(at, length);
        if (!run) return run.error();
        if (run->kind == Kind::data) return Placement{.at = run->at, .length = run->length};
        const uint64_t skip = at & (layout().block_size() - 1);
        const uint64_t rest = layout().block_size() - skip;
        uint64_t home = run->at;
        const bool is_new = home == 0;
        if (is_new) {
            const auto block = append();
            if (!block) return block.error();
            home = *block + layout().bitmap_bytes() + skip;
        }
        if (length > run->length) length = run->length;
        if (length > rest) length = rest;
        const uint64_t head = at & (sector_size - 1);
        const uint64_t end = blocks(head + length, sector_bits) << sector_bits;
        return Placement{.at = home,
                         .length = length,
                         .head = head,
                         .tail = end - head - length,
                         .fresh = true,
                         .blank = is_new};
    }

    /// Claims the sectors of a fresh placement in the sector bitmap, and links a new block.
    Status commit(uint64_t at, const Placement& placement) {
        this->tables().wrote_data();
        if (!placement.fresh) return {};
        const uint64_t entry_at = this->entry_at(at);
        const auto entry = this->tables().be32(entry_at);
        if (!entry) return entry.error();
        const uint64_t skip = at & (layout().block_size() - 1);
        const uint64_t block = placement.at - skip - layout().bitmap_bytes();
        const bool is_new = *entry == unallocated;
        if (is_new) {
            if (Status claimed = claim(block); !claimed) return claimed;
        }
        // A base image has the whole block at once: it is zeros, and later writes are in place.
        const bool all = is_new && !layout().has_parent();
        const uint64_t first = all ? 0 : (skip - placement.head) >> sector_bits;
        const uint64_t sectors = all ? layout().block_size() >> sector_bits
                                     : blocks(placement.head + placement.length, sector_bits);
        if (Status set = set_bits(block, first, sectors); !set) return set;
        if (!is_new) return {};
        // A bitmap that is late shows what was there before: it needs no stage before the entry.
        const auto sector = static_cast<uint32_t>(block >> sector_bits);
        return this->tables().put_be32(entry_at, sector, Stage::link);
    }

    /// Takes back the space of a block that could not be filled.
    void cancel(uint64_t at, const Placement& placement) {
        if (!placement.fresh || !placement.blank) return;
        const uint64_t skip = at & (layout().block_size() - 1);
        const uint64_t block = placement.at - skip - layout().bitmap_bytes();
        const uint64_t end = block + layout().stride() + sizeof(Footer);
        if (storage().size() != end || end_before_ == 0) return;
        if (storage().resize(end_before_)) this->layout_mut().data_end = end_before_ - 512;
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
        const uint64_t size = layout().block_size();
        const uint64_t end = at + length == layout().size
                                 ? at + length
                                 : align_down(at + length, layout().block_bits);
        const uint64_t first = blocks(at, layout().block_bits) << layout().block_bits;
        for (uint64_t block = first; block < end; block += size) {
            const auto entry = this->tables().be32(this->entry_at(block));
            if (!entry) return entry.error();
            if (*entry == unallocated) continue;
            const Status put =
                this->tables().put_be32(this->entry_at(block), unallocated, Stage::link);
            if (!put) return put.error();
        }
        return length;
    }

    Status flush() { return this->tables().flush(); }

private:
    explicit Writer(Base base) : Base(std::move(base)) {}

    using Base::layout;
    static const Layout& layout_of(const Base& base) { return base.layout(); }

    Status check_blocks(A allocation) {
        auto map = BlockMap<A>::make(layout(), layout().data_end, std::move(allocation));
        if (!map) return map.error();
        const auto areas = load_areas(this->file(), layout());
        if (!areas) return areas.error();
        return each_block(this->tables(), layout(),
                          [&](uint32_t number, uint32_t entry, uint64_t at) -> Status {
                              if (Status sound = areas->check(layout(), entry, at); !sound)
                                  return sound;
                              if (map->add(number, entry) != map->nobody) {
                                  return corrupt("vhd: two blocks overlap", {entry, at});
                              }
                              return {};
                          });
    }

    // Where a new block begins, so that its contents begin at a multiple of 4096. The file reaches
    // to the end of the footer behind it.
    Result<uint64_t> append() {
        const uint64_t block = aligned_block(layout(), storage().size());
        if (block >> sector_bits >= unallocated) {
            return fail(Errc::limit, "vhd: the file is too large for another block", {block});
        }
        const uint64_t before = storage().size();
        const uint64_t end = block + layout().stride();
        if (Status grown = storage().resize(end + sizeof(Footer)); !grown) return grown.error();
        end_before_ = before;
        this->layout_mut().data_end = end;
        return block;
    }

    // Before a new block is linked there is a footer behind it.
    Status claim(uint64_t block) {
        end_before_ = 0;
        std::array<byte, sizeof(Footer)> footer;
        if (Status read = storage().read(0, footer); !read) return read;
        return this->tables().put(block + layout().stride(), footer, Stage::claim);
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

    uint64_t end_before_ = 0;  ///< of the file, before the block that is being made; else 0
};

}  // namespace vdisk::vhd
