// SPDX-License-Identifier: BSL-1.0
#include <string>
#include <vector>

#include <vdisk/core/utf16.hpp>

#include "catch.hpp"

using namespace vdisk;

namespace {

std::vector<byte> bytes_of(std::u16string_view units, ByteOrder order) {
    std::vector<byte> out(units.size() * 2);
    for (size_t i = 0; i != units.size(); ++i) utf16::store(&out[2 * i], units[i], order);
    return out;
}

// The text, or what went wrong.
std::string decoded(std::u16string_view units, size_t room = 100) {
    std::string answers[2];
    for (const auto order : {ByteOrder::big, ByteOrder::little}) {
        std::vector<char> out(room);
        const auto text = utf8_from_utf16(bytes_of(units, order), order, out);
        answers[order == ByteOrder::big] = text ? std::string(*text) : text.error().what;
    }
    CHECK(answers[0] == answers[1]);
    return answers[0];
}

std::string encoded(std::string_view text, std::u16string_view units, size_t room = 100) {
    for (const auto order : {ByteOrder::big, ByteOrder::little}) {
        std::vector<byte> out(room);
        const auto length = utf16_from_utf8(text, order, out);
        if (!length) return length.error().what;
        out.resize(*length);
        CHECK(out == bytes_of(units, order));
    }
    return "";
}

constexpr const char* alone = "name: a UTF-16 surrogate stands alone";
constexpr const char* too_long = "name: longer than allowed";
constexpr const char* not_utf8 = "name: is not UTF-8";

}  // namespace

TEST_CASE("utf16: to UTF-8 and back, at the edges of each width", "[core][utf16]") {
    const std::pair<const char*, std::u16string_view> same[] = {
        {"", u""},
        {"a.vhd", u"a.vhd"},
        {"\x7F", u"\x7F"},
        {"\xC2\x80", u"\x80"},
        {"\xDF\xBF", u"\x7FF"},
        {"\xE0\xA0\x80", u"\x800"},
        {"\xED\x9F\xBF", u"\xD7FF"},
        {"\xEE\x80\x80", u"\xE000"},
        {"\xEF\xBF\xBF", u"\xFFFF"},
        {"\xF0\x90\x80\x80", u"\xD800\xDC00"},
        {"\xF4\x8F\xBF\xBF", u"\xDBFF\xDFFF"},
        {"x\xF0\x9F\x92\xBEy", u"x\xD83D\xDCBEy"},
    };
    for (const auto& [utf8, units] : same) {
        CAPTURE(utf8);
        CHECK(decoded(units) == utf8);
        CHECK(encoded(utf8, units) == "");
    }
}

TEST_CASE("utf16: surrogates that stand alone", "[core][utf16]") {
    CHECK(decoded(u"a\xD800") == alone);
    CHECK(decoded(u"\xD800z") == alone);
    CHECK(decoded(u"\xD800\xD800\xDC00") == alone);
    CHECK(decoded(u"\xDC00") == alone);
    CHECK(decoded(u"\xDFFF\xD800") == alone);
}

TEST_CASE("utf16: ends at a NUL; leaves out half a unit", "[core][utf16]") {
    CHECK(decoded(std::u16string_view(u"a\0b", 3)) == "a");
    CHECK(decoded(std::u16string_view(u"\0b", 2)) == "");
    const std::vector<byte> odd = {byte{'a'}, byte{0}, byte{'b'}};
    std::array<char, 8> out{};
    CHECK(*utf8_from_utf16(odd, ByteOrder::little, out) == "a");
    CHECK(utf8_from_utf16(Bytes(odd).first(1), ByteOrder::little, out)->empty());
    const std::vector<byte> half_pair = {byte{0x00}, byte{0xD8}, byte{0x00}};
    CHECK(utf8_from_utf16(half_pair, ByteOrder::little, out).error().code == Errc::corrupt);
}

TEST_CASE("utf16: no more than there is room for", "[core][utf16]") {
    CHECK(decoded(u"abc", 3) == "abc");
    CHECK(decoded(u"abcd", 3) == too_long);
    CHECK(decoded(u"a\xD83D\xDCBE", 5) == "a\xF0\x9F\x92\xBE");
    CHECK(decoded(u"a\xD83D\xDCBE", 4) == too_long);
    CHECK(encoded("abc", u"abc", 6) == "");
    CHECK(encoded("abc", u"abc", 5) == too_long);
    CHECK(encoded("\xF0\x9F\x92\xBE", u"", 3) == too_long);
    CHECK(encoded("\xF0\x9F\x92\xBE", u"", 1) == too_long);
}

TEST_CASE("utf16: what is not UTF-8", "[core][utf16]") {
    for (const char* const bad :
         {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xE0\x80\x80",
          "\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x80\x80\x80",
          "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "a\xF0\x9F\x92"}) {
        CAPTURE(bad);
        CHECK(encoded(bad, u"") == not_utf8);
    }
}
