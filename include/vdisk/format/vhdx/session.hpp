// SPDX-License-Identifier: BSL-1.0
// A writable open of the file: its headers, and the log as it is written ([MS-VHDX] 2.2.2, 2.3).
#pragma once

#include <vdisk/core/random.hpp>
#include <vdisk/format/vhdx/log.hpp>
#include <vdisk/format/vhdx/log_entry.hpp>
#include <vdisk/storage/zeros.hpp>

namespace vdisk::vhdx {

/// Writes `header` with the next sequence number to the place of the older of the two, twice, so
/// that both are new in the end. A cut leaves the old or the new one valid; so does an error, and
/// who tries again writes to the same place. `scratch` has 4096 bytes. check_number() came first.
template <WritableStorage S>
Status put_header(S& storage, FoundHeader& current, MutBytes scratch) {
    for (int i = 0; i < 2; ++i) {
        FoundHeader next = current;
        next.at = current.at == header_places[0] ? header_places[1] : header_places[0];
        next.header.signature = header_signature;
        next.header.sequence_number = current.header.sequence_number.value() + 1;
        next.header.checksum = 0;
        std::memset(scratch.data(), 0, scratch.size());
        std::memcpy(scratch.data(), &next.header, sizeof(Header));
        next.header.checksum = crc32c(scratch);
        std::memcpy(scratch.data(), &next.header, sizeof(Header));
        if (Status put = storage.write(next.at, scratch); !put) return put;
        if (Status durable = storage.flush(); !durable) return durable;
        current = next;
    }
    return {};
}

/// Before a session or a replay begins: the headers' number can grow for as long as it lasts. Were
/// it to begin anew, the old header would stay the valid one.
inline Status check_number(const FoundHeader& current) {
    const uint64_t number = current.header.sequence_number.value();
    if (number >> 63 == 0) return {};
    return fail(Errc::limit, "vhdx: the header's sequence number cannot grow",
                {number, current.at + offsetof(Header, sequence_number)});
}

/// The log of an open file. Every entry is written, durable, and applied before the next: each says
/// that it is the oldest.
class LogWriter {
public:
    explicit LogWriter(const Log& log = {}) : log_(log) {}

    /// Begins anew. `session` grows from one open to the next: entries of earlier ones have lower
    /// numbers, and never follow on new ones, even where a source of ids repeats itself.
    void begin(const Guid& guid, uint64_t session) {
        log_.guid = guid;
        head_ = 0;
        sequence_ = (session & 0xFFFFFFFFFFF) << 20;
    }

    [[nodiscard]] const Log& log() const { return log_; }

    /// Writes an entry, without making it durable; `file_size` is. Nothing before it is needed any
    /// more.
    template <WritableStorage S, Allocation A>
    Status put(S& storage, const LogEntry<A>& entry, uint64_t file_size) {
        const uint64_t length = uint64_t{entry.count() + 1} << log_sector_bits;
        if (length > log_.length) return invalid("vhdx: log is shorter than an entry", {length});
        ++sequence_;
        LogEntryHeader h{};
        h.signature = entry_signature;
        h.entry_length = static_cast<uint32_t>(length);
        h.tail = static_cast<uint32_t>(head_);
        h.sequence_number = sequence_;
        h.descriptor_count = static_cast<uint32_t>(entry.count());
        h.log_guid = log_.guid;
        h.flushed_file_offset = file_size;
        h.last_file_offset = file_size;
        const MutBytes head = entry.head(h);
        uint32_t sum = crc32c(head);
        for (size_t i = 0; i < entry.count(); ++i) {
            const Status put = entry.as_logged(i, sequence_, [&](Bytes sector) {
                sum = crc32c(sector, sum);
                return storage.write(place(i + 1), sector);
            });
            if (!put) return put;
        }
        store_le32(head.data() + 4, sum);
        if (Status put = storage.write(place(0), head); !put) return put;
        head_ += length;
        if (head_ >= log_.length) head_ -= log_.length;
        return {};
    }

private:
    [[nodiscard]] uint64_t place(size_t index) const {
        const uint64_t at = head_ + (uint64_t{index} << log_sector_bits);
        return log_.at + (at < log_.length ? at : at - log_.length);
    }

    Log log_;
    uint64_t head_ = 0;      ///< where the next entry begins
    uint64_t sequence_ = 0;  ///< of the last entry
};

/// Replays the log of a file that was not closed, if there is one: writes what its entries say, and
/// empties it. An image that cannot be opened stays as it is.
template <WritableStorage S, Allocation A, IdSource I>
Status replay(S& storage, A allocation, I ids) {
    const auto if_io = [](const Error& e) { return e.code == Errc::io ? Status(e) : Status{}; };
    if (Status known = check_identifier(storage); !known) return if_io(known.error());
    auto header = find_header(storage);
    if (!header) return if_io(header.error());
    const auto log = check(*header, storage.size());
    if (!log || log->guid.is_nil()) return {};
    if (Status grows = check_number(*header); !grows) return grows;
    const auto active = find_active(storage, *log, allocation);
    if (!active) return active.error();
    Buffer<A> buffer(std::move(allocation));
    const auto memory = buffer.reserve(log_sector);
    if (!memory) return memory.error();
    const MutBytes sector = memory->template first<log_sector>();
    // All targets are looked at before the first is written.
    Status done = each_update(storage, *log, *active, [](const Update&) { return Status{}; });
    if (!done) return done;
    header->header.file_write_guid = ids();
    if (Status put = put_header(storage, *header, sector); !put) return put;
    if (storage.size() < active->last_file_offset) {
        if (Status grown = storage.resize(active->last_file_offset); !grown) return grown;
    }
    done = each_update(storage, *log, *active, [&](const Update& update) -> Status {
        if (update.is_zero) return make_zeros(storage, update.at, update.length);
        if (Status got = load_update(storage, *log, update, sector); !got) return got;
        return storage.write(update.at, sector);
    });
    if (done) done = storage.flush();
    if (!done) return done;
    header->header.log_guid = Guid{};
    return put_header(storage, *header, sector);
}

}  // namespace vdisk::vhdx
