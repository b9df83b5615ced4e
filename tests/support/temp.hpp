// SPDX-License-Identifier: BSL-1.0
// A directory of its own for a test, gone with everything in it at the end.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>

#include <stdlib.h>

namespace vdisk::test {

class TempDir {
public:
    TempDir() {
        std::string name = absolute(std::filesystem::temp_directory_path() / "vdisk-test-XXXXXX");
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
        path_ = name;
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    /// The path of `name` inside; creates nothing.
    [[nodiscard]] std::string operator/(const char* name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

}  // namespace vdisk::test
