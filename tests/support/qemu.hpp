// SPDX-License-Identifier: BSL-1.0
// qemu-img as a peer: what it makes and says, compared with ours, where it is installed.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "catch.hpp"
#include "support/image_builder.hpp"
#include "support/temp.hpp"

namespace vdisk::test {

/// What a command printed, errors included, and whether it succeeded.
struct Ran {
    bool ok = false;
    std::string output;
};

/// Runs `command` in a shell, in `folder`.
inline Ran run_in(const std::string& folder, const std::string& command) {
    const std::string line = "cd '" + folder + "' && { " + command + "\n} 2>&1";
    std::FILE* const pipe = ::popen(line.c_str(), "r");
    if (pipe == nullptr) return {};
    Ran ran;
    char piece[4096];
    for (size_t n = 0; (n = std::fread(piece, 1, sizeof(piece), pipe)) > 0;) {
        ran.output.append(piece, n);
    }
    ran.ok = ::pclose(pipe) == 0;
    return ran;
}

inline Ran run(const std::string& command) { return run_in("/", command); }

/// True if qemu-img is installed. Where it must be (CI=true) its absence is a failure.
inline bool has_qemu() {
    static const bool found = run("command -v qemu-img && command -v qemu-io").ok;
    const char* ci = std::getenv("CI");
    if (!found && ci != nullptr && std::string(ci) == "true") FAIL("qemu-img is not installed");
    if (!found) WARN("qemu-img or qemu-io is not installed: not compared");
    return found;
}

/// `text` without the lines that hold `word`.
inline std::string without(const std::string& text, const std::string& word) {
    std::istringstream lines(text);
    std::string out;
    for (std::string line; std::getline(lines, line);) {
        if (line.find(word) == std::string::npos) out += line + '\n';
    }
    return out;
}

/// `qemu-img info` as JSON, but for how much of the medium the file takes.
inline std::string qemu_info(const std::string& folder, const std::string& name) {
    const Ran ran = run_in(folder, "qemu-img info -f qcow2 --output=json " + name);
    CHECK(ran.ok);
    return without(ran.output, "actual-size");
}

/// A number in the JSON of qemu-img; 0 if it is not there.
inline uint64_t figure(const std::string& json, const std::string& name) {
    const size_t at = json.find("\"" + name + "\": ");
    return at == std::string::npos ? 0 : std::stoull(json.substr(at + name.size() + 4));
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

}  // namespace vdisk::test
