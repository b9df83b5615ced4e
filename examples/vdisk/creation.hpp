// SPDX-License-Identifier: BSL-1.0
// The options of -o: how a new image is created.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tool.hpp"

namespace tool {

/// An option of -o, as the help names it.
struct Explained {
    const char* name;
    const char* text;
};
void print_options(std::span<const Explained> options);

/// The list of -o, by name. `-o a=b,c` and a repeated -o add up; ",," is a comma in a value.
class Creation {
public:
    Creation() = default;
    explicit Creation(const std::vector<std::string>& lists) {
        for (const std::string& list : lists) {
            std::string item;
            for (size_t at = 0; at < list.size(); ++at) {
                if (list[at] != ',') item += list[at];
                else if (list.compare(at, 2, ",,") == 0) item += list[at++];
                else add(std::exchange(item, {}));
            }
            add(item);
        }
    }

    void refuse_others_than(std::initializer_list<std::string_view> known) const {
        refuse_others_than(std::vector<std::string>(known.begin(), known.end()));
    }
    void refuse_others_than(const std::vector<std::string>& known) const {
        for (const auto& [name, value] : values_) {
            if (std::find(known.begin(), known.end(), name) == known.end()) {
                throw Failure{"-o: there is no option '" + name + "' for this format"};
            }
        }
    }
    [[nodiscard]] bool has(const std::string& name) const { return values_.contains(name); }
    [[nodiscard]] std::string text(const std::string& name, const char* standard = "") const {
        const auto found = values_.find(name);
        return found == values_.end() ? standard : found->second;
    }
    [[nodiscard]] uint64_t number(const std::string& name, const char* standard) const {
        const std::string value = text(name, standard);
        if (value.empty() || value == "on") throw Failure{"-o " + name + ": the value is missing"};
        return size_of(value, name.c_str());
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
