// SPDX-License-Identifier: BSL-1.0
// `read` of vdisk io: reads, verifies a pattern, dumps, reports.
#include <chrono>
#include <cinttypes>
#include <cstdio>

#include <vdisk/allocation/heap.hpp>

#include "shell.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct ReadRequest {
    uint64_t at = 0;
    uint64_t length = 0;
    std::optional<byte> pattern = {};
    std::optional<uint64_t> pattern_at = {};
    std::optional<uint64_t> pattern_length = {};
    bool machine = false, quiet = false, dump = false;
};

constexpr const char* read_usage =
    "read [-Cqv] [-P pattern [-s off] [-l len]] off len -- reads a number of bytes at a specified "
    "offset";

bool take_flag(ReadRequest& request, char flag, const std::string& value) {
    switch (flag) {
        case 'C': return request.machine = true;
        case 'q': return request.quiet = true;
        case 'v': return request.dump = true;
        case 'P': return (request.pattern = io_pattern(value)).has_value();
        case 's': return (request.pattern_at = io_number(value)).has_value();
        case 'l': return (request.pattern_length = io_number(value)).has_value();
        default: return true;
    }
}

/// The pattern's range, as it will be verified, must lie in what is read.
bool check_pattern(ReadRequest& request) {
    const uint64_t at = request.pattern_at.value_or(0);
    if (at > request.length || request.pattern_length.value_or(0) > request.length - at) {
        std::puts("pattern verification range exceeds end of read data");
        return false;
    }
    request.pattern_at = at;
    if (!request.pattern_length) request.pattern_length = request.length - at;
    return true;
}

std::optional<ReadRequest> parse_read(Shell::Words words, bool several) {
    ReadRequest request;
    const Flags flags("read", "Cqvp", several ? "P" : "Psl");
    const auto plain = flags.parse(words, [&](char flag, const std::string& value) {
        return take_flag(request, flag, value);
    });
    if (!plain) return std::nullopt;
    const bool range = request.pattern_at || request.pattern_length;
    const bool counts = several ? plain->size() >= 2 : plain->size() == 2;
    if (!counts || (range && !request.pattern)) {
        std::puts(read_usage);
        return std::nullopt;
    }
    const auto at = io_number(plain->front());
    if (!at) return std::nullopt;
    const auto length = io_total(std::span(*plain).subspan(1));
    if (!length) return std::nullopt;
    request.at = *at;
    request.length = *length;
    return check_pattern(request) ? std::optional(request) : std::nullopt;
}

bool verify(const ReadRequest& request, Bytes data) {
    if (!request.pattern) return true;
    const Bytes piece = data.subspan(static_cast<size_t>(*request.pattern_at),
                                     static_cast<size_t>(*request.pattern_length));
    for (const byte b : piece) {
        if (b == *request.pattern) continue;
        std::printf("Pattern verification failed at offset %" PRIu64 ", %zu bytes\n",
                    request.at + *request.pattern_at, piece.size());
        return false;
    }
    return true;
}

void dump(uint64_t at, Bytes data) {
    for (size_t line = 0; line < data.size(); line += 16) {
        const Bytes row = data.subspan(line, data.size() - line < 16 ? data.size() - line : 16);
        std::printf("%08" PRIx64 ":  ", at + line);
        for (const byte b : row) std::printf("%02x ", std::to_integer<unsigned>(b));
        std::putchar(' ');
        for (const byte b : row) {
            const int c = std::to_integer<int>(b);
            std::putchar(c > 32 && c < 127 ? c : '.');
        }
        std::putchar('\n');
    }
}

Shell::Outcome read_as(const Medium& disk, const ReadRequest& request) {
    if (!fits(request.at, request.length, disk.size())) {
        std::puts("read failed: Input/output error");
        return Shell::Outcome::failed;
    }
    Buffer<Heap> buffer;
    const auto data = buffer.reserve(static_cast<size_t>(request.length));
    if (!data) throw failure("read", data.error());
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const Status got = disk.read(request.at, *data);
    const std::chrono::duration<double> spent = Clock::now() - start;
    if (!got) return io_failed("read", got.error());
    const bool right = verify(request, *data);
    if (request.dump && !request.quiet) dump(request.at, *data);
    print_report({.verb = "read",
                  .at = request.at,
                  .length = request.length,
                  .quiet = request.quiet,
                  .machine = request.machine},
                 spent.count());
    return right ? Shell::Outcome::done : Shell::Outcome::failed;
}

}  // namespace

Shell::Outcome Shell::read(Words words) const {
    const auto request = parse_read(words, false);
    return request ? read_as(disk_, *request) : Outcome::failed;
}

Shell::Outcome Shell::readv(Words words) const {
    const auto request = parse_read(words, true);
    return request ? read_as(disk_, *request) : Outcome::failed;
}

}  // namespace tool
