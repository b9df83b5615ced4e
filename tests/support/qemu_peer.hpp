// SPDX-License-Identifier: BSL-1.0
// qemu-img as a peer that works in a folder: what it makes and says there, compared with ours.
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

namespace vdisk::test::peer {

/// What a command printed, errors included, and how it ended.
struct Ran {
    std::string output;
    int status = -1;
};

/// Runs `command` in a shell, in `folder`.
inline Ran run_in(const std::string& folder, const std::string& command) {
    Ran out;
    const std::string line = "cd '" + folder + "' && { " + command + "\n} 2>&1";
    std::FILE* pipe = ::popen(line.c_str(), "r");
    if (pipe == nullptr) return out;
    char piece[4096];
    for (size_t n = 0; (n = std::fread(piece, 1, sizeof(piece), pipe)) > 0;) {
        out.output.append(piece, n);
    }
    out.status = ::pclose(pipe);
    return out;
}

/// True if qemu-img is installed. Where it must be (CI=true) its absence is a failure.
inline bool has_qemu() {
    static const bool found = run_in("/", "command -v qemu-img && command -v qemu-io").status == 0;
    const char* ci = std::getenv("CI");
    if (!found && ci != nullptr && std::string(ci) == "true") FAIL("qemu-img is not installed");
    if (!found) WARN("skipped: qemu-img is not installed");
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
    CHECK(ran.status == 0);
    return without(ran.output, "actual-size");
}

inline File read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary | std::ios::ate);
    File out(static_cast<size_t>(std::max<std::streamoff>(in.tellg(), 0)));
    in.seekg(0).read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()));
    return out;
}

inline void write_file(const std::string& path, const File& file) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(file.data()),
              static_cast<std::streamsize>(file.size()));
    REQUIRE(out.good());
}

}  // namespace vdisk::test::peer
