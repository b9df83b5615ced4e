// SPDX-License-Identifier: BSL-1.0
// Writes a VHDX image: where blocks come from, and what becomes of them.
#pragma once

#include <vdisk/format/vhdx/editor.hpp>

namespace vdisk::vhdx {

template <WritableStorage S, Allocation A, IdSource I, class T = LoggedTables<S, A>>
class Writer : public Editor<S, A, I, T> {
    using Base = Editor<S, A, I, T>;

public:
    using Base::layout;

    /// As Editor::open.
    static Result<Writer> open(S storage, OpenOptions options, A allocation, I ids) {
        return Base::template open_as<Writer>(std::move(storage), options, std::move(allocation),
                                              std::move(ids));
    }

    /// What is stored is overwritten in place; a block that is not there is made and linked at
    /// once, one per call: it shows zeros or, with no sector claimed yet, the parent.
    Result<Placement> place(uint64_t at, uint64_t length) {
        if (Status begun = this->begin_change(); !begun) return begun.error();
        auto run = this->lookup(at, length);
        if (!run) return run.error();
        if (run->kind != Kind::data) {
            // Not beyond the block: the next one may be in another chunk, with another bitmap.
            const uint64_t rest = layout().block_size() - (at & (layout().block_size() - 1));
            if (length > rest) length = rest;
            if (run->length > length) run->length = length;
        }
        if (run->at == 0) {
            if (Status made = make_block(at, run->kind); !made) return made.error();
            run = this->lookup(at, length);
            if (!run) return run.error();
        }
        if (run->kind == Kind::data) return Placement{.at = run->at, .length = run->length};
        const uint64_t sector = uint64_t{1} << layout().sector_bits;
        const uint64_t head = at & (sector - 1);
        const uint64_t end = blocks(head + run->length, layout().sector_bits)
                             << layout().sector_bits;
        return Placement{.at = run->at,
                         .length = run->length,
                         .head = head,
                         .tail = end - head - run->length,
                         .fresh = true};
    }

    /// Claims the sectors of a fresh placement in the sector bitmap.
    Status commit(uint64_t at, const Placement& placement) {
        this->tables().wrote_data();
        if (!placement.fresh) return {};
        const uint64_t number = at >> layout().block_bits;
        const auto bitmap = bitmap_of(number);
        if (!bitmap) return bitmap.error();
        const uint64_t skip = (at & (layout().block_size() - 1)) - placement.head;
        const uint64_t first = first_bit(number) + (skip >> layout().sector_bits);
        return set_bits(*bitmap, first,
                        blocks(placement.head + placement.length, layout().sector_bits));
    }

    [[nodiscard]] uint64_t block_size() const { return layout().block_size(); }

    /// Whole blocks become zeros without space. Blocks of a "fixed" image keep theirs.
    Result<uint64_t> zero(uint64_t at, uint64_t length) {
        if (layout().leaves_allocated && !layout().has_parent) return uint64_t{0};
        return give_up(at, length, State::zero);
    }

    /// As zero, of the whole blocks in the range, which become unmapped.
    Result<uint64_t> discard(uint64_t at, uint64_t length) {
        const uint64_t into = at & (layout().block_size() - 1);
        const uint64_t rest = layout().block_size() - into;
        const bool ends = at + length == layout().size;
        const bool whole = into == 0 && (length >= rest || ends);
        if (whole && (layout().has_parent || !layout().leaves_allocated)) {
            if (const auto done = give_up(at, length, State::unmapped); !done) return done;
        }
        return length < rest ? length : rest;
    }

    /// Whole blocks show the parent again.
    Result<uint64_t> drop(uint64_t at, uint64_t length) {
        if (layout().leaves_allocated && !layout().has_parent) {
            return unsupported("vhdx: a fixed image holds all it has");
        }
        if (Status begun = this->begin_change(); !begun) return begun.error();
        const uint64_t first = blocks(at, layout().block_bits);
        const uint64_t end = at + length == layout().size ? layout().payload_blocks()
                                                          : (at + length) >> layout().block_bits;
        for (uint64_t number = first; number < end; ++number) {
            const auto e = load_entry(this->tables(), layout(), number);
            if (!e) return e.error();
            if (Status put = this->put_entry(*e, 0); !put) return put.error();
        }
        return length;
    }

private:
    friend Result<Writer>;

    using Base::Base;

    // The block at `at` reads as zeros without a place. One that does already stays as it is.
    Result<uint64_t> give_up(uint64_t at, uint64_t length, State state) {
        const auto e = load_entry(this->tables(), layout(), at >> layout().block_bits);
        if (!e) return e.error();
        const State now = e->state();
        const bool is_zero = now == State::zero || now == state ||
                             (now == State::not_present && !layout().has_parent);
        if (!is_zero) {
            if (Status begun = this->begin_change(); !begun) return begun.error();
            const Status put = this->put_entry(*e, static_cast<uint64_t>(state));
            if (!put) return put.error();
        }
        return length < layout().block_size() ? length : layout().block_size();
    }

    // Number of the bit, in the bitmap of its chunk, of the first sector of a block.
    [[nodiscard]] uint64_t first_bit(uint64_t number) const {
        const uint64_t in_chunk = number & ((uint64_t{1} << layout().chunk_bits()) - 1);
        return in_chunk << (layout().block_bits - layout().sector_bits);
    }

    // A block for what `at` is in. Where it hides nothing, it is zeros and there in full; where the
    // parent shows through, no sector of it is claimed.
    Status make_block(uint64_t at, Kind before) {
        const uint64_t number = at >> layout().block_bits;
        const bool partial = before == Kind::absent && layout().has_parent;
        if (Status room = this->tables().reserve(4); !room) return room;
        if (partial) {
            if (Status clear = clear_bits(number); !clear) return clear;
        }
        const auto home =
            partial ? room_for(layout().block_size()) : this->allocate_zeros(layout().block_size());
        if (!home) return home.error();
        const auto e = load_entry(this->tables(), layout(), number);
        if (!e) return e.error();
        const auto state = partial ? State::partially_present : State::fully_present;
        return this->put_entry(*e, *home | static_cast<uint64_t>(state));
    }

    // For a block of which no sector is claimed.
    Result<uint64_t> room_for(uint64_t length) {
        const auto room = this->allocate(length);
        return room ? Result<uint64_t>(room->at) : room.error();
    }

    Result<uint64_t> bitmap_of(uint64_t number) {
        const auto e = load_bitmap_entry(this->tables(), layout(), number);
        if (!e) return e.error();
        if (e->state() != State::fully_present) return uint64_t{0};
        return this->place_of(e->value, e->at, mib);
    }

    // What a bitmap says of a block that was not partially present means nothing.
    Status clear_bits(uint64_t number) {
        const auto bitmap = bitmap_of(number);
        if (!bitmap) return bitmap.error();
        if (*bitmap == 0) {
            const auto fresh = this->allocate_zeros(mib);
            if (!fresh) return fresh.error();
            return this->tables().put_le64(layout().bitmap_entry_at(number),
                                           *fresh | static_cast<uint64_t>(State::fully_present));
        }
        const uint64_t bytes = layout().block_size() >> layout().sector_bits >> 3;
        const uint64_t from = *bitmap + (first_bit(number) >> 3);
        constexpr std::array<byte, 256> zeros{};
        const Bytes piece(zeros.data(),
                          bytes < zeros.size() ? static_cast<size_t>(bytes) : zeros.size());
        for (uint64_t done = 0; done < bytes; done += piece.size()) {
            if (Status put = this->tables().put(from + done, piece); !put) return put;
        }
        return {};
    }

    Status set_bits(uint64_t bitmap, uint64_t first, uint64_t count) {
        while (count > 0) {
            std::array<byte, 64> bits;
            const uint64_t word = first >> 6, in_word = first & 63;
            const uint64_t at = bitmap + word * 8;
            const uint64_t in_sector = (log_sector - (at & (log_sector - 1))) * 8;
            uint64_t room = bits.size() * 8 < in_sector ? bits.size() * 8 : in_sector;
            room -= in_word;
            const uint64_t n = count < room ? count : room;
            const auto bytes = static_cast<size_t>(blocks(in_word + n, 6) * 8);
            const auto now = this->tables().entries(at, bytes);
            if (!now) return now.error();
            const MutBytes piece = MutBytes(bits).first(now->size());
            std::memcpy(piece.data(), now->data(), piece.size());
            const uint64_t taken = n < piece.size() * 8 - in_word ? n : piece.size() * 8 - in_word;
            vdisk::set_bits<BitOrder::lsb_first>(piece, in_word, taken);
            if (Status put = this->tables().put(at, piece); !put) return put;
            first += taken;
            count -= taken;
        }
        return {};
    }
};

}  // namespace vdisk::vhdx
