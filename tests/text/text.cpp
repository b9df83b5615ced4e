// SPDX-License-Identifier: BSL-1.0
// Errors, sizes and names as text: what people type, what they read, what may not harm them.
#include <cerrno>

#include <vdisk/text/error.hpp>
#include <vdisk/text/json.hpp>
#include <vdisk/text/size.hpp>

#include "catch.hpp"

using namespace vdisk;

namespace {

// What is printed onto the stream that `write` is given.
template <class F>
std::string printed(const F& write) {
    char* text = nullptr;
    size_t size = 0;
    std::FILE* const out = ::open_memstream(&text, &size);
    REQUIRE(out != nullptr);
    write(out);
    std::fclose(out);
    std::string copy(text, size);
    std::free(text);
    return copy;
}

}  // namespace

TEST_CASE("text: an error says which value stands where", "[text]") {
    CHECK(text::describe(corrupt("rule")) == "rule");
    CHECK(text::describe(corrupt("rule", {2, 0x24})) == "rule (value 0x2, at offset 0x24)");
    CHECK(text::describe(corrupt("rule", {.value = 0})) == "rule (value 0x0)");
    CHECK(text::describe(corrupt("rule", {.at = 4096})) == "rule (at offset 0x1000)");
    const Error missing{Errc::not_found, ENOENT, "file: cannot be opened"};
    CHECK(text::describe(missing) == "file: cannot be opened: No such file or directory");
}

TEST_CASE("text: sizes that people write", "[text]") {
    struct Case {
        const char* text;
        uint64_t bytes;
    };
    const Case cases[] = {
        {"0", 0},           {"4096", 4096},  {"1b", 1},
        {"64k", 64_KiB},    {"64K", 64_KiB}, {"10M", 10_MiB},
        {"3g", 3_GiB},      {"64T", 64_TiB}, {"7E", uint64_t{7} << 60},
        {"1.5M", 1536_KiB}, {"0.5k", 512},   {"1.k", 1024},
        {"0x200", 512},     {"0XfF", 255},   {"9223372036854775807", ~uint64_t{0} >> 1}};
    for (const Case& c : cases) {
        CAPTURE(c.text);
        CHECK(text::parse_size(c.text) == c.bytes);
    }
    for (const char* bad : {"",
                            "k",
                            "-1",
                            "+1",
                            " 1",
                            "1 ",
                            "1kk",
                            "1KB",
                            "1.5",
                            "1.5b",
                            "0x",
                            "0x1k",
                            "1x",
                            "1,5M",
                            "1.-M",
                            "0x:",
                            "9223372036854775808",
                            "18446744073709551616",
                            "8E",
                            "9007199254740992k",
                            "0xFFFFFFFFFFFFFFFF",
                            "1e3"}) {
        CAPTURE(bad);
        CHECK_FALSE(text::parse_size(bad));
    }
}

TEST_CASE("text: sizes that people read", "[text]") {
    CHECK(text::human_size(0) == "0 B");
    CHECK(text::human_size(999) == "999 B");
    CHECK(text::human_size(1000) == "0.977 KiB");
    CHECK(text::human_size(64_KiB) == "64 KiB");
    CHECK(text::human_size(1536_MiB) == "1.5 GiB");
    CHECK(text::human_size(~uint64_t{0}) == "16 EiB");
}

TEST_CASE("text: JSON strings are ASCII, whatever the name holds", "[text][json]") {
    CHECK(text::json_string("plain / name") == R"("plain / name")");
    CHECK(text::json_string("a\"b\\c") == R"("a\"b\\c")");
    CHECK(text::json_string("\n\t\x1b\x7f") == R"("\n\t\u001B\u007F")");
    CHECK(text::json_string("\xC3\xA9\xE2\x82\xAC") == R"("\u00E9\u20AC")");
    CHECK(text::json_string("\xF0\x9F\x92\xBE") == R"("\uD83D\uDCBE")");
    // Not UTF-8: a lone byte, a cut sequence, an overlong form, a surrogate, beyond the last.
    CHECK(text::json_string("\xFFx") == R"("\uFFFDx")");
    CHECK(text::json_string("\xE2\x82") == R"("\uFFFD\uFFFD")");
    CHECK(text::json_string("\xC0\xAF") == R"("\uFFFD\uFFFD")");
    CHECK(text::json_string("\xED\xA0\x80") == R"("\uFFFD\uFFFD\uFFFD")");
    CHECK(text::json_string("\xF4\x90\x80\x80") == R"("\uFFFD\uFFFD\uFFFD\uFFFD")");
}

TEST_CASE("text: a name cannot drive the terminal", "[text]") {
    CHECK(text::printable("a plain n\xC3\xA4me") == "a plain n\xC3\xA4me");
    CHECK(text::printable("\x1b[2J") == "\\x1b[2J");
    CHECK(text::printable("a\nb\x7f") == "a\\x0ab\\x7f");
    CHECK(text::printable("\xC2\x9B") == "\\xc2\\x9b");           // CSI in one character
    CHECK(text::printable("\xE2\x80\xAE") == "\\xe2\\x80\\xae");  // turns the order around
    CHECK(text::printable("\xFF\xC0\xAF") == "\\xff\\xc0\\xaf");
    CHECK(text::printable("\xC2\xAD") == "\\xc2\\xad");           // a hyphen that is not there
    CHECK(text::printable("\xD8\x9C") == "\\xd8\\x9c");           // Arabic letter mark
    CHECK(text::printable("\xEF\xBB\xBF") == "\\xef\\xbb\\xbf");  // byte order mark
    CHECK(text::printable("\xE2\x80\x8B") == "\\xe2\\x80\\x8b");  // no width
    CHECK(text::printable("\xE2\x81\xA6") == "\\xe2\\x81\\xa6");  // isolates
    CHECK(text::printable("\xE2(\xA1") == "\\xe2(\\xa1");         // cut in the middle
    CHECK(text::printable("\xE0\x80\xAF") == "\\xe0\\x80\\xaf");  // overlong
    CHECK(text::printable("\xE2\x82\xAC\xE2\x81\xB0") == "\xE2\x82\xAC\xE2\x81\xB0");
}

TEST_CASE("text: a JSON document", "[text][json]") {
    const std::string document = printed([](std::FILE* out) {
        text::Json json(out);
        json.open('{');
        json.value("name", "a\nb");
        json.value("size", uint64_t{1} << 63);
        json.value("dirty", false);
        json.open('[', "list");
        json.value({}, 1);
        json.value({}, 2);
        json.close(']');
        json.close('}');
    });
    CHECK(document == R"({
    "name": "a\nb",
    "size": 9223372036854775808,
    "dirty": false,
    "list": [
        1,
        2
    ]
}
)");
}
