// SPDX-License-Identifier: BSL-1.0
// `write`, `discard` and `truncate` of vdisk io.
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "shell.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct WriteRequest {
    uint64_t at = 0;
    uint64_t length = 0;
    std::optional<byte> pattern = {};
    std::string source;
    bool compressed = false, zeros = false, unmap = false, only_zeros = false, durable = false;
    bool machine = false, quiet = false;
};

constexpr const char* write_usage =
    "write [-Ccfnquz] [-P pattern | -s source_file] off len -- writes a number of bytes at a "
    "specified offset";

bool take_flag(WriteRequest& request, char flag, const std::string& value) {
    switch (flag) {
        case 'c': return request.compressed = true;
        case 'C': return request.machine = true;
        case 'f': return request.durable = true;
        case 'n': return request.only_zeros = true;
        case 'q': return request.quiet = true;
        case 'u': return request.unmap = true;
        case 'z': return request.zeros = true;
        case 'P': return (request.pattern = io_pattern(value)).has_value();
        case 's': request.source = value; return true;
        default: return true;
    }
}

/// What goes together, in qemu-io's words.
const char* contradiction(const WriteRequest& request) {
    if (request.durable && request.compressed) {
        return "-f and -b or -c cannot be specified at the same time";
    }
    if (request.only_zeros && !request.zeros) return "-n requires -z to be specified";
    if (request.unmap && !request.zeros) return "-u requires -z to be specified";
    if (request.zeros + request.pattern.has_value() + !request.source.empty() > 1) {
        return "Only one of -z, -P, and -s can be specified at the same time";
    }
    if (request.zeros && request.compressed) {
        return "-c and -z cannot be specified at the same time";
    }
    return nullptr;
}

bool set_range(WriteRequest& request, std::span<const std::string> words) {
    const auto at = io_number(words.front());
    if (!at) return false;
    const auto length = io_total(words.subspan(1));
    if (!length) return false;
    request.at = *at;
    request.length = *length;
    return true;
}

std::optional<WriteRequest> parse_write(Shell::Words words, bool several) {
    WriteRequest request;
    const Flags flags("write", several ? "Cfquz" : "cCfnpquz", "Ps");
    const auto plain = flags.parse(words, [&](char flag, const std::string& value) {
        return take_flag(request, flag, value);
    });
    if (!plain) return std::nullopt;
    if (several ? plain->size() < 2 : plain->size() != 2) {
        std::puts(write_usage);
        return std::nullopt;
    }
    if (const char* const wrong = contradiction(request)) {
        std::puts(wrong);
        return std::nullopt;
    }
    if (!set_range(request, *plain)) return std::nullopt;
    if (request.compressed && (request.at % 512 != 0 || request.length % 512 != 0)) {
        const bool bad_offset = request.at % 512 != 0;
        std::printf("%" PRIu64 " is not a sector-aligned value for '%s'\n",
                    bad_offset ? request.at : request.length, bad_offset ? "offset" : "count");
        return std::nullopt;
    }
    return request;
}

/// What the file holds, over and over until `out` is full.
bool fill_from(const std::string& path, MutBytes out) {
    std::FILE* const file = std::fopen(path.c_str(), "rb");
    if (file == nullptr) {
        std::printf("%s: %s\n", path.c_str(), std::strerror(errno));
        return false;
    }
    const size_t got = std::fread(out.data(), 1, out.size(), file);
    const bool failed = std::ferror(file) != 0;
    std::fclose(file);
    if (failed || (got == 0 && !out.empty())) {
        std::printf("%s: %s\n", path.c_str(), failed ? "cannot be read" : "file is empty");
        return false;
    }
    for (size_t i = got; i < out.size(); ++i) out[i] = out[i - got];
    return true;
}

Status put(Medium& disk, const WriteRequest& request, Bytes data) {
    if (!fits(request.at, request.length, disk.size())) {
        return fail(Errc::invalid, "Input/output error");
    }
    Status done;
    if (request.zeros) {
        if (request.unmap) done = disk.discard(request.at, request.length);
        if (done) done = disk.zero(request.at, request.length);
    } else if (request.compressed) {
        done = disk.write_compressed(request.at, data);
    } else {
        done = disk.write(request.at, data);
    }
    return done && request.durable ? disk.flush() : done;
}

Shell::Outcome write_as(Medium& disk, const WriteRequest& request) {
    Buffer<Heap> buffer;
    MutBytes data;
    if (!request.zeros) {
        const auto memory = buffer.reserve(static_cast<size_t>(request.length));
        if (!memory) throw failure("write", memory.error());
        data = memory->first(static_cast<size_t>(request.length));
        if (request.source.empty()) {
            std::fill(data.begin(), data.end(), request.pattern.value_or(byte{0xcd}));
        } else if (!fill_from(request.source, data)) {
            return Shell::Outcome::failed;
        }
    }
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const Status done = put(disk, request, data);
    const std::chrono::duration<double> spent = Clock::now() - start;
    if (!done) return io_failed("write", done.error());
    print_report({.verb = "wrote",
                  .at = request.at,
                  .length = request.length,
                  .quiet = request.quiet,
                  .machine = request.machine},
                 spent.count());
    return Shell::Outcome::done;
}

}  // namespace

Shell::Outcome Shell::write(Words words) const {
    const auto request = parse_write(words, false);
    return request ? write_as(disk_, *request) : Outcome::failed;
}

Shell::Outcome Shell::writev(Words words) const {
    const auto request = parse_write(words, true);
    return request ? write_as(disk_, *request) : Outcome::failed;
}

Shell::Outcome Shell::discard(Words words) const {
    WriteRequest request;
    const Flags flags("discard", "Cq", "");
    const auto plain = flags.parse(words, [&](char flag, const std::string& value) {
        return take_flag(request, flag, value);
    });
    if (!plain) return Outcome::failed;
    if (plain->size() != 2) {
        std::puts("discard [-Cq] off len -- discards a number of bytes at a specified offset");
        return Outcome::failed;
    }
    if (!set_range(request, *plain)) return Outcome::failed;
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const Status done = fits(request.at, request.length, disk_.size())
                            ? disk_.discard(request.at, request.length)
                            : Status(fail(Errc::invalid, "Input/output error"));
    const std::chrono::duration<double> spent = Clock::now() - start;
    if (!done) return io_failed("discard", done.error());
    print_report({.verb = "discard",
                  .at = request.at,
                  .length = request.length,
                  .quiet = request.quiet,
                  .machine = request.machine},
                 spent.count());
    return Outcome::done;
}

Shell::Outcome Shell::truncate(Words words) const {
    const auto size = io_number(words[0]);
    if (!size) return Outcome::failed;
    const std::string why = disk_.truncate(*size);
    if (why.empty()) return Outcome::done;
    std::printf("truncate failed: %s\n", why.c_str());
    return Outcome::failed;
}

}  // namespace tool
