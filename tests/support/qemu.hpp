// SPDX-License-Identifier: BSL-1.0
// What qemu-img says about an image, where it is installed.
#pragma once

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>

#include "catch.hpp"
#include "support/image_builder.hpp"
#include "support/temp.hpp"

namespace vdisk::test {

/// Runs a shell command; what it printed, and whether it succeeded.
struct Ran {
    bool ok = false;
    std::string output;
};

inline Ran run(const std::string& command) {
    std::FILE* const pipe = ::popen((command + " 2>/dev/null").c_str(), "r");
    if (pipe == nullptr) return {};
    Ran ran;
    char piece[4096];
    for (size_t n = 0; (n = std::fread(piece, 1, sizeof(piece), pipe)) > 0;) {
        ran.output.append(piece, n);
    }
    ran.ok = ::pclose(pipe) == 0;
    return ran;
}

/// True if there is a qemu-img; says so where there is none.
inline bool has_qemu() {
    static const bool there = run("qemu-img --version && qemu-io --version").ok;
    if (!there) WARN("qemu-img or qemu-io is not installed: not compared");
    return there;
}

inline void save(const File& file, const std::string& path) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(file.data()),
              static_cast<std::streamsize>(file.size()));
    REQUIRE(out.good());
}

inline File saved(const std::string& path) {
    std::ifstream in(path, std::ios::binary | std::ios::ate);
    File file(static_cast<size_t>(std::max<std::streamoff>(in.tellg(), 0)));
    in.seekg(0).read(reinterpret_cast<char*>(file.data()),
                     static_cast<std::streamsize>(file.size()));
    return file;
}

/// A number in the JSON of qemu-img; 0 if it is not there.
inline uint64_t figure(const std::string& json, const std::string& name) {
    const size_t at = json.find("\"" + name + "\": ");
    return at == std::string::npos ? 0 : std::stoull(json.substr(at + name.size() + 4));
}

}  // namespace vdisk::test
