// SPDX-License-Identifier: BSL-1.0
// Header extensions and the texts in them; files that end early.
#include "hostile/run.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

constexpr uint32_t backing_format = qcow2::extension::backing_format;
constexpr const char* too_large = "qcow2: header extension is too large";

Qcow2Spec with(std::vector<Extension> extensions, uint32_t version = 3) {
    return {.size = 64_KiB,
            .cluster_bits = 9,
            .version = version,
            .clusters = {{0}, {99}},
            .backing_file = "base",
            .extensions = std::move(extensions)};
}

}  // namespace

TEST_CASE("qcow2: extensions are found in both versions", "[qcow2][extensions][hostile]") {
    for (const uint32_t version : {2u, 3u}) {
        CAPTURE(version);
        const Built built = build(with({{0x11111111, "odd"},
                                        {0x22222222, ""},
                                        {backing_format, "raw"},
                                        {0x11111111, "unknown ones may come twice"}},
                                       version));
        const auto image = value_of(SystemImage<PagedMemory>::open("qcow2", PagedMemory(built.file),
                                                                   {.cache = tiny_cache}));
        std::array<char, 1023> buffer{};
        CHECK(value_of(image.parent_name(0, buffer)) == "base");
        CHECK(value_of(image.parent_format(buffer)) == "raw");
    }
}

TEST_CASE("qcow2: extensions that lie", "[qcow2][extensions][hostile]") {
    SECTION("each known one twice") {
        for (const uint32_t type : {qcow2::extension::backing_format,
                                    qcow2::extension::feature_names, qcow2::extension::bitmaps,
                                    qcow2::extension::encryption, qcow2::extension::data_file}) {
            const Built built = build(with({{type, "raw"}, {type, "raw"}}));
            check_refusal(examine<Qcow2>(built.file), Errc::corrupt,
                          "qcow2: header extension occurs twice");
        }
    }
    SECTION("a backing format of 15 and 16 letters") {
        CHECK(rule(examine<Qcow2>(build(with({{backing_format, std::string(15, 'f')}})).file)) ==
              "");
        check_refusal(examine<Qcow2>(build(with({{backing_format, std::string(16, 'f')}})).file),
                      Errc::corrupt, "qcow2: name of the backing format is too long");
    }
    SECTION("a data file name of 1024 letters") {
        Qcow2Spec spec = with({{qcow2::extension::data_file, std::string(1024, 'f')}});
        spec.cluster_bits = 12;
        check_refusal(examine<Qcow2>(build(spec).file), Errc::corrupt,
                      "qcow2: name of the data file is too long");
    }
    SECTION("lengths") {
        Built built = build(with({{0x11111111, "12345678"}}));
        const uint64_t at = built.extensions_at;
        const uint64_t name_at = get_be64(built.file, 8);
        for (const uint64_t length :
             {~uint64_t{0}, ~uint64_t{7}, uint64_t{0x7FFFFFFF}, name_at - at - 8 + 1}) {
            set_be32(built.file, at + 4, length);
            check_refusal(examine<Qcow2>(built.file), Errc::corrupt, too_large);
        }
        // Up to the backing name: no end marker is needed.
        set_be32(built.file, at + 4, name_at - at - 8);
        CHECK(rule(examine<Qcow2>(built.file)) == "");
    }
}

TEST_CASE("qcow2: names are read whole or not at all", "[qcow2][extensions][hostile]") {
    Built built = build(with({{backing_format, "raw"}}));
    const auto name = [&] {
        const auto image =
            value_of(SystemImage<MemoryStorage>::open("qcow2", MemoryStorage(built.file)));
        std::array<char, 4> buffer{};
        const auto text = image.parent_name(0, buffer);
        return text ? std::string(*text) : text.error().what;
    };
    const uint64_t at = get_be64(built.file, 8);
    CHECK(name() == "base");
    built.file[at + 2] = byte{0};
    CHECK(name() == "name: holds a NUL");
    set_be32(built.file, 16, 5);
    CHECK(name() == "name: longer than allowed");
}

TEST_CASE("qcow2: a file may end inside its last cluster", "[qcow2][eof][hostile]") {
    // Ascending order without streams: the last guest cluster is the last before the refcounts.
    const Built built = build(
        Qcow2Spec{.size = 64_KiB, .cluster_bits = 12, .clusters = {{1}, {2}, {9}}, .shuffle = 0});
    File file = built.file;
    const uint64_t last = get_be64(file, built.entry_at.at(9)) & ~(uint64_t{1} << 63);
    REQUIRE(last + 4096 == built.data_end);
    for (const uint64_t kept : {4096u, 4095u, 513u, 1u}) {
        CAPTURE(kept);
        file.resize(last + kept);
        File wanted = built.guest.bytes;
        std::fill(wanted.begin() + static_cast<ptrdiff_t>(9 * 4096 + kept),
                  wanted.begin() + 10 * 4096, byte{0});
        CHECK(examine<Qcow2>(file).bytes == wanted);
    }
    file.resize(last);
    check_refusal(examine<Qcow2>(file), Errc::corrupt,
                  "qcow2: cluster lies past the end of the file");
}

TEST_CASE("qcow2: a file may end inside an L2 table", "[qcow2][eof][hostile]") {
    Built built = build(
        Qcow2Spec{.size = 64_KiB, .cluster_bits = 12, .clusters = {{1, Fill::zero}}, .shuffle = 0});
    const uint64_t table = get_be64(built.file, built.l1_at) & ~(uint64_t{1} << 63);
    for (const uint64_t kept : {12u, 15u, 16u, 100u}) {  // entry 1 ends after 16 bytes
        CAPTURE(kept);
        File file = built.file;
        file.resize(table + kept);
        CHECK(examine<Qcow2>(file).bytes == File(64_KiB));
    }
}

TEST_CASE("qcow2: a size that is not of sectors is cut to one", "[qcow2][hostile]") {
    Built built = build(Qcow2Spec{.size = 64_KiB, .cluster_bits = 12, .clusters = {{0}, {15}}});
    set_be64(built.file, 24, 64_KiB - 1);
    const Verdict verdict = examine<Qcow2>(built.file);
    built.guest.bytes.resize(64_KiB - 512);
    CHECK(verdict.bytes == built.guest.bytes);
}
