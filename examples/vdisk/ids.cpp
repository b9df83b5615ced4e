// SPDX-License-Identifier: BSL-1.0
#include "ids.hpp"

#include <chrono>
#include <cstdlib>

#include <sys/random.h>

#include "tool.hpp"

namespace tool {

using namespace vdisk;

Guid new_id() {
    std::array<byte, 16> random{};
    if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
        throw Failure{"no random numbers for a new id"};
    }
    return Guid::from_random(random);
}

Guid id_of(const std::string& text, const char* what) {
    Guid id;
    size_t digits = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        const size_t value =
            std::string_view("0123456789abcdef").find(static_cast<char>(std::tolower(text[i])));
        if (text.size() != 36 || dash != (text[i] == '-') ||
            (!dash && value == std::string::npos)) {
            throw Failure{std::string(what) + ": '" + text + "' is not a UUID"};
        }
        if (dash) continue;
        byte& b = id.bytes[digits / 2];
        b = b << 4 | static_cast<byte>(value);
        ++digits;
    }
    if (digits != 32) throw Failure{std::string(what) + ": '" + text + "' is not a UUID"};
    return id;
}

std::string text_of(const Guid& id) {
    std::string text;
    for (size_t i = 0; i < id.bytes.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
        const auto value = static_cast<unsigned>(id.bytes[i]);
        text += "0123456789abcdef"[value >> 4];
        text += "0123456789abcdef"[value & 15];
    }
    return text;
}

Guid turned(const Guid& id) {
    constexpr std::array<uint8_t, 16> order = {3, 2, 1,  0,  5,  4,  7,  6,
                                               8, 9, 10, 11, 12, 13, 14, 15};
    Guid out;
    for (size_t i = 0; i < order.size(); ++i) out.bytes[i] = id.bytes[order[i]];
    return out;
}

uint64_t time_now() {
    if (const char* const epoch = std::getenv("SOURCE_DATE_EPOCH")) {
        return size_of(epoch, "SOURCE_DATE_EPOCH");
    }
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

}  // namespace tool
