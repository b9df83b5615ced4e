// SPDX-License-Identifier: BSL-1.0
// The two headers, of which one counts ([MS-VHDX] 2.2.2), and checksums over pieces of the file.
#pragma once

#include <vdisk/core/crc32c.hpp>
#include <vdisk/core/math.hpp>
#include <vdisk/format/image.hpp>
#include <vdisk/format/vhdx/disk.hpp>
#include <vdisk/storage/load.hpp>

namespace vdisk::vhdx {

/// Bytes of a header or region table that are read as one, onto the stack. Both are multiples.
inline constexpr size_t header_piece = is_hosted ? header_bytes : table_piece;

/// The checksum of `length` bytes (a multiple of `header_piece`) from `at`, with the four bytes
/// from 4 on, where the checksum itself stands, as zeros.
template <Storage S>
Result<uint32_t> checksum(const S& storage, uint64_t at, uint64_t length) {
    uint32_t sum = 0;
    for (uint64_t done = 0; done < length; done += header_piece) {
        std::array<byte, header_piece> piece;
        if (Status got = storage.read(at + done, piece); !got) return got.error();
        if (done == 0) std::memset(piece.data() + 4, 0, 4);
        sum = crc32c(piece, sum);
    }
    return sum;
}

/// A header whose signature and checksum are right.
struct FoundHeader {
    Header header;
    uint64_t at = 0;
    bool is_valid = false;
};

template <Storage S>
Result<FoundHeader> load_header(const S& storage, uint64_t at) {
    FoundHeader out{.header = {}, .at = at};
    if (!fits(at, header_bytes, storage.size())) return out;
    const auto header = load<Header>(storage, at);
    if (!header) return header.error();
    out.header = *header;
    if (header->signature != header_signature) return out;
    const auto sum = checksum(storage, at, header_bytes);
    if (!sum) return sum.error();
    out.is_valid = *sum == header->checksum.value();
    return out;
}

/// The current header: of two that are valid that with the higher number. Twins are one; two that
/// differ and have one number are none.
template <Storage S>
Result<FoundHeader> find_header(const S& storage) {
    const auto first = load_header(storage, header_places[0]);
    if (!first) return first;
    const auto second = load_header(storage, header_places[1]);
    if (!second) return second;
    if (!first->is_valid && !second->is_valid) {
        return corrupt("vhdx: neither header is valid", {Error::none, header_places[0]});
    }
    if (first->is_valid != second->is_valid) return first->is_valid ? first : second;
    const uint64_t a = first->header.sequence_number.value();
    const uint64_t b = second->header.sequence_number.value();
    if (a != b) return a > b ? first : second;
    // Not their checksums, which have reserved bytes in them.
    Header left = first->header, right = second->header;
    left.checksum = right.checksum = {};
    if (std::memcmp(&left, &right, sizeof(Header)) == 0) return first;
    return corrupt("vhdx: two headers that differ have one sequence number", {a, first->at + 8});
}

/// Where the log is, and which of its entries count.
struct Log {
    uint64_t at = 0;
    uint64_t length = 0;  ///< a multiple of 1 MiB
    Guid guid;            ///< nil: the log is empty
};

/// Longer logs are refused.
inline constexpr uint32_t max_log_bytes = uint32_t{1} << 30;

inline Result<Log> check(const FoundHeader& found, uint64_t file_size) {
    const Header& h = found.header;
    const Log log{h.log_offset.value(), h.log_length.value(), h.log_guid};
    if (h.version.value() != 1) {
        return unsupported("vhdx: version is not 1", {h.version.value(), found.at + 66});
    }
    if (log.guid.is_nil() && log.length == 0) return Log{};
    if (h.log_version.value() != 0 && !log.guid.is_nil()) {
        return unsupported("vhdx: log version is not 0", {h.log_version.value(), found.at + 64});
    }
    if (log.length == 0 || !is_aligned(log.length, mib_bits)) {
        return corrupt("vhdx: log length is 0 or not a multiple of 1 MiB",
                       {log.length, found.at + 68});
    }
    if (log.length > max_log_bytes) {
        return fail(Errc::limit, "vhdx: log is longer than 1 GiB", {log.length, found.at + 68});
    }
    if (log.at < mib || !is_aligned(log.at, mib_bits) || !fits(log.at, log.length, file_size)) {
        return corrupt("vhdx: log is not at a whole MiB inside the file, behind the first",
                       {log.at, found.at + 72});
    }
    return log;
}

/// Refuses files without the identifier at the front.
template <Storage S>
Status check_identifier(const S& storage) {
    if (storage.size() < mib) {
        return corrupt("vhdx: the file is shorter than 1 MiB", {storage.size()});
    }
    std::array<char, 8> signature{};
    const Status got = storage.read(0, std::as_writable_bytes(std::span(signature)));
    if (!got) return got;
    return signature == file_signature ? Status{} : Status(corrupt("vhdx: no vhdxfile signature"));
}

}  // namespace vdisk::vhdx
