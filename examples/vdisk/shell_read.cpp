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

constexpr uint64_t largest_read = 2147483136;  // qemu-io's own limit

struct Request {
    uint64_t at = 0;
    uint64_t length = 0;
    std::optional<byte> pattern = {};
    std::optional<uint64_t> pattern_at = {};
    std::optional<uint64_t> pattern_length = {};
    bool machine = false, quiet = false, dump = false;
};

constexpr const char* usage =
    "read [-Cqv] [-P pattern [-s off] [-l len]] off len -- reads a number of bytes at a specified "
    "offset";

bool set_pattern(Request& request, const std::string& text) {
    const auto value = text::parse_size(text);
    if (!value || *value > 255) {
        std::printf("%s is not a valid pattern byte\n", text.c_str());
        return false;
    }
    request.pattern = static_cast<byte>(*value);
    return true;
}

/// One word of flags, such as "-qP"; the value of the last may be its rest or the next word.
bool parse_flags(Request& request, Shell::Words words, size_t& i) {
    const std::string& word = words[i];
    for (size_t k = 1; k < word.size(); ++k) {
        const char flag = word[k];
        if (flag == 'C') request.machine = true;
        else if (flag == 'q') request.quiet = true;
        else if (flag == 'v') request.dump = true;
        else if (flag != 'p' && flag != 'P' && flag != 's' && flag != 'l') {
            std::fprintf(stderr, "read: invalid option -- '%c'\n", flag);
            std::puts(usage);
            return false;
        }
        if (flag != 'P' && flag != 's' && flag != 'l') continue;
        if (k + 1 == word.size() && i + 1 == words.size()) {
            std::fprintf(stderr, "read: option requires an argument -- '%c'\n", flag);
            std::puts(usage);
            return false;
        }
        const std::string value = k + 1 < word.size() ? word.substr(k + 1) : words[++i];
        if (flag == 'P') return set_pattern(request, value);
        const auto number = io_number(value);
        if (flag == 's') request.pattern_at = number;
        else request.pattern_length = number;
        return number.has_value();
    }
    return true;
}

/// The pattern's range, as it will be verified, must lie in what is read.
bool check_pattern(Request& request) {
    const uint64_t at = request.pattern_at.value_or(0);
    if (at > request.length || request.pattern_length.value_or(0) > request.length - at) {
        std::puts("pattern verification range exceeds end of read data");
        return false;
    }
    request.pattern_at = at;
    if (!request.pattern_length) request.pattern_length = request.length - at;
    return true;
}

std::optional<Request> parse(Shell::Words words) {
    Request request;
    std::vector<std::string> plain;
    bool flags = true;
    for (size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        if (flags && word == "--") flags = false;
        else if (!flags || word.size() < 2 || word[0] != '-') plain.push_back(word);
        else if (!parse_flags(request, words, i)) return std::nullopt;
    }
    const bool range = request.pattern_at || request.pattern_length;
    if (plain.size() != 2 || (range && !request.pattern)) {
        std::puts(usage);
        return std::nullopt;
    }
    const auto at = io_number(plain[0]);
    if (!at) return std::nullopt;
    const auto length = io_number(plain[1]);
    if (!length) return std::nullopt;
    if (*length > largest_read) {
        std::printf("length cannot exceed %" PRIu64 ", given %s\n", largest_read, plain[1].c_str());
        return std::nullopt;
    }
    request.at = *at;
    request.length = *length;
    return check_pattern(request) ? std::optional(request) : std::nullopt;
}

bool verify(const Request& request, Bytes data) {
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

void report(const Request& request, double seconds) {
    const double bytes = static_cast<double>(request.length);
    const double rate = seconds > 0 ? 1 / seconds : 0;
    const auto whole = static_cast<unsigned>(seconds);
    const auto hundredths = static_cast<unsigned>((seconds - whole) * 100);
    if (request.machine) {
        std::printf("%" PRIu64 ",1,%u:%02u:%02u.%02u,%.3f,%.3f\n", request.length, whole / 3600,
                    whole / 60 % 60, whole % 60, hundredths, bytes * rate, rate);
        return;
    }
    std::printf("read %" PRIu64 "/%" PRIu64 " bytes at offset %" PRIu64 "\n", request.length,
                request.length, request.at);
    std::printf("%s, 1 ops; %02u.%02u sec (%s/sec and %.4f ops/sec)\n", io_size(bytes).c_str(),
                whole, hundredths, io_size(bytes * rate).c_str(), rate);
}

}  // namespace

Shell::Outcome Shell::read(Words words) const {
    const auto request = parse(words);
    if (!request) return Outcome::failed;
    if (!fits(request->at, request->length, disk_.size())) {
        std::puts("read failed: Input/output error");
        return Outcome::failed;
    }
    Buffer<Heap> buffer;
    const auto data = buffer.reserve(static_cast<size_t>(request->length));
    if (!data) throw failure("read", data.error());
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const Status got = vdisk::read(disk_, request->at, *data);
    const std::chrono::duration<double> spent = Clock::now() - start;
    if (!got) {
        std::printf("read failed: %s\n", text::describe(got.error()).c_str());
        return Outcome::failed;
    }
    const bool right = verify(*request, *data);
    if (!request->quiet) {
        if (request->dump) dump(request->at, *data);
        report(*request, spent.count());
    }
    return right ? Outcome::done : Outcome::failed;
}

}  // namespace tool
