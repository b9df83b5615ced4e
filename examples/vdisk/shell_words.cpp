// SPDX-License-Identifier: BSL-1.0
// The words of a command of vdisk io, and the lines that answer it.
#include <cinttypes>
#include <cstdio>

#include "shell.hpp"

namespace tool {

using namespace vdisk;

std::string io_size(double value) {
    constexpr const char* units[] = {" KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    const char* suffix = " bytes";
    for (size_t i = 0; i < std::size(units) && value >= 1024; ++i) {
        value /= 1024;
        suffix = units[i];
    }
    char digits[64];
    std::snprintf(digits, sizeof digits, "%.3f", value);
    std::string text = digits;
    if (text.ends_with(".000")) text.resize(text.size() - 4);
    return text + suffix;
}

std::optional<uint64_t> io_number(const std::string& text) {
    const auto number = text::parse_size(text);
    if (!number) {
        std::printf(
            "Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- %s\n",
            text.c_str());
    }
    return number;
}

std::optional<byte> io_pattern(const std::string& text) {
    const auto value = text::parse_size(text);
    if (value && *value <= 255) return static_cast<byte>(*value);
    std::printf("%s is not a valid pattern byte\n", text.c_str());
    return std::nullopt;
}

std::optional<uint64_t> io_total(std::span<const std::string> lengths) {
    uint64_t total = 0;
    for (const std::string& text : lengths) {
        const auto length = io_number(text);
        if (!length) return std::nullopt;
        if (*length > io_largest - total) {
            std::printf("length cannot exceed %" PRIu64 ", given %s\n", io_largest, text.c_str());
            return std::nullopt;
        }
        total += *length;
    }
    return total;
}

std::optional<std::vector<std::string>> Flags::parse(Shell::Words words, const Take& take) const {
    std::vector<std::string> plain;
    bool flags = true;
    for (size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        if (flags && word == "--") flags = false;
        else if (!flags || word.size() < 2 || word[0] != '-') plain.push_back(word);
        else if (!parse_word(words, i, take)) return std::nullopt;
    }
    return plain;
}

bool Flags::parse_word(Shell::Words words, size_t& i, const Take& take) const {
    const std::string& word = words[i];
    for (size_t k = 1; k < word.size(); ++k) {
        const char flag = word[k];
        const bool valued = valued_.find(flag) != valued_.npos;
        if (!valued && plain_.find(flag) == plain_.npos) {
            std::fprintf(stderr, "%s: invalid option -- '%c'\n", command_, flag);
            return false;
        }
        if (!valued) {
            if (!take(flag, {})) return false;
            continue;
        }
        if (k + 1 == word.size() && i + 1 == words.size()) {
            std::fprintf(stderr, "%s: option requires an argument -- '%c'\n", command_, flag);
            return false;
        }
        const std::string value = k + 1 < word.size() ? word.substr(k + 1) : words[++i];
        return take(flag, value);
    }
    return true;
}

Shell::Outcome io_failed(const char* verb, const Error& error) {
    std::printf("%s failed: %s\n", verb, text::describe(error).c_str());
    return Shell::Outcome::failed;
}

void print_report(const IoReport& report, double seconds) {
    if (report.quiet) return;
    const double bytes = static_cast<double>(report.length);
    const double rate = seconds > 0 ? 1 / seconds : 0;
    const auto whole = static_cast<unsigned>(seconds);
    const auto hundredths = static_cast<unsigned>((seconds - whole) * 100);
    if (report.machine) {
        std::printf("%" PRIu64 ",1,%u:%02u:%02u.%02u,%.3f,%.3f\n", report.length, whole / 3600,
                    whole / 60 % 60, whole % 60, hundredths, bytes * rate, rate);
        return;
    }
    std::printf("%s %" PRIu64 "/%" PRIu64 " bytes at offset %" PRIu64 "\n", report.verb,
                report.length, report.length, report.at);
    std::printf("%s, 1 ops; %02u.%02u sec (%s/sec and %.4f ops/sec)\n", io_size(bytes).c_str(),
                whole, hundredths, io_size(bytes * rate).c_str(), rate);
}

}  // namespace tool
