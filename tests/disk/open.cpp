// SPDX-License-Identifier: BSL-1.0
// Probing, gates, and chains that must not be opened.
#include <vdisk/storage/faulty.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"
#include "support/library.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

File qcow2_file(std::string backing = {}, std::string format = {},
                std::vector<Cluster> clusters = {}) {
    return build(Qcow2Spec{.size = 64_KiB,
                           .cluster_bits = 12,
                           .clusters = std::move(clusters),
                           .backing_file = std::move(backing),
                           .backing_format = std::move(format)})
        .file;
}
File qcow_file(std::string backing = {}) {
    return build(QcowSpec{.size = 64_KiB, .backing_file = std::move(backing)}).file;
}

std::string probed(const File& file) {
    const auto found = probe(MemoryStorage(file), AllFormats{});
    return found ? std::string(*found) : found.error().what;
}

// The first byte of the guest, or what went wrong.
std::string first_byte(Library& library, const std::string& top, const ChainOptions& options = {}) {
    const auto disk = library.disk(top, options);
    if (!disk) return disk.error().what;
    std::array<byte, 1> out{};
    if (const Status got = read(*disk, 0, out); !got) return got.error().what;
    return std::to_string(static_cast<int>(out[0]));
}

constexpr const char* unsaid = "open: the image does not say what format its backing file has";

}  // namespace

TEST_CASE("probe: signature and version decide", "[probe]") {
    const char* const none = "probe: no known format";
    CHECK(probed(qcow2_file()) == "qcow2");
    CHECK(probed(qcow_file()) == "qcow");
    CHECK(probed({}) == none);
    CHECK(probed(File(512)) == none);
    CHECK(probed(noise(100000)) == none);
    File file = qcow2_file();
    CHECK(probed(File(file.begin(), file.begin() + 72)) == "qcow2");
    CHECK(probed(File(file.begin(), file.begin() + 71)) == none);
    set_be32(file, 4, 0);
    CHECK(probed(file) == none);
    for (const uint32_t version : {2u, 3u, 4u, ~0u}) {
        set_be32(file, 4, version);
        CHECK(probed(file) == "qcow2");
    }
}

TEST_CASE("probe: a damaged image is not a raw disk", "[probe]") {
    Library library;
    for (const uint64_t at : {20u, 32u, 36u, 40u, 48u, 56u, 72u, 96u, 100u}) {
        CAPTURE(at);
        File file = qcow2_file();
        set_be32(file, at, 0x7FFFFFFF);
        library.files["damaged"] = file;
        const auto disk = library.disk("damaged", {.raw_fallback = true});
        REQUIRE_FALSE(disk);
        CHECK(std::string_view(disk.error().what).starts_with("qcow2: "));
    }
    library.files["future"] = qcow2_file();
    set_be32(library.files["future"], 4, 4);
    CHECK(library.disk("future", {.raw_fallback = true}).error().code == Errc::unsupported);
}

TEST_CASE("probe: raw only if somebody says so", "[probe]") {
    Library library{.files = {{"raw", File(1024, byte{7})}, {"qcow2", qcow2_file()}}};
    CHECK(first_byte(library, "raw") == "probe: no known format");
    CHECK(first_byte(library, "raw", {.raw_fallback = true}) == "7");
    CHECK(first_byte(library, "raw", {.format = "raw"}) == "7");
    CHECK(first_byte(library, "qcow2", {.format = "raw"}) == "81");  // 'Q'
    CHECK(first_byte(library, "qcow2", {.format = "qcow"}) == "qcow: version is not 1");
    CHECK(first_byte(library, "qcow2", {.format = "vmdk"}) == "open: unknown format name");
    CHECK(first_byte(library, "raw", {.format = "qcow2"}) == "qcow2: no qcow2 magic");
}

TEST_CASE("probe: a failing storage is no raw disk", "[probe]") {
    const File file(1024);
    for (const uint64_t n : {1u, 2u}) {
        Fault fault{.countdown = n};
        const FaultyStorage<MemoryStorage> faulty(MemoryStorage(file), fault);
        const auto found = format_of<AllFormats>(faulty, {.raw_fallback = true});
        REQUIRE_FALSE(found);
        CHECK(found.error().code == Errc::io);
    }
}

namespace {

// Claims every file, or fails to read it.
template <int N, bool fails = false>
struct Claims {
    static constexpr std::string_view name = N == 1 ? "one" : "two";
    template <Storage S>
    static Result<bool> detect(const S& /*storage*/) {
        if (fails) return fail(Errc::io, "claims: cannot read");
        return true;
    }
};

template <class... Formats>
std::string probed_as() {
    const auto found = probe(MemoryStorage({}), FormatList<Formats...>{});
    return found ? std::string(*found) : found.error().what;
}

}  // namespace

TEST_CASE("probe: what two formats claim is nobody's", "[probe]") {
    using One = Claims<1>;
    using Two = Claims<2>;
    using Broken = Claims<2, true>;
    CHECK(probed_as<One>() == "one");
    CHECK(probed_as<Raw, Qcow, Two, Qcow2>() == "two");
    const auto both = probe(MemoryStorage({}), FormatList<One, Qcow, Two>{});
    REQUIRE_FALSE(both);
    CHECK(both.error().code == Errc::ambiguous);
    CHECK(probed_as<Broken>() == "claims: cannot read");
    CHECK(probed_as<One, Broken>() == "claims: cannot read");
    CHECK(probed_as<Broken, One>() == "claims: cannot read");
}

TEST_CASE("gate: by default nothing gets through", "[gate]") {
    using Image = SystemImage<MemoryStorage>;
    DenyAll<MemoryStorage> gate;
    const auto open_it = [&](const File& file) {
        return open_chain<Image>(
            Opened<MemoryStorage, DenyAll<MemoryStorage>::Origin>{MemoryStorage(file), {}}, gate,
            ChainOptions{});
    };
    CHECK(open_it(qcow2_file()));
    CHECK(open_it(qcow_file()));
    CHECK(open_it(qcow2_file("base", "raw")).error().code == Errc::denied);
    CHECK(open_it(qcow_file("base")).error().code == Errc::denied);
    const Built external = build(Qcow2Spec{
        .size = 64_KiB, .data_file = true, .extensions = {{qcow2::extension::data_file, "data"}}});
    CHECK(open_it(external.file).error().code == Errc::denied);
}

TEST_CASE("gate: is asked once per file, with the name as it stands", "[gate]") {
    const std::string odd = "json:{\"driver\": \"x\"} ../..";
    Library library{.files = {{"top", qcow2_file("middle", "qcow2")},
                              {"middle", qcow2_file(odd, "raw")},
                              {odd, File(9)}}};
    REQUIRE(library.disk("top"));
    REQUIRE(library.asked.size() == 2);
    CHECK(library.asked[0].name == "middle");
    CHECK(library.asked[0].from == "top");
    CHECK(library.asked[1].name == odd);
    CHECK(library.asked[1].from == "middle");
    CHECK(library.asked[1].role == Reference::Role::backing_file);
}

TEST_CASE("gate: names that are no names", "[gate]") {
    Library library{.files = {{"top", qcow2_file("base", "raw")}}};
    CHECK(first_byte(library, "top") == "library: no such file");
    File& top = library.files["top"];
    top[get_be64(top, 8) + 1] = byte{0};
    library.asked.clear();
    CHECK(first_byte(library, "top") == "name: holds a NUL");
    CHECK(library.asked.empty());
}

TEST_CASE("open: an external data file comes through the gate", "[open][data-file]") {
    Qcow2Spec spec{.size = 64_KiB,
                   .cluster_bits = 12,
                   .data_file = true,
                   .clusters = {{0}, {3}, {4, Fill::zero}, {15}}};
    SECTION("with a name") {
        spec.extensions = {{qcow2::extension::data_file, "data"}};
        const Built built = build(spec);
        Library library{.files = {{"top", built.file}, {"data", built.data_file}}};
        const auto disk = library.disk("top");
        REQUIRE(disk);
        File out(64_KiB);
        REQUIRE(read(*disk, 0, out));
        CHECK(out == built.guest.bytes);
        REQUIRE(library.asked.size() == 1);
        CHECK(library.asked[0].role == Reference::Role::data_file);
        library.files.erase("data");
        CHECK(first_byte(library, "top") == "library: no such file");
    }
    SECTION("without") {
        Library library{.files = {{"top", build(spec).file}}};
        CHECK(first_byte(library, "top") == "open: the image does not name the file it needs");
    }
}

TEST_CASE("open: loops and depth", "[open]") {
    SECTION("an image that is its own parent") {
        Library library{.files = {{"a", qcow2_file("a", "qcow2")}}};
        CHECK(first_byte(library, "a") == "open: the backing files form a loop");
    }
    SECTION("a loop further down") {
        Library library{.files = {{"a", qcow2_file("b", "qcow2")},
                                  {"b", qcow2_file("c", "qcow")},
                                  {"c", qcow_file("b")}}};
        CHECK(first_byte(library, "a", {.backing_format = "qcow2"}) ==
              "open: the backing files form a loop");
    }
    SECTION("as many as allowed, and one more") {
        Library library{.files = {{"0", File(512, byte{9})}}};
        for (int i = 1; i != 201; ++i) {
            library.files[std::to_string(i)] =
                qcow2_file(std::to_string(i - 1), i == 1 ? "raw" : "qcow2");
        }
        CHECK(first_byte(library, "199") == "9");
        CHECK(first_byte(library, "200") == "open: too many backing files");
        CHECK(first_byte(library, "3", {.max_depth = 4}) == "9");
        CHECK(first_byte(library, "3", {.max_depth = 3}) == "open: too many backing files");
        CHECK(library.disk("1", {.max_depth = 1}).error().code == Errc::limit);
    }
}

TEST_CASE("open: a backing format that is not stated is never guessed", "[open]") {
    Library library{.files = {{"raw", File(1024, byte{7})},
                              {"over raw", qcow2_file("raw")},
                              {"base", qcow2_file({}, {}, {{0, Fill::zero}})},
                              {"over qcow2", qcow2_file("base")},
                              {"qcow", qcow_file("base")}}};
    CHECK(first_byte(library, "over raw") == "7");
    CHECK(first_byte(library, "over qcow2") == unsaid);
    CHECK(library.disk("qcow").error().code == Errc::ambiguous);
    CHECK(first_byte(library, "over qcow2", {.backing_format = "qcow2"}) == "0");
    CHECK(first_byte(library, "qcow", {.backing_format = "qcow2"}) == "0");
    CHECK(first_byte(library, "qcow", {.backing_format = "raw"}) == "81");
    CHECK(first_byte(library, "over raw", {.backing_format = "qcow2"}) == "qcow2: no qcow2 magic");

    // What is stated counts: a raw disk whose guest wrote a qcow2 header stays raw.
    library.files["says raw"] = qcow2_file("base", "raw");
    CHECK(first_byte(library, "says raw") == "81");
    CHECK(first_byte(library, "says raw", {.backing_format = "qcow2"}) == "81");
    library.files["says nonsense"] = qcow2_file("base", "file");
    CHECK(first_byte(library, "says nonsense") == "open: unknown format name");
}
