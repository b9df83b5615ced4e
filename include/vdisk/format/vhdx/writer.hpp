// SPDX-License-Identifier: BSL-1.0
// Writes a VHDX image. New blocks go to the end of the file, at whole MiB; all tables change
// through the log.
#pragma once

#include <vdisk/format/vhdx/image.hpp>
#include <vdisk/format/vhdx/logged.hpp>

namespace vdisk::vhdx {

template <WritableStorage S, Allocation A, IdSource I, class T = LoggedTables<S, A>>
class Writer : public Image<S, A, T> {
    using Base = Image<S, A, T>;

public:
    /// Opens an image to read and write. Refused: one whose log was not replayed (`replay` does
    /// it). The file is made whole MiB. Nothing else is written before the first change.
    static Result<Writer> open(S storage, OpenOptions options, A allocation, I ids) {
        auto base = Base::open(std::move(storage), options, std::move(allocation));
        if (!base) return base.error();
        const auto header = find_header(base->file());
        if (!header) return header.error();
        Writer writer(*std::move(base), std::move(ids));
        writer.tables().use(*header, writer.layout().log);
        const uint64_t size = writer.storage().size();
        const uint64_t whole = blocks(size, mib_bits) << mib_bits;
        if (whole != size) {
            if (Status grown = writer.storage().resize(whole); !grown) return grown.error();
        }
        return writer;
    }

    Writer(Writer&& other) noexcept
        : Base(std::move(other)),
          ids_(std::move(other.ids_)),
          open_(std::exchange(other.open_, false)) {}
    Writer& operator=(Writer&& other) noexcept {
        if (this == &other) return *this;
        if (open_) static_cast<void>(close());
        Base::operator=(std::move(other));
        ids_ = std::move(other.ids_);
        open_ = std::exchange(other.open_, false);
        return *this;
    }
    /// Closes the image as `close` does, as far as that goes; what fails is found at the next open.
    ~Writer() {
        if (open_) static_cast<void>(close());
    }

    [[nodiscard]] S& storage() { return this->tables().storage(); }
    [[nodiscard]] const S& storage() const { return this->tables().storage(); }
    /// Changes with the first write.
    [[nodiscard]] Guid identity() const {
        return this->tables().is_started() ? this->tables().data_write_guid() : Base::identity();
    }

    /// What is stored is overwritten in place; a block that is not there is made and linked at
    /// once, one per call: it shows zeros or, with no sector claimed yet, the parent.
    Result<Placement> place(uint64_t at, uint64_t length) {
        if (Status started = this->tables().start(ids_); !started) return started.error();
        auto run = this->lookup(at, length);
        if (!run) return run.error();
        const bool is_new = run->at == 0;
        if (is_new) {
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
                         .fresh = true,
                         .blank = is_new};
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
        if (Status started = this->tables().start(ids_); !started) return started.error();
        const uint64_t entry_at = layout().entry_at(at >> layout().block_bits);
        const auto e = this->tables().le64(entry_at);
        if (!e) return e.error();
        const auto state = static_cast<State>(*e & entry::state_mask);
        const bool is_zero =
            state == State::zero || (state == State::not_present && !layout().has_parent);
        if (!is_zero) {
            const Status put =
                this->tables().put_le64(entry_at, static_cast<uint64_t>(State::zero));
            if (!put) return put.error();
        }
        return length < layout().block_size() ? length : layout().block_size();
    }

    /// As zero, of the whole blocks in the range.
    Result<uint64_t> discard(uint64_t at, uint64_t length) {
        const uint64_t into = at & (layout().block_size() - 1);
        const uint64_t rest = layout().block_size() - into;
        const bool ends = at + length == layout().size;
        const bool whole = into == 0 && (length >= rest || ends);
        if (whole) {
            if (const auto done = zero(at, length); !done) return done;
        }
        return length < rest ? length : rest;
    }

    /// Whole blocks show the parent again.
    Result<uint64_t> drop(uint64_t at, uint64_t length) {
        if (layout().leaves_allocated) return unsupported("vhdx: a fixed image holds all it has");
        if (Status started = this->tables().start(ids_); !started) return started.error();
        const uint64_t first = blocks(at, layout().block_bits);
        const uint64_t end = at + length == layout().size ? layout().payload_blocks()
                                                          : (at + length) >> layout().block_bits;
        for (uint64_t number = first; number < end; ++number) {
            const uint64_t entry_at = layout().entry_at(number);
            const auto e = this->tables().le64(entry_at);
            if (!e) return e.error();
            if (*e == 0) continue;
            if (Status put = this->tables().put_le64(entry_at, 0); !put) return put.error();
        }
        return length;
    }

    /// Everything written is durable, in place or in the log.
    Status flush() { return this->tables().flush(); }

    /// Everything is in its place and the log is empty: others open the image as it is. Writing may
    /// go on, and then needs another close.
    Status close() { return this->tables().finish(); }

private:
    Writer(Base base, I ids) : Base(std::move(base)), ids_(std::move(ids)) {}

    using Base::layout;

    // Number of the bit, in the bitmap of its chunk, of the first sector of a block.
    [[nodiscard]] uint64_t first_bit(uint64_t number) const {
        const uint64_t in_chunk = number & ((uint64_t{1} << layout().chunk_bits()) - 1);
        return in_chunk << (layout().block_bits - layout().sector_bits);
    }

    Result<uint64_t> append(uint64_t length) {
        const uint64_t at = blocks(storage().size(), mib_bits) << mib_bits;
        if (at >> 62 != 0) return fail(Errc::limit, "vhdx: the file is too large", {at});
        if (Status grown = storage().resize(at + length); !grown) return grown.error();
        this->tables().wrote_data();  // the new size has to be durable, too
        return at;
    }

    // A block of zeros at the end of the file. Where it hides nothing, it is there in full; where
    // the parent shows through, no sector of it is claimed.
    Status make_block(uint64_t at, Kind before) {
        const uint64_t number = at >> layout().block_bits;
        const bool partial = before == Kind::absent && layout().has_parent;
        if (Status room = this->tables().reserve(4); !room) return room;
        if (partial) {
            if (Status clear = clear_bits(number); !clear) return clear;
        }
        const auto home = append(layout().block_size());
        if (!home) return home.error();
        const auto state = partial ? State::partially_present : State::fully_present;
        return this->tables().put_le64(layout().entry_at(number),
                                       *home | static_cast<uint64_t>(state));
    }

    Result<uint64_t> bitmap_of(uint64_t number) {
        const uint64_t entry_at = layout().bitmap_entry_at(number);
        const auto e = this->tables().le64(entry_at);
        if (!e) return e.error();
        if (static_cast<State>(*e & entry::state_mask) != State::fully_present) return uint64_t{0};
        return this->place_of(*e, entry_at, mib);
    }

    // What a bitmap says of a block that was not partially present means nothing.
    Status clear_bits(uint64_t number) {
        const auto bitmap = bitmap_of(number);
        if (!bitmap) return bitmap.error();
        if (*bitmap == 0) {
            const auto fresh = append(mib);
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

    I ids_;
    bool open_ = true;
};

}  // namespace vdisk::vhdx
