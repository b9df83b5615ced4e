// SPDX-License-Identifier: BSL-1.0
// Differencing VHD images and the images they stand on.
#include "catch.hpp"
#include "support/library.hpp"
#include "support/vhd_builder.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

File ascii(std::string_view text) {
    const Bytes bytes = std::as_bytes(std::span(text));
    return File(bytes.begin(), bytes.end());
}

constexpr const char* loops = "open: the backing files form a loop";

// A disk of three images, named by `way`; their ids are 1, 2, 3 from the base.
struct ThreeVhd {
    Library library = {};
    File seen = {};

    explicit ThreeVhd(const VhdLocator& middle,
                      const VhdLocator& base = {"W2ru", utf16le(u"base")}) {
        add("base", {.type = 3, .id = 1}, {});
        add("middle", {.type = 4, .id = 2, .parent_id = 1}, base);
        add("top", {.type = 4, .id = 3, .parent_id = 2}, middle);
    }
    void add(const char* name, VhdSpec spec, const VhdLocator& locator) {
        spec.size = 200_KiB;
        spec.block_bits = 12 + spec.id;
        spec.blocks = vhd_mixture(25, spec.id);
        std::erase_if(spec.blocks,
                      [&](const VhdBlock& b) { return b.index << spec.block_bits >= spec.size; });
        if (!locator.code.empty()) spec.locators = {locator};
        BuiltVhd built = build(spec);
        seen = over(built.guest, seen);
        library.files[name] = std::move(built.file);
    }
    void move(const std::string& from, const std::string& to) {
        auto node = library.files.extract(from);
        node.key() = to;
        library.files.insert(std::move(node));
    }

    void check(const ChainOptions& options = {}) {
        const auto disk = library.disk("top", options);
        if (!disk) FAIL(disk.error().what);
        CHECK(disk->layers().size() == 3);
        File out(seen.size());
        REQUIRE(read(*disk, 0, out));
        CHECK(out == seen);
    }
};

VhdSpec vhd_child(uint8_t id, uint8_t parent_id, std::vector<VhdLocator> locators,
                  std::u16string name = {}) {
    return {.type = 4,
            .size = 64_KiB,
            .id = id,
            .parent_id = parent_id,
            .unicode_name = std::move(name),
            .locators = std::move(locators)};
}

File vhd_base(uint8_t id, uint32_t type = 3) {
    return build(VhdSpec{.type = type, .size = 64_KiB, .blocks = {{0}}, .id = id}).file;
}

}  // namespace

TEST_CASE("vhd chain: three images, found by each kind of locator", "[vhd][chain]") {
    SECTION("W2ru") { ThreeVhd({"W2ru", utf16le(u".\\middle")}).check(); }
    SECTION("W2ru in a folder below") {
        ThreeVhd three({"W2ru", utf16le(u".\\sub\\deeper\\middle")});
        three.move("middle", "sub/deeper/middle");
        three.check();
    }
    SECTION("W2ru beside") {
        ThreeVhd three({"W2ru", utf16le(u"..\\other\\middle")});
        three.move("middle", "../other/middle");
        three.check();
    }
    SECTION("W2ku") {
        ThreeVhd three({"W2ku", utf16le(u"C:\\vhds\\middle")}, {"Wi2r", ascii(".\\base")});
        three.move("middle", "C:/vhds/middle");
        three.check();
    }
    SECTION("MacX") {
        ThreeVhd three({"MacX", ascii("file:///v%20hds/middle")}, {"MacX", ascii("file://./base")});
        three.move("middle", "/v hds/middle");
        three.check();
    }
    SECTION("Wi2k") {
        ThreeVhd three({"Wi2k", ascii("D:\\middle")});
        three.move("middle", "D:/middle");
        three.check();
    }
    SECTION("every image asks for its own parent, from where it is") {
        ThreeVhd three({"W2ru", utf16le(u".\\middle")});
        three.check();
        const auto& asked = three.library.asked;
        REQUIRE(asked.size() == 2);
        CHECK(asked[0].name == "middle");
        CHECK(asked[0].from == "top");
        CHECK(asked[1].name == "base");
        CHECK(asked[1].from == "middle");
    }
}

TEST_CASE("vhd chain: the unicode name alone", "[vhd][chain]") {
    Library library{.files = {{"top", build(vhd_child(2, 1, {}, u"C:\\dir\\base")).file},
                              {"base", vhd_base(1)}}};
    CHECK(error_of(library) == "");
    CHECK(library.asked[0].name == "base");
}

TEST_CASE("vhd chain: names are tried until one leads to the parent", "[vhd][chain]") {
    const VhdLocator relative = {"W2ru", utf16le(u"old")}, absolute = {"W2ku", utf16le(u"new")};
    Library library{.files = {{"top", build(vhd_child(2, 1, {relative, absolute}, u"name")).file}}};
    SECTION("nothing there: what is wrong with the first is told") {
        CHECK(error_of(library) == no_file);
        CHECK(library.asked.size() == 3);
    }
    SECTION("the first leads nowhere") { library.files["new"] = vhd_base(1); }
    SECTION("the first leads to a stranger") {
        library.files["old"] = vhd_base(9);
        CHECK(error_of(library) == not_the_parent);
        library.files["new"] = vhd_base(1);
    }
    SECTION("the first leads to what is no VHD") {
        library.files["old"] = File(1_MiB, byte{7});
        CHECK(error_of(library) == "vhd: there is no footer, at the end or at the front");
        library.files["new"] = vhd_base(1);
    }
    SECTION("only the last is right") {
        library.files["old"] = vhd_base(9);
        library.files["new"] = vhd_base(8);
        library.files["name"] = vhd_base(1, 2);
    }
    if (library.files.size() > 1) CHECK(error_of(library) == "");
}

TEST_CASE("vhd chain: an id that is not the parent's", "[vhd][chain]") {
    Library library{.files = {{"top", build(vhd_child(2, 1, {{"W2ru", utf16le(u"base")}})).file}}};
    for (const uint32_t type : {2u, 3u, 4u}) {
        library.files["base"] = vhd_base(9, type);
        CHECK(error_of(library) == not_the_parent);
    }
    library.files["base"] = vhd_base(1);
    CHECK(error_of(library) == "");
}

TEST_CASE("vhd chain: no name", "[vhd][chain]") {
    Library library{.files = {{"top", build(vhd_child(2, 1, {})).file}}};
    CHECK(error_of(library) == "open: the image does not name the file it needs");
    library.files["top"] = build(vhd_child(2, 1, {{"W2ru", utf16le(u"\xD800")}})).file;
    CHECK(error_of(library) == "name: a UTF-16 surrogate stands alone");
}

TEST_CASE("vhd chain: loops and depth", "[vhd][chain][hostile]") {
    SECTION("its own parent") {
        Library library{.files = {{"top", build(vhd_child(1, 1, {}, u"top")).file}}};
        CHECK(error_of(library) == loops);
    }
    SECTION("further down") {
        Library library{.files = {{"top", build(vhd_child(1, 2, {}, u"b")).file},
                                  {"b", build(vhd_child(2, 3, {}, u"c")).file},
                                  {"c", build(vhd_child(3, 2, {}, u"b")).file}}};
        CHECK(error_of(library) == loops);
    }
    SECTION("as many as allowed, and one more") {
        Library library{.files = {{"0", vhd_base(1)}}};
        std::u16string name = u"0";
        for (int i = 1; i != 201; ++i) {
            const std::string now = i == 200 ? "top" : std::to_string(i);
            library.files[now] = build(vhd_child(1, 1, {}, name)).file;
            name.assign(now.begin(), now.end());
        }
        CHECK(error_of(library) == "open: too many backing files");
        library.files["top"] = build(vhd_child(1, 1, {}, u"198")).file;
        CHECK(error_of(library) == "");
        CHECK(error_of(library, {.max_depth = 199}) == "open: too many backing files");
    }
}

TEST_CASE("vhd chain: a parent that is shorter", "[vhd][chain]") {
    VhdSpec spec = vhd_child(2, 1, {}, u"base");
    spec.size = 128_KiB;
    spec.blocks = {{1}, {17}, {31}};
    const BuiltVhd top = build(spec);
    const BuiltVhd below = build(VhdSpec{.size = 64_KiB, .blocks = {{1}, {2}}});
    Library library{.files = {{"top", top.file}, {"base", below.file}}};
    const auto disk = library.disk("top");
    REQUIRE(disk);
    File out(128_KiB);
    REQUIRE(read(*disk, 0, out));
    CHECK(out == over(top.guest, below.guest.bytes));
}
