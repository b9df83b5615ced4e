// SPDX-License-Identifier: BSL-1.0
// Ways to look at a hostile image, each kept to its bounds: what it may do to the file, memory,
// calls.
#pragma once

#include <chrono>
#include <iostream>
#include <set>

#include <vdisk/allocation/arena.hpp>
#include <vdisk/format/qcow2/repair.hpp>
#include <vdisk/format/vhd/repair.hpp>
#include <vdisk/format/vhdx/repair.hpp>
#include <vdisk/storage/counting.hpp>

#include "support/paged_growable.hpp"
#include "support/refusals.hpp"
#include "support/verdict.hpp"

namespace vdisk::test {

namespace hostile {

/// What one look at an image may take. A look reads 4 MiB of the disk at most. A log of VHDX that
/// lies about every sector takes most: 33,175 calls.
inline constexpr size_t most_memory = 1_MiB;
inline constexpr uint64_t most_calls = 40'000;
inline constexpr uint64_t most_repair_calls = 1'000'000;  ///< a look at an entry is one

/// What a writer says instead of the rule that a reader names: it looks at more, and earlier.
inline constexpr std::string_view rules_of_writers[] = {
    "vhd: block ends past the end of the file",
    "vhd: block overlaps the header, a table or a parent locator",
    "vhd: the footer at the end is lost (repair writes it again)",
    "vhdx: the log has to be replayed before writing",
};
/// What a check does not see: it unpacks nothing.
inline constexpr std::string_view not_checked[] = {"codec: deflate stream is damaged"};
/// What no repair can know.
inline constexpr std::string_view not_repaired[] = {
    "vhd: parent locator is too long or past the end of the file",
    "vhdx: parent locator has no parent_linkage",
};
inline bool is_one_of(std::span<const std::string_view> rules, const Verdict& verdict) {
    return std::ranges::find(rules, rule(verdict)) != rules.end();
}

/// What the looks at the images of a format came to; told when the program ends.
struct Tally {
    std::string_view format;
    std::set<size_t> images = {}, refused = {};  ///< by the hash of their bytes
    std::set<std::string_view> ways = {};
    uint64_t wrote = 0, calls = 0, refusals = 0;
    size_t memory = 0;
    std::chrono::duration<double, std::milli> slowest{};

    explicit Tally(std::string_view name) : format(name) {}
    Tally(const Tally&) = delete;
    ~Tally() {
        std::cout << "hostile " << format << ": " << images.size() << " images, " << refused.size()
                  << " refused, " << ways.size() << " ways each, " << wrote
                  << " wrote, largest allocation " << memory << " bytes, most calls " << calls
                  << ", slowest " << static_cast<int>(slowest.count()) << " ms\n"
                  << std::flush;
        tell_faults("memory, hostile " + std::string(format), refusals);
    }
};

template <class Format>
Tally& tally() {
    static Tally all(Format::name == "vpc" ? "vhd" : Format::name);
    return all;
}

/// What a way of looking at an image may do to the file.
enum class May : uint8_t { read, grow, write };

/// Calls `look(storage, allocation)` with a storage that counts and 1 MiB of memory.
template <class Format, class S, class Look>
Verdict take_look(std::string_view way, S storage, May may, const Look& look) {
    static std::vector<byte> room(most_memory);
    Tally& all = tally<Format>();
    Counters counters;
    ArenaMemory memory{room};
    const auto begin = std::chrono::steady_clock::now();
    const Verdict verdict = look(CountingStorage<S>(std::move(storage), counters), Arena(memory));
    INFO(way);
    const uint64_t writes = counters.writes + counters.flushes + counters.punches;
    const uint64_t calls = counters.reads + counters.views + counters.resizes + writes;
    const bool wrote = writes + (may == May::read ? counters.resizes : 0) != 0;
    CHECK((may == May::write || !wrote));
    CHECK(calls <= (may == May::write ? most_repair_calls : most_calls));
    CHECK(memory.live == 0);
    all.ways.insert(way);
    all.wrote += may != May::write && wrote;
    if (may != May::write) all.calls = std::max(all.calls, calls);
    all.memory = std::max(all.memory, memory.peak);
    all.slowest =
        std::max<decltype(all.slowest)>(all.slowest, std::chrono::steady_clock::now() - begin);
    return verdict;
}

/// What comes of opening an image and reading it, or one of its snapshots.
template <class I>
Verdict read_all(Result<I> image, std::string_view snapshot = {}) {
    if (!image) return {image.error(), {}};
    if constexpr (requires { image->select_snapshot(snapshot); }) {
        const Status found = snapshot.empty() ? Status{} : image->select_snapshot(snapshot);
        if (!found) return {found.error(), {}};
    }
    Verdict verdict;
    verdict.bytes.resize(static_cast<size_t>(std::min<uint64_t>(image->size(), 4_MiB)));
    if (const Status got = read(*image, 0, verdict.bytes); !got) return {got.error(), {}};
    return verdict;
}

/// A file for the storages that need one; the same one for all images.
class Scratch {
public:
    const char* holding(const File& bytes) {
        ::unlink(path_.c_str());
        auto file = value_of(PreadStorage::open(path_.c_str(), Access::create));
        if (!file.resize(bytes.size()) || !file.write(0, bytes)) throw std::runtime_error("write");
        return path_.c_str();
    }

private:
    TempDir folder_;
    std::string path_ = folder_ / "image";
};

/// Opens and reads with each request for memory refused in turn.
template <class Open>
uint64_t refuse_reading(const Open& open) {
    const auto attempt = [&](Failing memory) -> Status {
        const Verdict verdict = read_all(open(memory));
        return verdict.error ? Status(*verdict.error) : Status{};
    };
    return refuse_each(attempt, [](const Status&) {});
}

/// Those that can be checked and repaired.
template <class Format>
concept Checked =
    std::same_as<Format, Qcow2> || std::same_as<Format, Vhd> || std::same_as<Format, Vhdx>;

/// What a check says: nothing, or the first thing that is worse than a leak.
template <Checked Format>
Verdict check(auto& storage, auto memory) {
    std::optional<Error> first;
    const auto visit = [&](const Problem& p) {
        if (!first && p.flaw != Flaw::leak) first = corrupt(p.what, {p.value, p.at});
    };
    const auto told = [&](const auto& report) {
        return Verdict{report ? first : report.error(), {}};
    };
    if constexpr (std::same_as<Format, Qcow2>)
        return told(qcow2::check_image(storage, memory, visit));
    else if constexpr (std::same_as<Format, Vhd>)
        return told(vhd::check_image(storage, memory, visit));
    else return told(vhdx::check_image(storage, memory, visit));
}

template <Checked Format>
Status just_repair(auto& storage, auto memory) {
    const auto told = [](const auto& report) { return report ? Status{} : Status(report.error()); };
    if constexpr (std::same_as<Format, Qcow2>)
        return told(qcow2::repair(storage, Repair::all, memory));
    else if constexpr (std::same_as<Format, Vhd>)
        return told(vhd::repair(storage, Repair::all, memory));
    else return told(vhdx::repair(storage, Repair::all, memory, SystemIds{}));
}

/// What a reader says to an image that was repaired; that no repair was possible is no error.
template <Checked Format>
Verdict repair(auto& storage, Arena memory) {
    if (!just_repair<Format>(storage, memory)) return {};
    const Verdict checked = check<Format>(storage, memory);
    if (checked.error && !is_one_of(not_repaired, checked)) return checked;
    return read_all(Format::open(storage, OpenOptions{}, memory, SystemCodecs{}));
}

/// Repairs it with each request for memory refused in turn: then it can be tried again.
template <Checked Format>
uint64_t refuse_repair(const File& file) {
    std::optional<GrowableMemory> half;
    const auto attempt = [&](Failing memory) {
        half.emplace(file);
        return just_repair<Format>(*half, memory);
    };
    return refuse_each(
        attempt,
        [&](const Status&) {
            if (!just_repair<Format>(*half, Heap{})) return;
            const Verdict after = check<Format>(*half, Heap{});
            INFO(rule(after));
            REQUIRE((!after.error || is_one_of(not_repaired, after)));
        },
        std::same_as<Format, Vhdx> ? Need::most : Need::all);
}

/// Checks and repairs it. `refused`: a reader does not take it.
template <Checked Format>
void check_and_repair(const File& file, bool refused) {
    GrowableMemory memory(file);
    const Verdict checked =
        take_look<Format>("check", Borrowed(memory), May::read,
                          [](auto storage, Arena room) { return check<Format>(storage, room); });
    if (refused) CHECK(checked.error);
    const Verdict repaired =
        take_look<Format>("repair", Borrowed(memory), May::write,
                          [](auto storage, Arena room) { return repair<Format>(storage, room); });
    INFO(rule(repaired));
    CHECK((!repaired.error || is_one_of(not_checked, repaired)));
    tally<Format>().refusals += refuse_repair<Format>(file);
}

}  // namespace hostile

}  // namespace vdisk::test
