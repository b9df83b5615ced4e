// SPDX-License-Identifier: BSL-1.0
// Tables that change through the log: changed sectors wait in memory, and all of them come to the
// file in one entry, or none.
#pragma once

#include <vdisk/format/vhdx/session.hpp>
#include <vdisk/metadata/metadata.hpp>

namespace vdisk::vhdx {

/// As StagedMetadata, for VHDX. One thread at a time. Call `start` before the first change.
template <WritableStorage S, Allocation A>
class LoggedTables {
public:
    static constexpr bool in_place = false;

    static Result<LoggedTables> make(S storage, CacheShape shape, A allocation) {
        auto base = Paged::make(Unviewed{std::move(storage)}, shape, allocation);
        if (!base) return base.error();
        const size_t frames = size_t{1} << shape.count_bits;
        const size_t most = frames < max_entry_sectors ? frames : max_entry_sectors;
        LogEntry<A> entry(std::move(allocation));
        if (Status room = entry.reserve(most > 4 ? most : 4); !room) return room.error();
        return Result<LoggedTables>(std::in_place, *std::move(base), std::move(entry));
    }

    [[nodiscard]] const S& storage() const { return base_.storage(); }
    [[nodiscard]] S& storage() { return base_.storage(); }

    /// The file as it is on the medium: what was found when it was opened.
    void use(const FoundHeader& header, const Log& log) {
        header_ = header;
        writer_ = LogWriter(log);
    }

    /// Begins the session, once: a new file_write_guid in the headers, and a log whose first entry
    /// says nothing, so that a header never names a log without one.
    template <IdSource I>
    Status start(I& ids) {
        if (started_) return {};
        if (writer_.log().length == 0)
            return unsupported("vhdx: an image without a log is not written");
        if (Status grows = check_number(header_); !grows) return grows;
        if (!is_named_) {
            header_.header.file_write_guid = ids();
            writer_.begin(ids(), header_.header.sequence_number.value());
            // From here on a header may name this log, whatever fails.
            is_named_ = true;
        }
        header_.header.log_guid = writer_.log().guid;
        if (Status durable = storage().flush(); !durable) return durable;
        Status put = writer_.put(storage(), entry_, storage().size());
        if (put) put = storage().flush();
        if (put) put = put_header(storage(), header_, entry_.scratch());
        if (put) started_ = true;
        return put;
    }

    /// As start, before the first change that a reader of the disk sees: the disk becomes another,
    /// which is known as `identity`.
    template <IdSource I>
    Status start_as(const Guid& identity, I& ids) {
        if (is_another_ && data_write_guid() == identity) return {};
        header_.header.data_write_guid = identity;
        const Status put = started_ ? put_header(storage(), header_, entry_.scratch()) : start(ids);
        if (put) is_another_ = true;
        return put;
    }

    /// Whether the disk has become another since the session began.
    [[nodiscard]] bool is_another() const { return is_another_; }
    [[nodiscard]] Guid data_write_guid() const { return header_.header.data_write_guid; }

    /// As Metadata::entries; sees changes that are not flushed yet.
    Result<Bytes> entries(uint64_t at, uint64_t length) const {
        const uint64_t rest = log_sector - (at & (log_sector - 1));
        if (length > rest) length = rest;
        const auto skip = static_cast<size_t>(at & (log_sector - 1));
        const size_t index = entry_.find(at - skip);
        if (index == entry_.count()) return base_.entries(at, length);
        return Bytes(entry_.sector(index)).subspan(skip, static_cast<size_t>(length));
    }
    Result<uint64_t> le64(uint64_t at) const {
        const auto bytes = entries(at, 8);
        if (!bytes) return bytes.error();
        return load_le64(bytes->data());
    }

    /// Makes sure that the next `count` sectors to be changed come to the file in one entry, with
    /// those that wait.
    Status reserve(size_t count) {
        if (count > entry_.capacity())
            return fail(Errc::no_memory, "vhdx: table cache is too small");
        return entry_.count() + count <= entry_.capacity() ? Status{} : write_back();
    }

    /// Changes table bytes, which must lie inside the file; those in several sectors come to it in
    /// one entry.
    Status put(uint64_t at, Bytes in) {
        if (!fits(at, in.size(), storage().size())) return invalid("metadata: write past the end");
        const uint64_t sectors = blocks((at & (log_sector - 1)) + in.size(), log_sector_bits);
        if (sectors > 1) {
            if (Status room = reserve(static_cast<size_t>(sectors)); !room) return room;
        }
        while (!in.empty()) {
            const auto skip = static_cast<size_t>(at & (log_sector - 1));
            const size_t rest = static_cast<size_t>(log_sector) - skip;
            const Bytes piece = in.first(rest < in.size() ? rest : in.size());
            const auto index = change(at - skip, piece.size() == log_sector);
            if (!index) return index.error();
            std::memcpy(entry_.sector(*index).data() + skip, piece.data(), piece.size());
            at += piece.size();
            in = in.subspan(piece.size());
        }
        return {};
    }
    Status put_le64(uint64_t at, uint64_t value) {
        std::array<byte, 8> bytes{};
        store_le64(bytes.data(), value);
        return put(at, bytes);
    }

    /// What was read of this range, before it was a table or after, is read again.
    void forget(uint64_t at, uint64_t length) { base_.forget(at, length); }

    /// Guest data was written to the storage since the last flush.
    void wrote_data() { pending_ = true; }

    /// When it succeeds, all data and all changes are durable: in place, or in the log.
    Status flush() {
        if (Status written = write_back(); !written) return written;
        return barrier();
    }

    /// Ends the session: everything is in its place, and the log is empty.
    Status finish() {
        if (!started_) return {};
        if (Status flushed = flush(); !flushed) return flushed;
        header_.header.log_guid = Guid{};
        started_ = false;
        const Status put = put_header(storage(), header_, entry_.scratch());
        if (put) is_named_ = is_another_ = false;
        return put;
    }

    /// Cuts the end of the file off, behind `size`, whole MiB: the log says so first.
    Status shrink(uint64_t size) {
        if (Status flushed = flush(); !flushed) return flushed;
        Status done = writer_.put(storage(), entry_, size);
        if (done) done = storage().flush();
        if (done) done = storage().resize(size);
        return done ? storage().flush() : done;
    }

    /// Grows whenever changes become durable. A change made now is durable once it has grown.
    [[nodiscard]] uint64_t generation() const { return generation_; }

private:
    /// A storage whose bytes are not lent: what is read is a copy that changes.
    struct Unviewed : S {
        using S::S;
        explicit Unviewed(S storage) : S(std::move(storage)) {}
        Result<Bytes> view(uint64_t, uint64_t) const = delete;
    };
    using Paged = Metadata<Unviewed, A>;
    friend Result<LoggedTables>;

    LoggedTables(Paged base, LogEntry<A> entry)
        : base_(std::move(base)), entry_(std::move(entry)) {}

    // Of one that is `whole` what it was does not matter: with room for it nothing can fail.
    Result<size_t> change(uint64_t at, bool whole) {
        const size_t known = entry_.find(at);
        if (known < entry_.count()) return known;
        if (Status room = reserve(1); !room) return room.error();
        const size_t index = entry_.count();
        if (!whole) {
            const Status got = storage().read(at, entry_.sector(index));
            if (!got) return got.error();
        }
        entry_.add(at);
        return index;
    }

    // The changes that wait: data before them, the log, then their places. These are durable at the
    // latest before the next entry takes the place of this one.
    Status write_back() {
        if (entry_.count() == 0) return {};
        if (Status durable = barrier(); !durable) return durable;
        pending_ = true;
        Status put = writer_.put(storage(), entry_, storage().size());
        if (put) put = storage().flush();
        if (put) ++generation_;
        for (size_t i = 0; put && i < entry_.count(); ++i) {
            put = storage().write(entry_.at(i), entry_.sector(i));
            if (put) base_.changed(entry_.at(i), entry_.sector(i));
        }
        if (put) entry_.clear();
        return put;
    }

    Status barrier() {
        if (!pending_) return {};
        if (Status flushed = storage().flush(); !flushed) return flushed;
        pending_ = false;
        return {};
    }

    Paged base_;
    LogEntry<A> entry_;  ///< the changes that wait
    FoundHeader header_{};
    LogWriter writer_;
    uint64_t generation_ = 0;
    bool started_ = false;
    bool is_named_ = false;  ///< a header may name the log of this session
    bool is_another_ = false;
    bool pending_ = false;
};

}  // namespace vdisk::vhdx
