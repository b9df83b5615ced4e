// SPDX-License-Identifier: BSL-1.0
// What the entries of a log say that count ([MS-VHDX] 2.3.3).
#pragma once

#include <vdisk/format/vhdx/log_search.hpp>

namespace vdisk::vhdx {

/// One change of the file: a sector of 4096 bytes, or zeros.
struct Update {
    uint64_t at = 0;
    uint64_t length = 0;
    bool is_zero = false;
    const LogDescriptor* descriptor = nullptr;
    uint64_t data_at = 0;  ///< of the data sector, in the log
};

namespace log {

/// Updates change region tables and what lies behind the first MiB, but not the log, and nothing
/// that is no part of the file.
inline Status check_target(const Update& update, const Log& log, uint64_t file_end) {
    const Found where{update.at, log.at + update.data_at};
    if (!fits(update.at, update.length, file_end)) {
        return corrupt("vhdx: log entry aims past the end of the file", where);
    }
    const uint64_t tables = region_table_places[0];
    const uint64_t tables_end = region_table_places[1] + region_table_bytes;
    const bool to_tables = update.at >= tables && fits(update.at, update.length, tables_end);
    if (update.at < mib && !to_tables) {
        return corrupt("vhdx: log entry aims at the headers", where);
    }
    if (overlaps(update.at, update.length, log.at, log.length)) {
        return corrupt("vhdx: log entry aims at the log", where);
    }
    return {};
}

}  // namespace log

/// Calls `visit(const Update&) -> Status` for all that the active entries say, in order. Every
/// target is checked.
template <Storage S, class Visit>
Status each_update(const S& storage, const Log& log, const ActiveLog& active, Visit&& visit) {
    const auto place = [&](uint64_t in_log) {
        return log.at + (in_log < log.length ? in_log : in_log - log.length);
    };
    uint64_t file_end = storage.size();
    if (active.last_file_offset > file_end) file_end = active.last_file_offset;
    uint64_t at = active.tail;
    for (uint64_t n = 0; n < active.entries; ++n) {
        const auto header = load<LogEntryHeader>(storage, place(at));
        if (!header) return header.error();
        const uint32_t count = header->descriptor_count.value();
        uint64_t data_at = at + (descriptor_sectors(count) << log_sector_bits);
        for (uint32_t i = 0; i < count; ++i) {
            const uint64_t descriptor_at =
                at + sizeof(LogEntryHeader) + uint64_t{i} * sizeof(LogDescriptor);
            const auto d = load<LogDescriptor>(storage, place(descriptor_at));
            if (!d) return d.error();
            const bool is_zero = d->signature == zero_signature;
            const Update update{.at = d->file_offset.value(),
                                .length = is_zero ? load_le64(d->leading_bytes.data()) : log_sector,
                                .is_zero = is_zero,
                                .descriptor = &*d,
                                .data_at = data_at < log.length ? data_at : data_at - log.length};
            if (Status right = log::check_target(update, log, file_end); !right) return right;
            if (Status visited = visit(update); !visited) return visited;
            if (!is_zero) data_at += log_sector;
        }
        at += header->entry_length.value();
        if (at >= log.length) at -= log.length;
    }
    return {};
}

/// The 4096 bytes that an update of data writes.
template <Storage S>
Status load_update(const S& storage, const Log& log, const Update& update, MutBytes out) {
    if (Status got = storage.read(log.at + update.data_at, out); !got) return got;
    std::memcpy(out.data(), update.descriptor->leading_bytes.data(), 8);
    std::memcpy(out.data() + log_sector - 4, update.descriptor->trailing_bytes.data(), 4);
    return {};
}

}  // namespace vdisk::vhdx
