// SPDX-License-Identifier: BSL-1.0
// Inputs of the VHDX targets. Such files are long and mostly zeros, so an input has the pieces of
// 512 bytes that are not:
//     size in MiB | 512 bytes more | number of pieces | piece numbers, 2 bytes each | pieces
// Checksums are made right: a wrong one would end most of what a fuzzer tries at the door.
#pragma once

#include <vdisk/format/vhdx/format.hpp>

#include "sheet.hpp"
#include "support.hpp"

namespace fuzz {

inline constexpr size_t piece = 512;

/// Whether the file is to be read alone or to grow.
enum class Use : uint8_t { read, change };

/// Lays the input out on `file`.
inline void unfold(Bytes input, Sheet& file, Use use) {
    const auto number = [&](size_t at) { return static_cast<size_t>(input[at]); };
    const size_t size = input.size() < 3 ? 0 : number(0) % 12 * 1_MiB + number(1) * piece;
    if (use == Use::read) file.begin_guarded(size);
    else file.begin(size);
    if (size == 0) return;
    const size_t count = number(2), pieces = 3 + 2 * count;
    for (size_t i = 0; i < count && pieces + i * piece < input.size(); ++i) {
        const size_t at = (number(3 + 2 * i) | number(4 + 2 * i) << 8) * piece;
        const Bytes rest = input.subspan(pieces + i * piece);
        static_cast<void>(file.write(at, rest.first(std::min(rest.size(), piece))));
    }
}

inline void set_sum(Sheet& file, uint64_t at, uint32_t sum) {
    const le32 value(sum);
    require(bool(file.write(at + 4, std::as_bytes(std::span(&value, 1)))), "no room for a sum");
}

inline void seal(Sheet& file, uint64_t at, uint64_t length) {
    if (!fits(at, length, file.size())) return;
    const auto sum = vhdx::checksum(file, at, length);
    require(bool(sum), "no checksum");
    set_sum(file, at, *sum);
}

// Every entry in the log; those that lie over others may stay wrong.
inline void seal_log(Sheet& file, const vhdx::Log& log) {
    uint64_t budget = 4 * log.length;
    for (uint64_t at = 0; at < log.length; at += vhdx::log_sector) {
        const auto header = load<vhdx::LogEntryHeader>(file, log.at + at);
        if (!header || header->signature != vhdx::entry_signature) continue;
        const uint64_t length = header->entry_length.value();
        if (length > log.length || length > budget || length % vhdx::log_sector != 0) continue;
        budget -= length;
        set_sum(file, log.at + at, 0);
        uint32_t sum = 0;
        for (uint64_t done = 0; done < length; done += vhdx::log_sector) {
            const uint64_t from = log.at + (at + done) % log.length;
            sum = crc32c(file.bytes().subspan(static_cast<size_t>(from), vhdx::log_sector), sum);
        }
        set_sum(file, log.at + at, sum);
    }
}

inline void seal_all(Sheet& file) {
    // The second table counts where the first is none.
    const auto [first, second] = vhdx::region_table_places;
    const auto tag = load<vhdx::Signature>(file, first);
    const bool is_first = tag && *tag == vhdx::region_signature;
    seal(file, is_first ? first : second, vhdx::region_table_bytes);
    for (const uint64_t at : vhdx::header_places) seal(file, at, vhdx::header_bytes);
    if (file.size() < 1_MiB) return;
    const auto header = vhdx::find_header(file);
    if (!header) return;
    const auto log = vhdx::check(*header, file.size());
    if (log && !log->guid.is_nil()) seal_log(file, *log);
}

/// The file of this run, with its checksums made right.
inline Sheet& vhdx_file(Bytes input, Use use) {
    static Sheet sheet;
    unfold(input, sheet, use);
    seal_all(sheet);
    return sheet;
}

}  // namespace fuzz
