// SPDX-License-Identifier: BSL-1.0
// The options of -o: how a new image is created.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tool.hpp"

namespace tool {

/// The list of -o, by name. `-o a=b,c` and a repeated -o add up.
class Creation {
public:
    explicit Creation(const std::vector<std::string>& lists) {
        for (const std::string& list : lists) {
            for (size_t at = 0; at <= list.size();) {
                const size_t end = std::min(list.find(',', at), list.size());
                add(list.substr(at, end - at));
                at = end + 1;
            }
        }
    }

    void refuse_others_than(std::initializer_list<std::string_view> known) const {
        for (const auto& [name, value] : values_) {
            if (std::find(known.begin(), known.end(), name) == known.end()) {
                throw Failure{"-o: there is no option '" + name + "' for this format"};
            }
        }
    }
    [[nodiscard]] bool has(const std::string& name) const { return values_.contains(name); }
    [[nodiscard]] std::string text(const std::string& name, const char* standard) const {
        const auto found = values_.find(name);
        return found == values_.end() ? standard : found->second;
    }
    [[nodiscard]] bool flag(const std::string& name) const {
        const std::string value = text(name, "off");
        for (const char* on : {"on", "yes", "true", "y"}) {
            if (value == on) return true;
        }
        for (const char* off : {"off", "no", "false", "n"}) {
            if (value == off) return false;
        }
        throw Failure{"-o " + name + ": '" + value + "' is neither on nor off"};
    }

private:
    void add(const std::string& item) {
        if (item.empty()) return;
        const size_t sign = item.find('=');
        if (sign == std::string::npos) values_[item] = "on";
        else values_[item.substr(0, sign)] = item.substr(sign + 1);
    }

    std::map<std::string, std::string> values_;
};

}  // namespace tool
