// SPDX-License-Identifier: BSL-1.0
// An image that is changed: its session of the file, and the space that is free in it. What the
// writer and the operations on whole images share.
#pragma once

#include <vdisk/format/vhdx/image.hpp>
#include <vdisk/format/vhdx/logged.hpp>
#include <vdisk/format/vhdx/space.hpp>
#include <vdisk/storage/zeros.hpp>

namespace vdisk::vhdx {

template <WritableStorage S, Allocation A, IdSource I, class T = LoggedTables<S, A>>
class Editor : public Image<S, A, T> {
    using Base = Image<S, A, T>;

public:
    /// Opens an image to read and write. Refused: one whose log was not replayed (`replay` does
    /// it). Nothing is written before the first change.
    static Result<Editor> open(S storage, OpenOptions options, A allocation, I ids) {
        return open_as<Editor>(std::move(storage), options, std::move(allocation), std::move(ids));
    }

    Editor(Editor&& other) noexcept
        : Base(std::move(other)),
          allocation_(other.allocation_),
          space_(std::move(other.space_)),
          ids_(std::move(other.ids_)),
          is_mapped_(other.is_mapped_),
          open_(std::exchange(other.open_, false)) {}
    Editor& operator=(Editor&& other) noexcept {
        if (this == &other) return *this;
        if (open_) static_cast<void>(close());
        Base::operator=(std::move(other));
        allocation_ = other.allocation_;
        space_ = std::move(other.space_);
        ids_ = std::move(other.ids_);
        is_mapped_ = other.is_mapped_;
        open_ = std::exchange(other.open_, false);
        return *this;
    }
    /// Closes the image as `close` does, as far as that goes; what fails is found at the next open.
    ~Editor() {
        if (open_) static_cast<void>(close());
    }

    using Base::layout;
    using Base::layout_mut;
    using Base::tables;
    [[nodiscard]] S& storage() { return tables().storage(); }
    [[nodiscard]] const S& storage() const { return tables().storage(); }
    [[nodiscard]] Space<A>& space() { return space_; }

    /// Changes with the first change that a reader of the disk sees.
    [[nodiscard]] Guid identity() const {
        return tables().is_another() ? tables().data_write_guid() : Base::identity();
    }

    /// Before a change that no reader of the disk sees, such as moving a block. Reads the BAT the
    /// first time: an image with a block that cannot be is refused. The file is made whole MiB.
    Status begin() {
        if (Status mapped = map(); !mapped) return mapped;
        return tables().start(ids_);
    }
    /// As begin, before a change that is seen: the disk gets another `identity`.
    Status begin_change() {
        if (tables().is_another()) [[likely]]
            return {};
        return begin_change_to(ids_());
    }
    /// As begin_change, with a given identity, which a child may know already.
    Status begin_change_to(const Guid& identity) {
        if (Status mapped = map(); !mapped) return mapped;
        return tables().start_as(identity, ids_);
    }

    /// Nothing is asked of the BAT before the first change: for repairs. New blocks go to the end
    /// of the file, which nothing may reach beyond.
    Status trust() {
        is_mapped_ = true;
        const uint64_t size = storage().size(), whole = blocks(size, mib_bits) << mib_bits;
        return whole == size ? Status{} : storage().resize(whole);
    }

    /// Everything written is durable, in place or in the log.
    Status flush() {
        if (Status flushed = tables().flush(); !flushed) return flushed;
        settle();
        return {};
    }

    /// Everything is in its place and the log is empty: others open the image as it is. Writing may
    /// go on, and then needs another close.
    Status close() { return tables().finish(); }

    /// Space for a block, out of what is free or at the end of the file.
    struct Room {
        uint64_t at = 0;
        bool is_zero = false;  ///< it reads as zeros; otherwise nobody knows what is there
    };
    Result<Room> allocate(uint64_t length) {
        settle();
        const uint64_t free = space_.find(length, storage().size());
        if (free != space_.none) {
            space_.take(free, length);
            tables().forget(free, length);
            return Room{free, false};
        }
        const uint64_t at = storage().size();
        if (at >> 62 != 0) return fail(Errc::limit, "vhdx: the file is too large", {at});
        if (Status grown = storage().resize(at + length); !grown) return grown.error();
        space_.take(at, length);
        tables().wrote_data();  // the new size has to be durable, too
        return Room{at, true};
    }
    /// As allocate, and makes it zeros.
    Result<uint64_t> allocate_zeros(uint64_t length) {
        const auto room = allocate(length);
        if (!room) return room.error();
        if (room->is_zero) return room->at;
        const Status done = write_zeros(room->at, length);
        return done ? Result<uint64_t>(room->at) : done.error();
    }
    Status write_zeros(uint64_t at, uint64_t length) {
        tables().wrote_data();
        tables().forget(at, length);
        return make_zeros(storage(), at, length);
    }

    /// Copies bytes inside the file; the ranges do not overlap.
    Status copy(uint64_t from, uint64_t to, uint64_t length) {
        Buffer<A> buffer(allocation_);
        auto memory = buffer.reserve(copy_bytes);
        if (!memory) return memory.error();
        tables().wrote_data();
        tables().forget(to, length);
        while (length > 0) {
            const MutBytes piece =
                memory->first(length < copy_bytes ? static_cast<size_t>(length) : copy_bytes);
            if (Status got = storage().read(from, piece); !got) return got;
            if (Status put = storage().write(to, piece); !put) return put;
            from += piece.size();
            to += piece.size();
            length -= piece.size();
        }
        return {};
    }

    /// Changes an entry of the BAT. The place it had is free once that is durable.
    Status put_entry(const BatEntry& old, uint64_t value) {
        if (old.value == value) return {};
        if (Status put = tables().put_le64(old.at, value); !put) return put;
        const BatEntry now{value, old.at, old.number, old.is_bitmap};
        const bool keeps = now.has_place() && now.place() == old.place();
        if (!old.has_place() || keeps) return {};
        settle();
        space_.give_later(old.place(), length_of(layout(), old), tables().generation());
        return {};
    }

protected:
    /// `E` is an Editor, made where it is to be: small machines have it on their stack once.
    template <class E>
    static Result<E> open_as(S storage, OpenOptions options, A allocation, I ids) {
        auto base = Base::open(std::move(storage), options, allocation);
        if (!base) return base.error();
        const auto header = find_header(base->file());
        if (!header) return header.error();
        const Log log = base->layout().log;
        Result<E> editor(std::in_place, *std::move(base), std::move(allocation), std::move(ids));
        static_cast<Editor&>(*editor).tables().use(*header, log);
        return editor;
    }

    Editor(Base&& base, A allocation, I ids)
        : Base(std::move(base)),
          allocation_(allocation),
          space_(std::move(allocation)),
          ids_(std::move(ids)) {}

private:
    friend Result<Editor>;

    static constexpr size_t copy_bytes = 65536;

    // What was given up is free; the medium gets it back until it is used again.
    void settle() {
        space_.settle(tables().generation(),
                      [this](uint64_t at, uint64_t length) { punch(at, length); });
    }

    bool punch(uint64_t at, uint64_t length) {
        if constexpr (PunchStorage<S>)
            return fits(at, length, storage().size()) && storage().punch(at, length);
        else return false;
    }

    // The largest file of a disk that is written all over, without what is not known.
    [[nodiscard]] uint64_t full_size() const {
        const uint64_t chunks = blocks(layout().payload_blocks(), layout().chunk_bits());
        return storage().size() + (layout().payload_blocks() << layout().block_bits) +
               (chunks << mib_bits);
    }

    Status map() {
        if (is_mapped_) [[likely]]
            return {};
        // Without a map new blocks go to the end.
        const Status covered = space_.cover(full_size());
        if (!covered && covered.error().code != Errc::no_memory &&
            covered.error().code != Errc::limit) {
            return covered;
        }
        const uint64_t size = storage().size();
        const auto refuse = [](const BatEntry&, const Error& error) { return Status(error); };
        const auto end = mark_used(storage(), tables(), layout(), size, space_, refuse);
        if (!end) return end.error();
        // A last block that was cut short gets the rest of its room.
        uint64_t whole = blocks(size, mib_bits) << mib_bits;
        if (*end > whole) whole = *end;
        if (whole != size) {
            if (Status grown = storage().resize(whole); !grown) return grown;
        }
        is_mapped_ = true;
        return {};
    }

    [[no_unique_address]] A allocation_;
    Space<A> space_;
    I ids_;
    bool is_mapped_ = false;
    bool open_ = true;
};

}  // namespace vdisk::vhdx
