// SPDX-License-Identifier: BSL-1.0
// Differencing VHDX images and the images they stand on.
#include "catch.hpp"
#include "support/library.hpp"
#include "support/vhdx_builder.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

using Pairs = std::vector<std::pair<std::u16string, std::u16string>>;

Pairs by(const char16_t* key, const char16_t* path, uint8_t parent_id) {
    return {{u"parent_linkage", linkage(parent_id)}, {key, path}};
}

// A disk of three images; their ids are 1, 2, 3 from the base, and each is larger than what it
// stands on.
struct ThreeVhdx {
    Library library = {};
    File seen = {};

    explicit ThreeVhdx(const Pairs& middle, const Pairs& base = by(u"relative_path", u"base", 1)) {
        add("base", {.size = 2_MiB, .id = 1});
        add("middle", {.size = 3_MiB, .has_parent = true, .id = 2, .locator = base});
        add("top", {.size = 4_MiB - 512, .has_parent = true, .id = 3, .locator = middle});
    }
    void add(const char* name, VhdxSpec spec) {
        spec.blocks = vhdx_mixture(blocks(spec.size, 20), spec.id, spec.has_parent);
        BuiltVhdx built = build(spec);
        seen = over(built.guest, seen);
        library.files[name] = std::move(built.file);
    }
    void move(const std::string& from, const std::string& to) {
        auto node = library.files.extract(from);
        node.key() = to;
        library.files.insert(std::move(node));
    }
    void check() {
        const auto disk = library.disk("top");
        if (!disk) FAIL(disk.error().what);
        CHECK(disk->layers().size() == 3);
        File out(seen.size());
        REQUIRE(read(*disk, 0, out));
        CHECK(out == seen);
    }
};

File vhdx_child(uint8_t id, Pairs locator) {
    return build(
               VhdxSpec{.size = 1_MiB, .has_parent = true, .id = id, .locator = std::move(locator)})
        .file;
}
File vhdx_base(uint8_t id) {
    return build(VhdxSpec{.size = 1_MiB, .blocks = {{0}}, .id = id}).file;
}

}  // namespace

TEST_CASE("vhdx chain: three images, found by each kind of path", "[vhdx][chain]") {
    SECTION("relative_path") { ThreeVhdx(by(u"relative_path", u".\\middle", 2)).check(); }
    SECTION("relative_path, beside") {
        ThreeVhdx three(by(u"relative_path", u"..\\other\\middle", 2));
        three.move("middle", "../other/middle");
        three.check();
    }
    SECTION("volume_path") {
        ThreeVhdx three(by(u"volume_path", u"\\\\?\\Volume{7}\\middle", 2));
        three.move("middle", "//?/Volume{7}/middle");
        three.check();
    }
    SECTION("absolute_win32_path") {
        ThreeVhdx three(by(u"absolute_win32_path", u"\\\\?\\C:\\vhds\\middle", 2));
        three.move("middle", "C:/vhds/middle");
        three.check();
    }
    SECTION("absolute_win32_path on a server") {
        ThreeVhdx three(by(u"absolute_win32_path", u"\\\\?\\UNC\\server\\share\\middle", 2));
        three.move("middle", "//server/share/middle");
        three.check();
    }
    SECTION("every image asks for its own parent, from where it is") {
        ThreeVhdx three(by(u"relative_path", u"middle", 2));
        three.check();
        const auto& asked = three.library.asked;
        REQUIRE(asked.size() == 2);
        CHECK(asked[0].name == "middle");
        CHECK(asked[0].from == "top");
        CHECK(asked[1].name == "base");
        CHECK(asked[1].from == "middle");
    }
}

TEST_CASE("vhdx chain: names are tried until one leads to the parent", "[vhdx][chain]") {
    Library library{.files = {{"top", vhdx_child(2, {{u"parent_linkage", linkage(1)},
                                                     {u"relative_path", u"old"},
                                                     {u"absolute_win32_path", u"new"}})}}};
    CHECK(error_of(library) == no_file);
    CHECK(library.asked.size() == 2);
    library.files["old"] = vhdx_base(9);
    CHECK(error_of(library) == not_the_parent);
    library.files["new"] = vhdx_base(1);
    CHECK(error_of(library) == "");
    library.files["old"] = File(1_MiB, byte{7});
    CHECK(error_of(library) == "");
}

TEST_CASE("vhdx chain: the parent is that of the link", "[vhdx][chain]") {
    Library library{.files = {{"base", vhdx_base(1)}}};
    library.files["top"] = vhdx_child(2, by(u"relative_path", u"base", 3));
    CHECK(error_of(library) == not_the_parent);
    Pairs both = by(u"relative_path", u"base", 3);
    both.push_back({u"parent_linkage2", linkage(1)});
    library.files["top"] = vhdx_child(2, both);
    CHECK(error_of(library) == "");
    library.files["top"] = vhdx_child(2, {{u"relative_path", u"base"}});
    CHECK(error_of(library) == not_the_parent);
    library.files["top"] = vhdx_child(2, {{u"relative_path", u"base"}, {u"parent_linkage", u"1"}});
    CHECK(error_of(library) == not_the_parent);
    library.files["top"] = vhdx_child(2, {{u"parent_linkage", linkage(1)}});
    CHECK(error_of(library) == "open: the image does not name the file it needs");
}

TEST_CASE("vhdx chain: a parent that is no VHDX, or the image itself", "[vhdx][chain][hostile]") {
    Library library{.files = {{"top", vhdx_child(2, by(u"relative_path", u"base", 1))},
                              {"base", build(Qcow2Spec{.size = 1_MiB}).file}}};
    CHECK(error_of(library) == "vhdx: the file is shorter than 1 MiB");
    library.files["top"] = vhdx_child(1, by(u"relative_path", u"top", 1));
    CHECK(error_of(library) == "open: the backing files form a loop");
}

TEST_CASE("vhdx chain: a parent is read behind its log", "[vhdx][chain]") {
    const BuiltVhdx parent = build(VhdxSpec{.size = 1_MiB, .blocks = {{0}}, .id = 1});
    Library library{.files = {{"top", vhdx_child(2, by(u"relative_path", u"base", 1))}}};
    library.files["base"] = with_log(
        parent, {0x30000, 0x40000, parent.bat_at, parent.metadata_at, parent.block_at.at(0)}, 255);
    const auto disk = library.disk("top");
    REQUIRE(disk);
    File out(1_MiB);
    REQUIRE(read(*disk, 0, out));
    CHECK(out == parent.guest.bytes);
}
