// SPDX-License-Identifier: BSL-1.0
// main() of a fuzz target that is built without libFuzzer: runs the target once on every file named
// on the command line, and on every file in the folders named there.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fs = std::filesystem;

static void replay(const fs::path& file) {
    // Exactly as large as the input, so that AddressSanitizer sees the first byte read beyond it.
    std::vector<char> bytes(fs::file_size(file));
    std::ifstream in;
    in.exceptions(std::ios::badbit | std::ios::failbit);
    in.open(file, std::ios::binary);
    in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));

    std::fprintf(stderr, "%s\n", file.c_str());  // before the run: the last name is the culprit
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

int main(int argc, char** argv) try {
    int count = 0;
    for (const fs::path& path : std::vector<fs::path>(argv + 1, argv + argc)) {
        if (!fs::is_directory(path)) {
            replay(path);
            ++count;
            continue;
        }
        for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path)) {
            if (!entry.is_regular_file()) continue;
            replay(entry.path());
            ++count;
        }
    }
    std::fprintf(stderr, "%d inputs\n", count);
    return count == 0 ? 1 : 0;  // nothing to run is a mistake of the caller
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
