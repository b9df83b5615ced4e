// SPDX-License-Identifier: BSL-1.0
// Features: names of unknown ones, encryption, dirty and corrupt bits, the external data file.
#include <vdisk/codec/none.hpp>

#include "support/verdict.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

std::string feature_row(char kind, char bit, std::string name) {
    name.resize(46);
    return std::string{kind, bit} + name;
}

Qcow2Spec small() { return {.size = 64_KiB, .cluster_bits = 12, .clusters = {{0}, {5}}}; }

template <class S>
Result<SystemImage<S>> open_as_qcow2(S storage, Purpose purpose) {
    return SystemImage<S>::open("qcow2", storage, {.purpose = purpose, .cache = tiny_cache});
}

std::string name_of_feature(const File& file, uint8_t kind, uint8_t bit) {
    qcow2::FeatureName row{};
    const auto known = qcow2::feature_name(MemoryStorage(file), kind, bit, row);
    if (!known) return known.error().what;
    return *known ? std::string(row.name.data()) : "(no name)";
}

}  // namespace

TEST_CASE("qcow2: unknown incompatible features are refused, and have names", "[qcow2][features]") {
    Qcow2Spec spec = small();
    spec.incompatible = uint64_t{1} << 40 | uint64_t{1} << 7;
    spec.extensions = {{0x12345678, "something unknown"},
                       {qcow2::extension::feature_names, feature_row(0, 0, "dirty bit") +
                                                             feature_row(1, 40, "harmless") +
                                                             feature_row(0, 40, "time travel")}};
    const File file = build(spec).file;
    const Verdict verdict = judge<Qcow2>(file);
    check_refusal(verdict, Errc::unsupported, qcow2::unknown_features);
    CHECK(verdict.error->value == spec.incompatible);
    CHECK(rule(judge<Qcow2>(file, Purpose::metadata)) == qcow2::unknown_features);

    CHECK(name_of_feature(file, 0, 40) == "time travel");
    CHECK(name_of_feature(file, 1, 40) == "harmless");
    CHECK(name_of_feature(file, 0, 7) == "(no name)");
    CHECK(name_of_feature(file, 2, 40) == "(no name)");
}

TEST_CASE("qcow2: a hostile feature name table", "[qcow2][features]") {
    Qcow2Spec spec = small();
    spec.incompatible = uint64_t{1} << 40;
    spec.extensions = {{qcow2::extension::feature_names, feature_row(0, 40, "x").substr(0, 47)}};
    Built image = build(spec);
    const uint64_t at = image.extensions_at;
    SECTION("a row that is cut short is no row") {
        CHECK(name_of_feature(image.file, 0, 40) == "(no name)");
    }
    SECTION("longer than the cluster") {
        set_be32(image.file, at + 4, 4096);
        CHECK(name_of_feature(image.file, 0, 40) == "qcow2: header extension is too large");
    }
    SECTION("header_length past the cluster") {
        set_be32(image.file, 100, ~0u);
        CHECK(name_of_feature(image.file, 0, 40) == "(no name)");
    }
    SECTION("version 2 has no names") {
        set_be32(image.file, 4, 2);
        CHECK(name_of_feature(image.file, 0, 40) == "qcow2: no version 3 header");
    }
    SECTION("the file ends after the header") {
        image.file.resize(112);
        CHECK(name_of_feature(image.file, 0, 40) == "(no name)");
    }
}

TEST_CASE("qcow2: encrypted images open for their metadata alone", "[qcow2][features]") {
    for (const uint32_t method : {1u, 2u}) {
        CAPTURE(method);
        Qcow2Spec spec = small();
        if (method == 2) spec.extensions = {{qcow2::extension::encryption, std::string(16, '\0')}};
        File file = build(spec).file;
        set_be32(file, 32, method);
        const char* const what = "qcow2: the image is encrypted (AES or LUKS)";
        check_refusal(judge<Qcow2>(file), Errc::encrypted, what);
        check_refusal(judge<Qcow2>(file, Purpose::metadata), Errc::encrypted, what);
        const auto image = open_as_qcow2(MemoryStorage(file), Purpose::metadata);
        REQUIRE(image);
        CHECK(image->size() == 64_KiB);
        CHECK(image->lookup(0, 1).error().code == Errc::encrypted);
    }
}

TEST_CASE("qcow2: LUKS needs its header extension", "[qcow2][features]") {
    File file = build(small()).file;
    set_be32(file, 32, 2);
    const char* const what = "qcow2: LUKS encryption without its header extension";
    check_refusal(judge<Qcow2>(file, Purpose::metadata), Errc::corrupt, what);
}

TEST_CASE("qcow2: dirty and corrupt images can be read, and say so", "[qcow2][features]") {
    for (const uint64_t bits : {0u, 1u, 2u, 3u}) {
        CAPTURE(bits);
        Qcow2Spec spec = small();
        spec.incompatible = bits;
        const Built built = build(spec);
        CHECK(judge<Qcow2>(built.file).bytes == built.guest.bytes);
        const auto image =
            qcow2::Image<MemoryStorage, Heap, NoCodec>::open(MemoryStorage(built.file));
        REQUIRE(image);
        CHECK(image->layout().is_dirty() == ((bits & 1) != 0));
        CHECK(image->layout().is_corrupt() == ((bits & 2) != 0));
    }
}

TEST_CASE("qcow2: a build without zstd refuses what it cannot unpack", "[qcow2][features]") {
    Qcow2Spec spec = small();
    File file = build(spec).file;
    set_be64(file, 72, 8);
    file[104] = byte{1};
    using Image = qcow2::Image<MemoryStorage, Heap, Codecs<Zlib>>;
    const auto refused = Image::open(MemoryStorage(file));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::unsupported);
    CHECK(Image::open(MemoryStorage(file), {.purpose = Purpose::metadata}));
}

TEST_CASE("qcow2: zstd clusters", "[qcow2][features]") {
    if (!SystemCodecs::handles(Packing::zstd)) return;
    for (const unsigned bits : {9u, 12u, 16u}) {
        Qcow2Spec spec = {.size = uint64_t{20} << bits, .cluster_bits = bits};
        spec.packing = Packing::zstd;
        spec.clusters = mixture(20, bits, {Fill::packed, Fill::data, Fill::zero});
        const Built image = build(spec);
        CHECK(judge<Qcow2>(image.file).bytes == image.guest.bytes);
    }
}

TEST_CASE("qcow2: an external data file", "[qcow2][data-file]") {
    Qcow2Spec spec = {.size = 256_KiB, .cluster_bits = 12, .data_file = true};
    spec.clusters = mixture(64, 5, {Fill::data, Fill::zero, Fill::zero_kept});
    spec.clusters.insert(spec.clusters.begin(), {0, Fill::data, 77});  // its home is at 0
    std::erase_if(spec.clusters, [](const Cluster& c) { return c.index == 0 && c.seed != 77; });
    spec.extensions = {{qcow2::extension::data_file, "disk.raw"}};
    Built built = build(spec);
    const auto attach = [&](auto& image) -> Status {
        using S = std::remove_cvref_t<decltype(image.file())>;
        return image.attach_data_file(S(Bytes(built.data_file)));
    };
    const auto read_it = [&] { return judge<Qcow2>(built.file, Purpose::data, attach); };
    SECTION("attached") {
        CHECK(read_it().bytes == built.guest.bytes);
        const auto image = value_of(open_as_qcow2(MemoryStorage(built.file), Purpose::data));
        CHECK(image.needs_data_file());
        std::array<char, 100> buffer{};
        CHECK(*read_text(image.file(), image.data_file(), buffer) == "disk.raw");
    }
    SECTION("not attached") {
        check_refusal(judge<Qcow2>(built.file), Errc::not_found,
                      "qcow2: the external data file is not attached");
    }
    SECTION("shorter than the disk reads as zeros") {
        built.data_file.resize(100 * sector);
        File wanted = built.guest.bytes;
        std::fill(wanted.begin() + 100 * sector, wanted.end(), byte{0});
        CHECK(read_it().bytes == wanted);
    }
    SECTION("a cluster that is not at its guest offset") {
        set_be64(built.file, built.entry_at.at(0), 4096 | uint64_t{1} << 63);
        check_refusal(read_it(), Errc::corrupt,
                      "qcow2: cluster in the data file is not at its guest offset");
    }
    SECTION("a compressed cluster") {
        set_be64(built.file, built.entry_at.at(0), uint64_t{1} << 62);
        check_refusal(read_it(), Errc::corrupt,
                      "qcow2: compressed cluster in an image with an external data file");
    }
}

TEST_CASE("qcow2: the first cluster of a data file is at home at 0", "[qcow2][data-file]") {
    const Built built = build(Qcow2Spec{.size = 256_KiB,
                                        .extended_l2 = true,
                                        .data_file = true,
                                        .clusters = {{0, Fill::data, 1, 0x000F, 0x0F00}}});
    auto image = value_of(open_as_qcow2(MemoryStorage(built.file), Purpose::data));
    REQUIRE(image.attach_data_file(MemoryStorage(built.data_file)));
    const auto at = [&](uint64_t guest) { return image.lookup(guest, 64_KiB - guest)->at; };
    CHECK(at(1_KiB) == 1_KiB);    // data
    CHECK(at(10_KiB) == 10_KiB);  // absent
    CHECK(at(18_KiB) == 18_KiB);  // zeros
}

TEST_CASE("qcow2: a data file for an image that has none is refused", "[qcow2][data-file]") {
    const Built built = build(small());
    auto image = value_of(open_as_qcow2(MemoryStorage(built.file), Purpose::data));
    CHECK(image.attach_data_file(MemoryStorage(built.file)).error().code == Errc::invalid);
    File seen(built.guest.bytes.size());
    REQUIRE(read(image, 0, seen));
    CHECK(seen == built.guest.bytes);
}
