// SPDX-License-Identifier: BSL-1.0
// The runner of the hostile tables: looks at an image in every way there is. All ways must say the
// same, nothing may be written, little memory taken, and the end come after few calls.
#pragma once

#include <chrono>
#include <iostream>
#include <set>

#include <vdisk/allocation/arena.hpp>
#include <vdisk/format/qcow2/repair.hpp>
#include <vdisk/format/vhd/repair.hpp>
#include <vdisk/format/vhdx/repair.hpp>
#include <vdisk/storage/counting.hpp>

#include "support/verdict.hpp"

namespace vdisk::test {

namespace hostile {

/// What one look at an image may take. A look reads 4 MiB of the disk at most. A log of VHDX that
/// lies about every sector takes most: 33,175 calls.
inline constexpr size_t most_memory = 1_MiB;
inline constexpr uint64_t most_calls = 40'000;

/// What a writer says instead of the rule that a reader names: it looks at more, and earlier.
inline constexpr std::string_view rules_of_writers[] = {
    "vhd: block ends past the end of the file",
    "vhd: block overlaps the header, a table or a parent locator",
    "vhd: the footer at the end is lost (repair writes it again)",
    "vhdx: the log has to be replayed before writing",
};
/// What a check does not see: it unpacks nothing.
inline constexpr std::string_view not_checked[] = {
    "codec: deflate stream is damaged",
    "qcow2: zero flag in a version 2 image",
    "qcow2: cluster overlaps the header, L1 or refcount table",
};
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
    uint64_t wrote = 0, calls = 0;
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
    }
};

template <class Format>
Tally& tally() {
    static Tally all(Format::name == "vpc" ? "vhd" : Format::name);
    return all;
}

/// Writable memory that does not lend its bytes.
class PagedGrowable {
public:
    explicit PagedGrowable(GrowableMemory& memory) : memory_(&memory) {}
    [[nodiscard]] uint64_t size() const { return memory_->size(); }
    Status read(uint64_t at, MutBytes out) const { return memory_->read(at, out); }
    Status write(uint64_t at, Bytes in) { return memory_->write(at, in); }
    Status resize(uint64_t size) { return memory_->resize(size); }
    Status flush() { return memory_->flush(); }

private:
    GrowableMemory* memory_;
};
static_assert(WritableStorage<PagedGrowable> && !ViewableStorage<PagedGrowable>);

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
    CHECK(calls <= most_calls);
    CHECK(memory.live == 0);
    all.ways.insert(way);
    all.wrote += may != May::write && wrote;
    all.calls = std::max(all.calls, calls);
    all.memory = std::max(all.memory, memory.peak);
    all.slowest =
        std::max<decltype(all.slowest)>(all.slowest, std::chrono::steady_clock::now() - begin);
    return verdict;
}

struct NoPreparation {
    Status operator()(const auto&) const { return {}; }
};

/// What comes of opening an image and reading it.
template <class I, class Prepare>
Verdict read_all(Result<I> image, const Prepare& prepare) {
    if (!image) return {image.error(), {}};
    if (const Status ready = prepare(*image); !ready) return {ready.error(), {}};
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

/// Those that can be checked and repaired.
template <class Format>
concept Checked =
    std::same_as<Format, Qcow2> || std::same_as<Format, Vhd> || std::same_as<Format, Vhdx>;

/// What a check says: nothing, or the first thing that is worse than a leak.
template <Checked Format>
Verdict check(auto& storage, Arena memory) {
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

/// What a reader says to an image that was repaired; that no repair was possible is no error.
template <Checked Format>
Verdict repair(auto& storage, Arena memory) {
    const auto after = [&](const auto& report) -> Verdict {
        if (!report) return {};
        const Verdict checked = check<Format>(storage, memory);
        if (checked.error && !is_one_of(not_repaired, checked)) return checked;
        return read_all(Format::open(storage, OpenOptions{}, memory, SystemCodecs{}),
                        NoPreparation{});
    };
    if constexpr (std::same_as<Format, Qcow2>)
        return after(qcow2::repair(storage, Repair::all, memory));
    else if constexpr (std::same_as<Format, Vhd>)
        return after(vhd::repair(storage, Repair::all, memory));
    else return after(vhdx::repair(storage, Repair::all, memory, SystemIds{}));
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
}

}  // namespace hostile

/// What a reader says to `file`, which is a Verdict, and what a writer says to it.
struct Findings : Verdict {
    std::string writing = {};  ///< "" if a writer opens it and reads what a reader does
};

/// Checks that an image was refused for this reason; or read, where `what` is "".
inline void check_verdict(const Verdict& verdict, Errc code, std::string_view what) {
    CHECK(rule(verdict) == what);
    CHECK((what.empty() || (verdict.error && verdict.error->code == code)));
}

/// Looks at an image in every way. `prepare(image) -> Status` comes between opening and reading;
/// writers, check and repair are then only kept to the bounds.
template <class Format, class Prepare = hostile::NoPreparation>
Findings examine(const File& file, OpenOptions options = {}, const Prepare& prepare = {}) {
    using namespace hostile;
    static Scratch scratch;
    constexpr CacheShape large{.page_bits = 12, .count_bits = 6};
    const auto reads = [&](CacheShape cache) {
        return [&, cache](auto storage, Arena memory) {
            options.cache = cache;
            return read_all(Format::open(std::move(storage), options, memory, SystemCodecs{}),
                            prepare);
        };
    };
    const auto writes = [&](CacheShape cache) {
        return [&, cache](auto storage, Arena memory) {
            options.cache = cache;
            return read_all(
                Format::open_writer(std::move(storage), options, memory, SystemCodecs{}),
                NoPreparation{});
        };
    };
    const char* const path = scratch.holding(file);
    GrowableMemory memory(file), other(file);
    const Verdict first = take_look<Format>("memory", Borrowed(memory), May::read, reads({}));
    const Verdict others[] = {
        take_look<Format>("one page", PagedGrowable(memory), May::read, reads(tiny_cache)),
        take_look<Format>("pread", value_of(PreadStorage::open(path, Access::write)), May::read,
                          reads(large)),
        take_look<Format>("mmap", value_of(MmapStorage::open(path)), May::read, reads({})),
    };
    for (const Verdict& verdict : others) {
        INFO(rule(verdict));
        CHECK(first.agrees(verdict));
    }

    // A qcow writer makes the file end with a cluster, and so hides that a stream was cut short.
    constexpr May may = std::same_as<Format, Qcow> ? May::grow : May::read;
    const bool hides = may == May::grow && file.size() % sector != 0;
    const Verdict written = take_look<Format>("writer", Borrowed(memory), may, writes(large));
    CHECK(written.agrees(
        take_look<Format>("writer, one page", PagedGrowable(other), may, writes(tiny_cache))));
    constexpr bool plain = std::same_as<Prepare, NoPreparation>;
    if (plain && options.purpose == Purpose::data && !hides) {
        if (!written.error) CHECK(written.agrees(first));
        if (first.error && !is_one_of(rules_of_writers, written))
            CHECK(rule(written) == rule(first));
    }
    if constexpr (Checked<Format>) {
        const bool refused = plain && first.error && !is_one_of(not_checked, first);
        check_and_repair<Format>(file, refused);
    }
    Tally& all = tally<Format>();
    const size_t hash =
        std::hash<std::string_view>{}({reinterpret_cast<const char*>(file.data()), file.size()});
    all.images.insert(hash);
    if (first.error) all.refused.insert(hash);
    return {first, rule(written)};
}

}  // namespace vdisk::test
