// SPDX-License-Identifier: BSL-1.0
// raw: every file is a disk, whatever it looks like; only its length can be odd.
#include "hostile/run.hpp"
#include "support/bytes.hpp"

namespace vdisk::test {

TEST_CASE("raw: files of any length", "[raw][hostile]") {
    for (const size_t size : {0u, 1u, 511u, 512u, 513u, 4095u, 65537u}) {
        CAPTURE(size);
        const File file = noise(size, 5);
        const Findings found = examine<Raw>(file);
        check_verdict(found, Errc::corrupt, "");
        CHECK(found.writing.empty());
        File wanted = file;  // what is missing of the last sector reads as zeros
        wanted.resize((size + 511) / 512 * 512);
        const bool same = found.bytes == wanted;
        CHECK(same);
    }
}

TEST_CASE("raw: what looks like another format is a disk all the same", "[raw][hostile]") {
    const char* const starts[] = {"QFI\xFB", "conectix", "cxsparse", "vhdxfile", "KDMV"};
    for (const char* const start : starts) {
        CAPTURE(start);
        File file = noise(4096, 5);
        std::memcpy(file.data(), start, 4);
        std::memcpy(&file[file.size() - 512], start, 4);
        const Findings found = examine<Raw>(file);
        check_verdict(found, Errc::corrupt, "");
        const bool same = found.bytes == file;
        CHECK(same);
    }
}

}  // namespace vdisk::test
