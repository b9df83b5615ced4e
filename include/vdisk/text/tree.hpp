// SPDX-License-Identifier: BSL-1.0
// The document that Json writes, for people: "name: value" lines, indented as qemu-img does.
#pragma once

#include <concepts>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <vdisk/text/printable.hpp>

namespace vdisk::text {

/// Names and nesting as for Json; values are made printable. Names show blanks for hyphens.
class Tree {
public:
    explicit Tree(std::FILE* out) : out_(out) {}

    void open(char bracket, std::string_view name = {}) {
        start(name);
        std::fputc('\n', out_);
        counts_.push_back(bracket == '[' ? 0 : -1);
    }
    void close(char /*bracket*/) { counts_.pop_back(); }
    void value(std::string_view name, std::string_view text) {
        start(name);
        std::fprintf(out_, " %s\n", printable(text).c_str());
    }
    void value(std::string_view name, const char* text) { value(name, std::string_view(text)); }
    void value(std::string_view name, std::same_as<bool> auto flag) {
        value(name, flag ? "true" : "false");
    }
    void value(std::string_view name,
               std::integral auto number) requires(!std::same_as<decltype(number), bool>) {
        value(name, std::to_string(number));
    }

private:
    void start(std::string_view name) {
        std::fprintf(out_, "%*s", static_cast<int>(4 * counts_.size()), "");
        if (counts_.back() >= 0) std::fprintf(out_, "[%d]:", counts_.back()++);
        for (const char c : name) std::fputc(c == '-' ? ' ' : c, out_);
        if (!name.empty()) std::fputc(':', out_);
    }

    std::FILE* out_;
    std::vector<int> counts_{-1};  ///< for each level: members so far if it is a list, else -1
};

}  // namespace vdisk::text
