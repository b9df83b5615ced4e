// SPDX-License-Identifier: BSL-1.0
// The directory of persistent bitmaps: what a good one says, and ones that lie.
#include <functional>

#include <vdisk/format/qcow2/bitmap.hpp>

#include "support/verdict.hpp"

namespace vdisk::test {

namespace {

// Two bitmaps, "one" and "two2two2t": entries of 32 and 40 bytes.
struct Image {
    Built built;
    uint64_t extension_at = 0, directory_at = 0, table_at = 0;

    Image() {
        built = build(Qcow2Spec{.size = 64_KiB,
                                .cluster_bits = 12,
                                .extensions = {{qcow2::extension::bitmaps, std::string(24, '\0')}},
                                .autoclear = 1});
        extension_at = built.extensions_at + 8;
        directory_at = built.file.size();
        table_at = directory_at + 4096;
        built.file.resize(table_at + 4096);
        set_be32(file(), extension_at, 2);
        set_be64(file(), extension_at + 8, 72);
        set_be64(file(), extension_at + 16, directory_at);
        put(directory_at, 2, "one");
        put(directory_at + 32, 1, "two2two2t");
    }
    File& file() { return built.file; }

    void put(uint64_t at, uint64_t flags, std::string_view name) {
        set_be64(file(), at, table_at);
        set_be32(file(), at + 8, 1);
        set_be32(file(), at + 12, flags);
        set_be16(file(), at + 16, 0x0110);  // type, granularity
        set_be16(file(), at + 18, name.size());
        for (const char c : name) file()[at++ + 24] = static_cast<byte>(c);
    }

    // The names in order, or why not.
    std::string names() {
        std::string all;
        const MemoryStorage storage(file());
        const auto image = open<Qcow2>(storage);
        if (!image) return image.error().what;
        const auto visit = [&](const qcow2::Bitmap& bitmap) -> Status {
            std::array<char, 1023> buffer{};
            all += std::string(*read_text(storage, bitmap.name, buffer)) + ";";
            CHECK(bitmap.table_at == table_at);
            CHECK(bitmap.table_entries == 1);
            return {};
        };
        const Status walked = qcow2::each_bitmap(storage, image->layout(), visit);
        return walked ? all : walked.error().what;
    }
};

struct Damage {
    const char* name;
    std::function<void(Image&)> damage;
    const char* what;
};

auto extension32(uint64_t in, uint64_t value) {
    return [=](Image& i) { set_be32(i.file(), i.extension_at + in, value); };
}
auto extension64(uint64_t in, uint64_t value) {
    return [=](Image& i) { set_be64(i.file(), i.extension_at + in, value); };
}
auto entry16(uint64_t in, uint64_t value) {
    return [=](Image& i) { set_be16(i.file(), i.directory_at + in, value); };
}
auto entry32(uint64_t in, uint64_t value) {
    return [=](Image& i) { set_be32(i.file(), i.directory_at + in, value); };
}
auto entry64(uint64_t in, uint64_t value) {
    return [=](Image& i) { set_be64(i.file(), i.directory_at + in, value); };
}

constexpr const char* both = "one;two2two2t;";
constexpr const char* wrong_size = "qcow2: bitmap directory has a wrong size";
constexpr const char* too_short = "qcow2: bitmap directory is too short";
constexpr const char* misplaced =
    "qcow2: bitmap directory is unaligned or past the end of the file";
constexpr const char* bad_table = "qcow2: bitmap table is unaligned or past the end of the file";
constexpr const char* bad_name = "qcow2: bitmap name is empty or too long";
constexpr const char* bad_granularity = "qcow2: bitmap granularity is out of range";

}  // namespace

TEST_CASE("qcow2: bitmaps are listed", "[qcow2][bitmap]") {
    Image image;
    CHECK(image.names() == both);
    const auto disk = value_of(open<Qcow2>(MemoryStorage(image.file())));
    CHECK(qcow2::bitmaps_valid(disk.layout()));
    const auto first = value_of(qcow2::load_bitmap(disk.file(), disk.layout(), image.directory_at,
                                                   image.directory_at + 72));
    CHECK(first.flags == 2);
    CHECK(first.granularity_bits == 16);
    CHECK(first.end == image.directory_at + 32);
    set_be64(image.file(), 88, 0);
    CHECK_FALSE(qcow2::bitmaps_valid(value_of(open<Qcow2>(MemoryStorage(image.file()))).layout()));
}

TEST_CASE("qcow2: a bitmap directory that lies", "[qcow2][bitmap][hostile]") {
    const Damage cases[] = {
        {"no bitmaps", extension32(0, 0), "qcow2: bitmaps extension without bitmaps"},
        {"one bitmap too few", extension32(0, 1), wrong_size},
        {"one bitmap too many", extension32(0, 3), too_short},
        {"65535 bitmaps", extension32(0, 65535), too_short},
        {"65536 bitmaps", extension32(0, 65536), "qcow2: more than 65535 bitmaps"},
        {"reserved field", extension32(4, ~0u), both},
        {"8 bytes too long", extension64(8, 80), wrong_size},
        {"without the padding", extension64(8, 65), wrong_size},
        {"ends inside a name", extension64(8, 64), too_short},
        {"ends before the second", extension64(8, 32), too_short},
        {"of no bytes", extension64(8, 0), too_short},
        {"as large as may be", extension64(8, 65535 * 1024), misplaced},
        {"larger", extension64(8, 65535 * 1024 + 1), "qcow2: bitmap directory is too large"},
        {"of 2^64 - 1 bytes", extension64(8, ~uint64_t{0}), "qcow2: bitmap directory is too large"},
        {"at 0", extension64(16, 0), misplaced},
        {"unaligned", [](Image& i) { extension64(16, i.directory_at + 8)(i); }, misplaced},
        {"past the end", extension64(16, ~uint64_t{0xFFF}), misplaced},
        {"extension of 16 bytes", [](Image& i) { set_be32(i.file(), i.extension_at - 4, 16); },
         "qcow2: bitmaps extension has a wrong length"},
    };
    for (const Damage& c : cases) {
        DYNAMIC_SECTION(c.name) {
            Image image;
            c.damage(image);
            CHECK(image.names() == c.what);
        }
    }
}

TEST_CASE("qcow2: a bitmap that lies", "[qcow2][bitmap][hostile]") {
    const Damage cases[] = {
        {"table at 0", entry64(0, 0), bad_table},
        {"table unaligned", [](Image& i) { entry64(0, i.table_at + 8)(i); }, bad_table},
        {"table past the end", entry64(0, ~uint64_t{0xFFF}), bad_table},
        {"table across the end", entry32(8, 513), bad_table},
        {"table too large", entry32(8, 0x20001), "qcow2: bitmap is too large"},
        {"unknown flag", entry32(12, 8), "qcow2: bitmap with unknown flags"},
        {"type 2", entry16(16, 0x0210), "qcow2: unknown type of bitmap"},
        {"granularity 8", entry16(16, 0x0108), bad_granularity},
        {"granularity 9", entry16(16, 0x0109), both},
        {"granularity 31", entry16(16, 0x011F), both},
        {"granularity 32", entry16(16, 0x0120), bad_granularity},
        {"no name", entry16(18, 0), bad_name},
        {"name of 1024", entry16(18, 1024), bad_name},
        {"name past the directory", entry16(18, 49), too_short},
        {"extra data", entry32(20, 8), "qcow2: bitmap with unknown extra data"},
    };
    for (const Damage& c : cases) {
        DYNAMIC_SECTION(c.name) {
            Image image;
            c.damage(image);
            CHECK(image.names() == c.what);
        }
    }
}

}  // namespace vdisk::test
