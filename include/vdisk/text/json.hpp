// SPDX-License-Identifier: BSL-1.0
// Writes JSON, value by value; nothing is kept in memory, so output of any length is possible.
#pragma once

#include <concepts>
#include <cstdio>
#include <string>
#include <string_view>

#include <vdisk/core/types.hpp>

namespace vdisk::text {

/// `text` as a JSON string. Bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] inline std::string json_string(std::string_view text) {
    std::string out = "\"";
    for (size_t i = 0; i < text.size();) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c < 0x80) {
            char escaped[8];
            if (c == '"' || c == '\\') {
                out += {'\\', static_cast<char>(c)};
            } else if (c < 0x20) {
                std::snprintf(escaped, sizeof escaped, "\\u%04x", unsigned{c});
                out += escaped;
            } else {
                out += static_cast<char>(c);
            }
            ++i;
            continue;
        }
        const size_t length = c >= 0xF0 && c < 0xF5   ? 4
                              : c >= 0xE0 && c < 0xF0 ? 3
                              : c >= 0xC2 && c < 0xE0 ? 2
                                                      : 1;
        bool whole = length > 1 && text.size() - i >= length;
        for (size_t k = 1; whole && k < length; ++k) {
            whole = (static_cast<unsigned char>(text[i + k]) & 0xC0) == 0x80;
        }
        if (whole) out += text.substr(i, length);
        else out += "\xEF\xBF\xBD";
        i += whole ? length : 1;
    }
    return out + '"';
}

/// A nested document, indented by four spaces as qemu-img does. Commas and line ends are its
/// business; names and nesting are the caller's.
class Json {
public:
    explicit Json(std::FILE* out) : out_(out) {}

    void open(char bracket, std::string_view name = {}) {
        start(name);
        std::fputc(bracket, out_);
        ++depth_;
        first_ = true;
    }
    void close(char bracket) {
        --depth_;
        line();
        first_ = false;
        std::fputc(bracket, out_);
        if (depth_ == 0) std::fputc('\n', out_);
    }
    void value(std::string_view name, std::string_view text) { raw(name, json_string(text)); }
    void value(std::string_view name, const char* text) { value(name, std::string_view(text)); }
    void value(std::string_view name, std::same_as<bool> auto flag) {
        raw(name, flag ? "true" : "false");
    }
    void value(std::string_view name,
               std::integral auto number) requires(!std::same_as<decltype(number), bool>) {
        raw(name, std::to_string(number));
    }

private:
    void line() {
        std::fputc('\n', out_);
        for (unsigned i = 0; i < depth_; ++i) std::fputs("    ", out_);
    }
    void start(std::string_view name) {
        if (!first_) std::fputc(',', out_);
        if (depth_ > 0) line();
        first_ = false;
        if (!name.empty()) std::fputs((json_string(name) + ": ").c_str(), out_);
    }
    void raw(std::string_view name, const std::string& text) {
        start(name);
        std::fputs(text.c_str(), out_);
    }

    std::FILE* out_;
    unsigned depth_ = 0;
    bool first_ = true;
};

}  // namespace vdisk::text
