// SPDX-License-Identifier: BSL-1.0
// Merged bitmaps: sector by sector what either covered.
#include <vdisk/allocation/limited.hpp>

#include "bitmap_steps.hpp"

using namespace vdisk;
using namespace vdisk::test;
using namespace vdisk::test::bitmaps;

namespace {

// Guest bytes that a bitmap covers, a flag for each sector.
std::vector<bool> coverage(const Seen& seen, uint64_t disk) {
    std::vector<bool> out(disk / 512);
    for (uint64_t i = 0; i < out.size(); ++i) {
        const uint64_t bit = (i * 512) >> seen.granularity_bits;
        out[i] = (std::to_integer<unsigned>(seen.bits[bit / 8]) >> bit % 8 & 1) != 0;
    }
    return out;
}

bool counts_right(const File& file, const AllSeen& all) {
    const auto image = value_of(open_file(file));
    const MemoryStorage storage(file);
    bool right = true;
    REQUIRE(qcow2::each_bitmap(storage, image.layout(), [&](const qcow2::Bitmap& bitmap) -> Status {
        const auto name = reinterpret_cast<const char*>(file.data()) + bitmap.name.at;
        uint64_t expected = 0;
        for (const byte b : all.at({name, bitmap.name.length}).bits) {
            expected += unsigned(std::popcount(std::to_integer<unsigned>(b)));
        }
        right = right && value_of(qcow2::count_dirty(storage, image.layout(), bitmap)) == expected;
        return {};
    }));
    return right;
}

}  // namespace

TEST_CASE("qcow2: merged bitmaps cover what either covered", "[qcow2][bitmaps]") {
    for (const unsigned cluster_bits : {9u, 12u, 16u}) {
        Memory memory(with_bits(cluster_bits));
        scatter(memory, "b9", 1, 40);
        scatter(memory, "b11", 2, 30);
        scatter(memory, "b16", 3, 5);
        const uint64_t disk = 3_MiB + 512;
        const File start = bytes_of(memory);
        const AllSeen before = value_of(all_of(start));
        for (const char* source : {"b9", "b11", "b16", "e"}) {
            for (const char* target : {"b9", "b11", "b16", "e"}) {
                CAPTURE(cluster_bits, source, target);
                Memory copy(start);
                Budget budget{.ceiling = 1_MiB};
                REQUIRE(run(copy, {Do::merge, target, source}, Limited<Heap>(budget)));
                CHECK(budget.used == 0);
                const AllSeen after = value_of(all_of(bytes_of(copy)));
                const auto from = coverage(before.at(source), disk);
                const auto into = coverage(before.at(target), disk);
                const auto now = coverage(after.at(target), disk);
                const uint64_t unit = (uint64_t{1} << after.at(target).granularity_bits) / 512;
                bool good = true;
                for (uint64_t i = 0; i < now.size(); ++i) {
                    bool wanted = into[i];
                    for (uint64_t k = i / unit * unit;
                         k < std::min(i / unit * unit + unit, disk / 512); ++k) {
                        wanted = wanted || from[k];
                    }
                    good = good && now[i] == wanted;
                }
                CHECK(good);
                for (const auto& [name, seen] : before) {
                    if (name != target) CHECK(after.at(name) == seen);
                }
                CHECK(counts_right(bytes_of(copy), after));
            }
        }
    }
}
