// SPDX-License-Identifier: BSL-1.0
// The names that an image has for its parent, and names that are none.
#include <vdisk/format/vhd/paths.hpp>

#include "hostile/vhd_damage.hpp"

namespace vdisk::test {

namespace {

using namespace vhd_damage;
using Names = std::vector<std::string>;

File ascii(std::string_view text) {
    const Bytes bytes = std::as_bytes(std::span(text));
    return File(bytes.begin(), bytes.end());
}

BuiltVhd child(std::vector<VhdLocator> locators, std::u16string unicode_name = {}) {
    return build(VhdSpec{.type = 4,
                         .size = 64_KiB,
                         .unicode_name = std::move(unicode_name),
                         .locators = std::move(locators)});
}

template <class S>
Names names_from(S storage) {
    const auto image =
        value_of(vhd::Image<S, Heap>::open(std::move(storage), {.cache = tiny_cache}));
    Names names;
    for (unsigned choice = 0;; ++choice) {
        std::array<char, 1000> buffer;
        const auto name = image.parent_name(choice, buffer);
        if (!name && name.error().code == Errc::not_found) return names;
        names.push_back(name ? std::string(*name) : std::string("! ") + name.error().what);
        if (!name) return names;
    }
}

// All the names of the parent, in order; an error ends them.
Names names(const File& file) {
    const Names in_place = names_from(MemoryStorage(file));
    CHECK(names_from(PagedMemory(file)) == in_place);
    return in_place;
}
Names names(const BuiltVhd& image) { return names(image.file); }

std::string url(std::string_view text) {
    const Names found = names(child({{"MacX", ascii(text)}}));
    return found.empty() ? "" : found[0];
}

// The name of a locator of so many bytes at `at`.
Names moved(uint64_t at, uint64_t length) {
    BuiltVhd image = child({{"W2ru", utf16le(u"a")}});
    set_be32(image.file, image.locator_at[0] + 8, length);
    set_be64(image.file, image.locator_at[0] + 16, at);
    seal(image.file, image);
    return names(image);
}

const Names outside = {"! vhd: parent locator is too long or past the end of the file"};
const Names lone = {"! name: a UTF-16 surrogate stands alone"};

}  // namespace

TEST_CASE("vhd: the names of a parent, the best first", "[vhd][parent]") {
    const BuiltVhd image = child({{"Wi2k", ascii("C:\\e.vhd")},
                                  {"MacX", ascii("file:///c%20c.vhd")},
                                  {"Mac ", ascii("alias")},
                                  {"W2ku", utf16le(u"C:\\dir\\b.vhd")},
                                  {"Wi2r", ascii("..\\d.vhd")},
                                  {"W2ru", utf16le(u".\\a.vhd")},
                                  {"zzzz", ascii("x")},
                                  {"W2ru", utf16le(u"sub\\a2.vhd")}},
                                 u"C:\\other\\f\xE4.vhd");
    CHECK(names(image) == Names{"a.vhd", "sub/a2.vhd", "C:/dir/b.vhd", "/c c.vhd", "../d.vhd",
                                "C:/e.vhd", "f\xC3\xA4.vhd"});
}

TEST_CASE("vhd: the unicode name alone; no name at all", "[vhd][parent]") {
    CHECK(names(child({}, u"base.vhd")) == Names{"base.vhd"});
    CHECK(names(child({}, u"\\\\server\\share\\b\xD83D\xDCBE.vhd")) ==
          Names{"b\xF0\x9F\x92\xBE.vhd"});
    CHECK(names(child({}, u"folder\\")).empty());
    CHECK(names(child({})).empty());
    CHECK(names(child({},
                      u"a\xD800"
                      u"b")) == lone);
    CHECK(names(child({}, std::u16string(256, u'x'))) == Names{std::string(256, 'x')});
}

TEST_CASE("vhd: locators that lie about their place", "[vhd][parent][hostile]") {
    const uint64_t end = child({{"W2ru", utf16le(u"a")}}).footer_at;
    CHECK(moved(end - 512, 2) == Names{"a"});
    CHECK(moved(end, 2) == outside);
    CHECK(moved(end - 1, 2) == outside);
    CHECK(moved(end + 512, 2) == outside);
    CHECK(moved(uint64_t{1} << 63, 2) == outside);
    CHECK(moved(~uint64_t{0}, 2) == outside);
    CHECK(moved(~uint64_t{0} - 1, 2) == outside);
    CHECK(moved(end - 512, 513) == outside);
    CHECK(moved(0, 65537) == outside);
    CHECK(moved(0, ~0u) == outside);
    CHECK(moved(0, 0).empty());
    CHECK(moved(~uint64_t{0}, 0) == outside);
}

TEST_CASE("vhd: where one name cannot be read, the next one is taken", "[vhd][parent][hostile]") {
    BuiltVhd image = child({{"W2ru", utf16le(u"a.vhd")}, {"W2ku", utf16le(u"C:\\b.vhd")}}, u"c");
    CHECK(names(image) == Names{"a.vhd", "C:/b.vhd", "c"});
    File& file = image.file;
    const uint64_t text = get_be64(file, image.locator_at[0] + 16);
    SECTION("past the end") { set_be64(file, image.locator_at[0] + 16, ~uint64_t{0} - 511); }
    SECTION("too long") { set_be32(file, image.locator_at[0] + 8, 1_MiB); }
    SECTION("of no bytes") { set_be32(file, image.locator_at[0] + 8, 0); }
    SECTION("of half a unit") { set_be32(file, image.locator_at[0] + 8, 1); }
    SECTION("a lone surrogate") { file[text + 3] = byte{0xDC}; }
    SECTION("a NUL first") { file[text] = byte{0}; }
    SECTION("only a point and a slash") {
        file[text] = byte{'.'};
        file[text + 2] = byte{'\\'};
        set_be32(file, image.locator_at[0] + 8, 4);
    }
    seal(file, image);
    CHECK(names(image) == Names{"C:/b.vhd", "c"});
}

TEST_CASE("vhd: after the last name there is none, whatever else is wrong", "[vhd][parent]") {
    const VhdLocator bad = {"W2ru", utf16le(u"\xD800")}, good = {"W2ku", utf16le(u"b")};
    CHECK(names(child({bad, good})) == Names{"b"});
    CHECK(names(child({bad, good}, u"\xDC00")) == Names{"b"});
    CHECK(names(child({bad})) == lone);
    CHECK(names(child({bad}, u"c")) == Names{"c"});
}

TEST_CASE("vhd: paths in UTF-16", "[vhd][parent]") {
    const auto name = [](std::u16string_view path, size_t more = 0) {
        File bytes = utf16le(path);
        bytes.resize(bytes.size() + more, byte{'x'});
        const Names found = names(child({{"W2ru", bytes}}));
        return found.empty() ? "" : found[0];
    };
    CHECK(name(u"\xE4\x20AC\xD83D\xDCBE") == "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x92\xBE");
    CHECK(name(u"abc", 1) == "abc");
    CHECK(name(std::u16string_view(u"abc\0\0\0", 6)) == "abc");
    CHECK(name(std::u16string_view(u"abc\0def", 7)) == "abc");
    CHECK(name(u"\xD800") == lone[0]);
    CHECK(name(u"a\xDC00") == lone[0]);
    CHECK(name(u"a\xD800z") == lone[0]);
    CHECK(name(u".\\.\\a\\..\\b") == "a/../b");
    CHECK(name(u"/posix/./a") == "/posix/./a");
    CHECK(name(std::u16string(1001, u'x')) == "! name: longer than allowed");
    CHECK(name(std::u16string(32769, u'x')) == outside[0]);
    for (const size_t pad : {125u, 126u, 127u, 128u, 129u, 255u, 256u}) {  // read in pieces
        CAPTURE(pad);
        const std::u16string before(pad, u'x');
        const std::string same(pad, 'x');
        CHECK(name(before + u"\xD83D\xDCBE.vhd") == same + "\xF0\x9F\x92\xBE.vhd");
        CHECK(name(before + u"\xD83D") == lone[0]);
        CHECK(name(before + std::u16string(1, u'\0') + std::u16string(200, u'y')) == same);
    }
}

TEST_CASE("vhd: MacX is a URL", "[vhd][parent]") {
    const std::string none, bad = "! vhd: MacX locator is no URL";
    CHECK(url("file:///a/b.vhd") == "/a/b.vhd");
    CHECK(url("file://localhost/a.vhd") == "/a.vhd");
    CHECK(url("file://./a.vhd") == "a.vhd");
    CHECK(url("file:///%41%c3%A4%25") == "/A\xC3\xA4%");
    CHECK(url("file:///a%2Fb") == "/a/b");
    CHECK(url("file:///a%4") == "/a%4");
    CHECK(url("file:///a%") == "/a%");
    CHECK(url("file:///a%zz") == bad);
    CHECK(url("file:///a%4g") == bad);
    CHECK(url("file:///a%00b") == "! vhd: MacX locator holds a NUL");
    CHECK(url(std::string("file:///a\0b", 11)) == "! vhd: MacX locator holds a NUL");
    CHECK(url("file://") == none);
    CHECK(url("http://a/b") == none);
    CHECK(url("/a/b") == none);
    CHECK(url("file:///" + std::string(1000, 'x')) == "! name: longer than allowed");
}

TEST_CASE("vhd: an 8-bit path is read where it is ASCII", "[vhd][parent]") {
    CHECK(names(child({{"Wi2r", ascii(".\\a.vhd")}})) == Names{"a.vhd"});
    CHECK(names(child({{"Wi2k", ascii(std::string_view("C:\\a\0\0z", 7))}})) == Names{"C:/a"});
    CHECK(names(child({{"Wi2r", ascii("\xE4.vhd")}})).empty());
    CHECK(names(child({{"Wi2r", ascii("\xE4.vhd")}, {"Wi2k", ascii("b")}})) == Names{"b"});
}

TEST_CASE("vhd: what is written as a path is read as that path", "[vhd][parent]") {
    using namespace vhd::platform;
    const vhd::ParentLink link = {.unique_id = {},
                                  .relative_path = "d\xC3\xA4/b \xF0\x9F\x92\xBE%.vhd",
                                  .absolute_path = "/x y/d\xC3\xA4/b.vhd"};
    const std::pair<uint32_t, const char*> kinds[] = {
        {w2ru, "W2ru"}, {w2ku, "W2ku"}, {macx, "MacX"}};
    for (const auto& [code, letters] : kinds) {
        CAPTURE(letters);
        File path(vhd::paths::max_encoded);
        path.resize(value_of(vhd::encode_path(code, link, path)));
        const auto& wanted = code == w2ru ? link.relative_path : link.absolute_path;
        CHECK(names(child({{letters, path}})) == Names{std::string(wanted)});
    }
}

}  // namespace vdisk::test
