// SPDX-License-Identifier: BSL-1.0
#include <set>
#include <string>

#include <vdisk/storage/power_cut_replay.hpp>

#include "catch.hpp"

using namespace vdisk;

namespace {

std::vector<byte> filled(size_t size, char c) { return std::vector<byte>(size, byte(c)); }

// A file of few units, as a letter per unit of 512 bytes; a unit of two kinds shows as '?'.
std::string letters(const std::vector<byte>& file) {
    std::string out;
    for (size_t at = 0; at < file.size(); at += 512) {
        const auto end =
            file.begin() + static_cast<std::ptrdiff_t>(std::min(at + 512, file.size()));
        const auto start = file.begin() + static_cast<std::ptrdiff_t>(at);
        const bool even = std::all_of(start, end, [&](byte b) { return b == *start; });
        out += even ? (*start == byte{0} ? '0' : static_cast<char>(*start)) : '?';
    }
    return out;
}

std::set<std::string> states_of(const CutLog& log, CutOptions options = {}) {
    std::set<std::string> states;
    const Status run = CutReplay(log, options).run([&](const CutState& state) -> Status {
        std::string all;
        for (const auto& file : state.files) all += (all.empty() ? "" : "|") + letters(file);
        states.insert(all);
        return {};
    });
    CHECK(run);
    return states;
}

}  // namespace

TEST_CASE("power cut: writes of one epoch survive in every combination", "[power_cut]") {
    CutLog log;
    std::vector<byte> bytes = filled(1024, '-');
    PowerCutStorage file(log, bytes);
    REQUIRE(file.write(0, filled(512, 'a')));
    REQUIRE(file.write(512, filled(512, 'b')));
    CHECK(states_of(log) == std::set<std::string>{"--", "a-", "-b", "ab"});
}

TEST_CASE("power cut: a flush keeps what came before it", "[power_cut]") {
    CutLog log;
    std::vector<byte> bytes = filled(1024, '-');
    PowerCutStorage file(log, bytes);
    REQUIRE(file.write(0, filled(512, 'a')));
    REQUIRE(file.flush());
    REQUIRE(file.write(512, filled(512, 'b')));
    CHECK(states_of(log) == std::set<std::string>{"--", "a-", "ab"});
}

TEST_CASE("power cut: a flush of one file keeps nothing of another", "[power_cut]") {
    CutLog log;
    std::vector<byte> one = filled(512, '-');
    std::vector<byte> two = filled(512, '-');
    PowerCutStorage first(log, one);
    PowerCutStorage second(log, two);
    REQUIRE(first.write(0, filled(512, 'a')));
    REQUIRE(second.flush());
    REQUIRE(second.write(0, filled(512, 'b')));
    REQUIRE(first.flush());
    CHECK(states_of(log) == std::set<std::string>{"-|-", "-|b", "a|-", "a|b"});
}

TEST_CASE("power cut: a write tears at 512 bytes and nowhere else", "[power_cut]") {
    CutLog log;
    std::vector<byte> bytes = filled(2048, '-');
    PowerCutStorage file(log, bytes);
    REQUIRE(file.write(0, filled(2048, 'a')));
    CHECK(states_of(log) ==
          std::set<std::string>{"----", "aaaa", "a---", "---a", "-a-a", "aaa-", "a--a"});

    CutLog inside;
    bytes = filled(1024, '-');
    PowerCutStorage other(inside, bytes);
    REQUIRE(other.write(256, filled(256, 'a')));  // within one unit: all or nothing
    CHECK(states_of(inside) == std::set<std::string>{"--", "?-"});
}

TEST_CASE("power cut: two writes tear in every combination", "[power_cut]") {
    CutLog log;
    std::vector<byte> bytes = filled(2048, '-');
    PowerCutStorage file(log, bytes);
    REQUIRE(file.write(0, filled(1024, 'a')));
    REQUIRE(file.write(1024, filled(1024, 'b')));
    CHECK(states_of(log).size() == 16);
    CHECK(states_of(log, {.all_torn = 1}).size() == 8);
}

TEST_CASE("power cut: where it is told to, a write tears inside a unit", "[power_cut]") {
    CutLog log;
    std::vector<byte> bytes = filled(1024, '-');
    PowerCutStorage file(log, bytes);
    REQUIRE(file.write(0, filled(512, 'a')));
    REQUIRE(file.write(512, filled(512, 'b')));
    const std::set<std::string> whole{"--", "a-", "-b", "ab"};
    CHECK(states_of(log) == whole);
    auto finer = whole;
    finer.insert({"?-", "?b"});
    CHECK(states_of(log, {.fine = 512}) == finer);
}

TEST_CASE("power cut: contents have one number, wherever they stand", "[power_cut]") {
    CutLog log;
    std::vector<byte> bytes = filled(1300, 'a');
    PowerCutStorage file(log, bytes);
    REQUIRE(file.resize(700));
    REQUIRE(file.write(100, filled(412, '-')));
    REQUIRE(file.resize(2048));
    REQUIRE(file.write(0, filled(512, 'a')));
    REQUIRE(file.write(512, filled(512, char{})));
    const Status run = CutReplay(log).run([](const CutState& state) -> Status {
        const bool same = state.ids[0] == CutFiles::ids_of(state.files[0]);
        if (!same) return corrupt("not its numbers");
        const bool equal = CutFiles(state.files).hash() == state.hash;
        return equal ? Status{} : Status(corrupt("not its hash"));
    });
    CHECK(run);
}

TEST_CASE("power cut: size and contents reach the medium on their own", "[power_cut]") {
    CutLog log;
    std::vector<byte> bytes = filled(512, '-');
    PowerCutStorage file(log, bytes);
    REQUIRE(file.resize(1024));
    REQUIRE(file.write(512, filled(512, 'a')));
    CHECK(states_of(log) == std::set<std::string>{"-", "-0", "-a"});
}

TEST_CASE("power cut: long epochs are sampled, and pairs never missed", "[power_cut]") {
    CutLog log;
    std::vector<byte> bytes = filled(20 * 512, '-');
    PowerCutStorage file(log, bytes);
    for (uint64_t i = 0; i < 20; ++i) REQUIRE(file.write(i * 512, filled(512, 'a')));
    const auto states = states_of(log, {.random = 0});
    size_t pairs = 0;
    for (const auto& state : states) pairs += std::count(state.begin(), state.end(), 'a') == 2;
    CHECK(pairs == 20 * 19 / 2);
    CHECK(states_of(log, {.random = 64}).size() > states.size() + 50);
}

TEST_CASE("power cut: the judge's verdict ends the replay", "[power_cut]") {
    CutLog log;
    std::vector<byte> bytes = filled(512, '-');
    PowerCutStorage file(log, bytes);
    REQUIRE(file.write(0, filled(512, 'a')));
    CutReplay replay(log);
    const Status run = replay.run([](const CutState& state) -> Status {
        if (letters(state.files[0]) == "a") return corrupt("planted");
        return {};
    });
    REQUIRE_FALSE(run);
    CHECK(run.error().what == std::string_view("planted"));
    CHECK(replay.states() == 2);
}
