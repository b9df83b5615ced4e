// SPDX-License-Identifier: BSL-1.0
// Writes JSON, value by value; nothing is kept in memory, so output of any length is possible.
#pragma once

#include <concepts>
#include <cstdio>
#include <string>
#include <string_view>

#include <vdisk/text/printable.hpp>

namespace vdisk::text {

/// `text` as a JSON string, in ASCII alone as qemu-img writes it, so it is safe on a terminal.
/// Bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] inline std::string json_string(std::string_view text) {
    std::string out = "\"";
    const auto escape = [&out](uint32_t unit) {
        char escaped[8];
        std::snprintf(escaped, sizeof escaped, "\\u%04X", unit & 0xFFFFu);
        out += escaped;
    };
    while (!text.empty()) {
        const CodePoint point = decode(text);
        text.remove_prefix(point.length);
        const uint32_t code = point.code == CodePoint::invalid ? 0xFFFD : point.code;
        constexpr std::string_view plain = "\b\f\n\r\t";
        constexpr std::string_view letters = "bfnrt";
        const auto c = static_cast<char>(code);
        if (code == '"' || code == '\\') {
            out += {'\\', c};
        } else if (code < 0x20 && plain.find(c) != std::string_view::npos) {
            out += {'\\', letters[plain.find(c)]};
        } else if (code >= 0x20 && code < 0x7F) {
            out += c;
        } else if (code < 0x10000) {
            escape(code);
        } else {
            escape(0xD800 + ((code - 0x10000) >> 10));
            escape(0xDC00 + (code & 0x3FF));
        }
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
