// SPDX-License-Identifier: BSL-1.0
// Fuzz target: sizes as people write them, and strings on their way into JSON.
#include <string>

#include <vdisk/text/json.hpp>
#include <vdisk/text/size.hpp>

#include "require.hpp"

using namespace vdisk;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    if (const auto bytes = text::parse_size(input)) {
        fuzz::require(*bytes >> 63 == 0, "a size beyond 63 bits");
        fuzz::require(!text::human_size(*bytes).empty(), "no text for a size");
        fuzz::require(text::parse_size(std::to_string(*bytes)) == bytes, "a size changes");
    }
    const std::string json = text::json_string(input);
    fuzz::require(json.size() >= 2 && json.front() == '"' && json.back() == '"', "no quotes");
    for (const char c : json) {
        fuzz::require(static_cast<unsigned char>(c) >= 0x20, "a bare control character");
    }
    return 0;
}
