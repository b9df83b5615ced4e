// SPDX-License-Identifier: BSL-1.0
// The parent locator: names, links, and items that are none.
#include "hostile/vhdx_damage.hpp"

namespace vdisk::test {

namespace {

using namespace vhdx_damage;
using Names = std::vector<std::string>;
using Pairs = std::vector<std::pair<std::u16string, std::u16string>>;

BuiltVhdx child(Pairs pairs) {
    return build(VhdxSpec{.size = 1_MiB, .has_parent = true, .locator = std::move(pairs)});
}

template <class S>
Names names_from(S storage) {
    const auto image =
        value_of(vhdx::Image<S, Heap>::open(std::move(storage), {.cache = tiny_cache}));
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

std::string name(std::u16string_view path) {
    const Names found = names(child({{u"absolute_win32_path", std::u16string(path)}}).file);
    return found.empty() ? "" : found[0];
}

bool is_linked(const BuiltVhdx& image, uint8_t id) {
    Guid guid;
    guid.bytes.fill(static_cast<byte>(id));
    return value_of(vhdx::Image<MemoryStorage, Heap>::open(MemoryStorage(image.file)))
        .is_child_of(guid);
}

const Names lone = {"! name: a UTF-16 surrogate stands alone"};

}  // namespace

TEST_CASE("vhdx: the names of a parent, the best first", "[vhdx][parent]") {
    CHECK(names(child({{u"parent_linkage", linkage(1)},
                       {u"absolute_win32_path", u"\\\\?\\C:\\dir\\p.vhdx"},
                       {u"relative_path", u".\\..\\d\xE4\\p.vhdx"},
                       {u"volume_path", u"\\\\?\\Volume{1}\\p.vhdx"}})
                    .file) ==
          Names{"../d\xC3\xA4/p.vhdx", "//?/Volume{1}/p.vhdx", "C:/dir/p.vhdx"});
    CHECK(names(child({}).file).empty());
    CHECK(names(child({{u"Relative_Path", u"a"}, {u"relative_path2", u"b"}}).file).empty());
    CHECK(name(u"\\\\?\\UNC\\server\\share\\a") == "//server/share/a");
    CHECK(name(u"\\\\server\\share\\a") == "//server/share/a");
    CHECK(name(u"C:\\a") == "C:/a");
    CHECK(name(u"\\\\?\\") == "//?/");
    CHECK(name(u"\\\\?\\UNC\\") == "//");
    CHECK(name(u".\\") == "");
}

TEST_CASE("vhdx: paths in UTF-16", "[vhdx][parent]") {
    CHECK(name(u"\x20AC\xD83D\xDCBE") == "\xE2\x82\xAC\xF0\x9F\x92\xBE");
    CHECK(name(u"\xD800") == lone[0]);
    CHECK(name(u"a\xDC00") == lone[0]);
    CHECK(name(u"a\xD800z") == lone[0]);
    CHECK(name(std::u16string(1001, u'x')) == "! name: longer than allowed");
    for (const size_t pad : {125u, 126u, 127u, 128u, 129u, 255u, 256u}) {  // read in pieces
        CAPTURE(pad);
        const std::u16string before(pad, u'x');
        const std::string same(pad, 'x');
        CHECK(name(before + u"\xD83D\xDCBE.vhdx") == same + "\xF0\x9F\x92\xBE.vhdx");
        CHECK(name(before + u"\xD83D") == lone[0]);
        CHECK(name(before + std::u16string(1, u'\0') + std::u16string(200, u'y')) == same);
    }
}

TEST_CASE("vhdx: where one name cannot be read, the next one is taken", "[vhdx][parent][hostile]") {
    const std::u16string bad = u"\xD800";
    CHECK(names(child({{u"relative_path", bad}, {u"absolute_win32_path", u"b"}}).file) ==
          Names{"b"});
    CHECK(names(child({{u"relative_path", u"a"}, {u"absolute_win32_path", bad}}).file) ==
          Names{"a"});
    CHECK(names(child({{u"relative_path", bad}, {u"volume_path", bad}}).file) == lone);
    CHECK(
        names(child({{u"relative_path", std::u16string(1, u'\0')}, {u"volume_path", u"b"}}).file) ==
        Names{"b"});
}

TEST_CASE("vhdx: parent locators that lie", "[vhdx][parent][hostile]") {
    const Names unknown = {"! vhdx: parent locator is of an unknown type"};
    const Names short_item = {"! vhdx: parent locator is shorter than its header"};
    const Names outside = {"! vhdx: entries of the parent locator are not inside it"};
    const Names text_outside = {"! vhdx: key or value of the parent locator is not inside it"};
    const BuiltVhdx image = child({{u"relative_path", u"a"}});
    const uint32_t length = 20 + 12 + 2 + 26;
    const auto after = [&](const Change& change) { return names(damaged(image, change)); };
    const auto half = [](uint64_t field, uint64_t value) -> Change {
        return [=](File& f, const BuiltVhdx& b) {
            set_le16(f, b.item_at.at("locator") + field, value);
        };
    };
    CHECK(after(item32("locator", 0, 0)) == unknown);
    CHECK(after(entry32("locator", 20, 19)) == short_item);
    CHECK(after(both(entry32("locator", 16, 0), entry32("locator", 20, 0))) == short_item);
    CHECK(after(entry32("locator", 20, 31)) == outside);
    CHECK(after(entry32("locator", 20, length - 1)) == text_outside);
    CHECK(after(half(18, 0)).empty());
    CHECK(after(half(18, 3)) == Names{"a"});  // found before the others are looked at
    CHECK(after(half(18, 4)) == outside);
    CHECK(after(half(18, 65535)) == outside);
    for (const uint64_t offset : {20u, 24u}) {
        CHECK(after(item32("locator", offset, 0)) == text_outside);
        CHECK(after(item32("locator", offset, length)) == text_outside);
        CHECK(after(item32("locator", offset, ~0u)) == text_outside);
        CHECK(after(item32("locator", offset, ~1u)) == text_outside);
    }
    for (const uint64_t field : {28u, 30u}) {
        CHECK(after(half(field, 0)) == text_outside);
        CHECK(after(half(field, 1)) == text_outside);
        CHECK(after(half(field, 65534)) == text_outside);
        CHECK(after(half(field, 65535)) == text_outside);
    }
}

TEST_CASE("vhdx: the link to a parent", "[vhdx][parent]") {
    CHECK(is_linked(child({{u"parent_linkage", linkage(0xA5)}}), 0xA5));
    CHECK_FALSE(is_linked(child({{u"parent_linkage", linkage(0xA5)}}), 0xA4));
    const BuiltVhdx two =
        child({{u"parent_linkage2", linkage(3)}, {u"parent_linkage", linkage(2)}});
    CHECK(is_linked(two, 2));
    CHECK(is_linked(two, 3));
    CHECK_FALSE(is_linked(two, 4));
    CHECK_FALSE(is_linked(child({}), 1));
    CHECK_FALSE(is_linked(child({{u"parent_linkage", u"{}"}}), 1));
    CHECK_FALSE(is_linked(child({}), 0));
    CHECK(is_linked(build(VhdxSpec{.size = 1_MiB}), 0));  // no child, no parent
}

TEST_CASE("vhdx: GUIDs as text", "[vhdx][parent]") {
    const auto bytes = [](std::string_view text) {
        const auto guid = vhdx::guid_from_text(text);
        return guid ? File(guid->bytes.begin(), guid->bytes.end()) : File();
    };
    const File wanted = {byte{0x57}, byte{0xD7}, byte{0x3F}, byte{0xFF}, byte{0x12}, byte{0x27},
                         byte{0x4A}, byte{0xBE}, byte{0x01}, byte{0x23}, byte{0x45}, byte{0x67},
                         byte{0x89}, byte{0xAB}, byte{0xCD}, byte{0xEF}};
    CHECK(bytes("{ff3fd757-2712-be4a-0123-456789abcdef}") == wanted);
    CHECK(bytes("{FF3FD757-2712-BE4A-0123-456789ABCDEF}") == wanted);
    CHECK(bytes("ff3fd757-2712-be4a-0123-456789abcdef") == wanted);
    for (const char* text :
         {"", "{}", "{ff3fd757-2712-be4a-0123-456789abcdef",
          "(ff3fd757-2712-be4a-0123-456789abcdef)", "ff3fd757-2712-be4a-0123-456789abcdeg",
          "ff3fd757-2712-be4a-0123-456789abcde", "ff3fd75702712-be4a-0123-456789abcdef",
          "ff3fd757-2712-be4a-0123-45-789abcdef", "ff3fd757-2712-be4a-0123-456789abcdef0",
          "\x80\xFF"
          "3fd757-2712-be4a-0123-456789abcdef"}) {
        CAPTURE(text);
        CHECK(bytes(text).empty());
    }
}

}  // namespace vdisk::test
