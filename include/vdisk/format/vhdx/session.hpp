// SPDX-License-Identifier: BSL-1.0
// A writable open of the file: its headers, and the log as it is written ([MS-VHDX] 2.2.2, 2.3).
#pragma once

#include <vdisk/core/random.hpp>
#include <vdisk/format/vhdx/log.hpp>
#include <vdisk/storage/zeros.hpp>

namespace vdisk::vhdx {

/// Writes `header` with the next sequence number to the place of the older of the two, twice, so
/// that both are new in the end. A cut leaves the old or the new one valid; so does an error, and
/// who tries again writes to the same place.
template <WritableStorage S>
Status put_header(S& storage, FoundHeader& current) {
    for (int i = 0; i < 2; ++i) {
        FoundHeader next = current;
        next.at = current.at == header_places[0] ? header_places[1] : header_places[0];
        next.header.signature = header_signature;
        next.header.sequence_number = current.header.sequence_number.value() + 1;
        next.header.checksum = 0;
        std::array<byte, header_bytes> bytes{};
        std::memcpy(bytes.data(), &next.header, sizeof(Header));
        next.header.checksum = crc32c(bytes);
        std::memcpy(bytes.data(), &next.header, sizeof(Header));
        if (Status put = storage.write(next.at, bytes); !put) return put;
        if (Status durable = storage.flush(); !durable) return durable;
        current = next;
    }
    return {};
}

/// One sector of 4096 bytes that an entry of the log brings.
struct LoggedSector {
    uint64_t at = 0;
    Bytes bytes;
};

/// The log of an open file. Every entry is written, durable, and applied before the next: each says
/// that it is the oldest.
class LogWriter {
public:
    /// So many sectors one entry takes at the most: those whose descriptors fill one sector.
    static constexpr size_t max_sectors = 126;

    LogWriter() = default;
    /// `session` grows from one open to the next: entries of earlier ones have lower numbers, and
    /// never follow on new ones, even where a source of ids repeats itself.
    LogWriter(const Log& log, const Guid& guid, uint64_t session)
        : log_(log), sequence_((session & 0xFFFFFFFFFFF) << 20) {
        log_.guid = guid;
    }

    [[nodiscard]] const Guid& guid() const { return log_.guid; }

    /// Writes an entry, without making it durable. `sector(i)` is the i-th of `count` sectors;
    /// `file_size` is durable. Nothing before it is needed any more.
    template <WritableStorage S, class Sector>
    Status put(S& storage, size_t count, const Sector& sector, uint64_t file_size) {
        const uint64_t length = (descriptor_sectors(count) + count) << log_sector_bits;
        if (length > log_.length) return invalid("vhdx: log is shorter than an entry", {length});
        ++sequence_;
        std::array<byte, log_sector> head{};
        LogEntryHeader h{};
        h.signature = entry_signature;
        h.entry_length = static_cast<uint32_t>(length);
        h.tail = static_cast<uint32_t>(head_);
        h.sequence_number = sequence_;
        h.descriptor_count = static_cast<uint32_t>(count);
        h.log_guid = log_.guid;
        h.flushed_file_offset = file_size;
        h.last_file_offset = file_size;
        std::memcpy(head.data(), &h, sizeof h);
        for (size_t i = 0; i < count; ++i) put_descriptor(head, i, sector(i));
        uint32_t sum = crc32c(head);
        for (size_t i = 0; i < count; ++i) {
            const auto data = data_sector(sector(i));
            const Bytes bytes = std::as_bytes(std::span(&data, 1));
            sum = crc32c(bytes, sum);
            if (Status put = storage.write(place(i + 1), bytes); !put) return put;
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

    void put_descriptor(MutBytes head, size_t index, const LoggedSector& s) const {
        LogDescriptor d{};
        d.signature = data_signature;
        std::memcpy(d.leading_bytes.data(), s.bytes.data(), 8);
        std::memcpy(d.trailing_bytes.data(), s.bytes.data() + log_sector - 4, 4);
        d.file_offset = s.at;
        d.sequence_number = sequence_;
        std::memcpy(head.data() + sizeof(LogEntryHeader) + index * sizeof d, &d, sizeof d);
    }

    [[nodiscard]] LogDataSector data_sector(const LoggedSector& s) const {
        LogDataSector out{};
        out.signature = sector_signature;
        out.sequence_high = static_cast<uint32_t>(sequence_ >> 32);
        std::memcpy(out.data.data(), s.bytes.data() + 8, out.data.size());
        out.sequence_low = static_cast<uint32_t>(sequence_ & 0xFFFFFFFF);
        return out;
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
    const auto active = find_active(storage, *log, std::move(allocation));
    if (!active) return active.error();
    // All targets are looked at before the first is written.
    Status done = each_update(storage, *log, *active, [](const Update&) { return Status{}; });
    if (!done) return done;
    header->header.file_write_guid = ids();
    if (Status put = put_header(storage, *header); !put) return put;
    if (storage.size() < active->last_file_offset) {
        if (Status grown = storage.resize(active->last_file_offset); !grown) return grown;
    }
    done = each_update(storage, *log, *active, [&](const Update& update) -> Status {
        if (update.is_zero) return make_zeros(storage, update.at, update.length);
        std::array<byte, log_sector> bytes;
        if (Status got = load_update(storage, *log, update, bytes); !got) return got;
        return storage.write(update.at, bytes);
    });
    if (done) done = storage.flush();
    if (!done) return done;
    header->header.log_guid = Guid{};
    return put_header(storage, *header);
}

}  // namespace vdisk::vhdx
