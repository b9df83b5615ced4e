// SPDX-License-Identifier: BSL-1.0
// Replays every state that a power cut may leave of a recorded workload.
//
// A medium keeps what was flushed. Of the writes since then it may have kept any subset, each of
// them torn at 512 bytes; the size of a file may be the old one or the new one. A state costs what
// it changes, not what the files hold: it is applied, judged and taken back.
#pragma once

#include <algorithm>
#include <array>
#include <random>
#include <string_view>
#include <unordered_set>

#include <vdisk/storage/power_cut.hpp>

namespace vdisk {

struct CutOptions {
    size_t exhaustive = 12;  ///< up to so many writes between two flushes, every subset is tried
    size_t random = 256;     ///< beyond that, so many subsets drawn by chance
    size_t pairs = 32;       ///< up to so many writes, every pair is dropped, and kept alone
    uint64_t seed = 1;
};

/// What a cut left behind.
struct CutState {
    const std::vector<std::vector<byte>>& files;
    size_t events;  ///< so many events of the log had begun; all before may be in flight or durable
    uint64_t hash;  ///< of the files: equal contents, equal hash
};

/// Files that changes are applied to and taken back from; their hash follows in the time of the
/// change.
class CutFiles {
public:
    static constexpr uint64_t unit = 512;

    /// Which units of a write reach the medium.
    enum class Torn : uint8_t { whole, first, last, odd, all_but_last };

    explicit CutFiles(const std::vector<std::vector<byte>>& files) : base_(files), files_(files) {
        for (size_t f = 0; f < files_.size(); ++f) {
            hash_ ^= hash_size(f);
            for (uint64_t u = 0; u * unit < files_[f].size(); ++u) hash_ ^= hash_unit(f, u);
        }
    }

    [[nodiscard]] const std::vector<std::vector<byte>>& files() const { return files_; }
    [[nodiscard]] uint64_t hash() const { return hash_; }

    /// Units are those of the medium: a write that begins inside one is cut at its end.
    void apply(const CutEvent& event, Torn torn = Torn::whole) {
        const uint32_t f = event.file;
        if (event.kind == CutEvent::Kind::resize) return resize(f, event.at);
        if (event.data.empty()) return;
        const uint64_t end = event.at + event.data.size();
        const uint64_t first = event.at / unit;
        const uint64_t count = (end - 1) / unit - first + 1;
        for (uint64_t i = 0; i < count; ++i) {
            if (!reaches(torn, i, count)) continue;
            const uint64_t from = std::max(event.at, (first + i) * unit);
            // Where the new size did not reach the medium, neither did what lies beyond.
            const uint64_t to = std::min({end, (first + i + 1) * unit, uint64_t{files_[f].size()}});
            if (from >= to) continue;
            hash_ ^= hash_unit(f, first + i);
            std::memcpy(&files_[f][from], &event.data[from - event.at], to - from);
            hash_ ^= hash_unit(f, first + i);
            changed_.emplace_back(f, first + i);
        }
    }

    /// Takes everything back since the last `keep`.
    void undo() {
        for (uint32_t f = 0; f < files_.size(); ++f) {
            if (files_[f].size() != base_[f].size()) resize(f, base_[f].size());
        }
        for (const auto& [f, u] : changed_) copy_unit(base_, files_, f, u, true);
        changed_.clear();
    }
    /// Makes what was applied the ground for what follows.
    void keep() {
        for (size_t f = 0; f < files_.size(); ++f) base_[f].resize(files_[f].size());
        for (const auto& [f, u] : changed_) copy_unit(files_, base_, f, u, false);
        changed_.clear();
    }

private:
    static bool reaches(Torn torn, uint64_t index, uint64_t count) {
        switch (torn) {
            case Torn::whole: return true;
            case Torn::first: return index == 0;
            case Torn::last: return index + 1 == count;
            case Torn::odd: return index % 2 != 0;
            case Torn::all_but_last: return index + 1 != count;
        }
        return true;
    }

    static constexpr uint64_t mix(uint64_t x) {
        x = (x ^ x >> 32) * 0x9E3779B97F4A7C15;
        x = (x ^ x >> 29) * 0xBF58476D1CE4E5B9;
        return x ^ x >> 32;
    }
    [[nodiscard]] uint64_t hash_size(size_t f) const {
        return mix(mix(f + 1) ^ (files_[f].size() + 1));
    }
    // Zeros do not count: nobody can tell those written from those of a file that grew.
    [[nodiscard]] uint64_t hash_unit(size_t f, uint64_t u) const {
        const auto& file = files_[f];
        const size_t from = static_cast<size_t>(u * unit);
        const size_t length = std::min<size_t>(unit, file.size() - from);
        const auto* text = reinterpret_cast<const char*>(file.data() + from);
        size_t used = length;
        while (used > 0 && text[used - 1] == 0) --used;
        if (used == 0) return 0;
        return mix(std::hash<std::string_view>{}({text, used}) ^ mix((u + 1) * 64 + f));
    }

    void resize(uint32_t f, uint64_t size) {
        auto& file = files_[f];
        hash_ ^= hash_size(f);
        const auto each_lost = [&](const auto& visit) {
            for (uint64_t u = size / unit; u * unit < file.size(); ++u) visit(u);
        };
        each_lost([&](uint64_t u) {
            hash_ ^= hash_unit(f, u);
            changed_.emplace_back(f, u);
        });
        file.resize(static_cast<size_t>(size));
        if (size % unit != 0) hash_ ^= hash_unit(f, size / unit);
        hash_ ^= hash_size(f);
    }

    void copy_unit(const std::vector<std::vector<byte>>& from, std::vector<std::vector<byte>>& to,
                   uint32_t f, uint64_t u, bool hashed) {
        const size_t at = static_cast<size_t>(u * unit);
        const size_t end = std::min<size_t>({at + unit, from[f].size(), to[f].size()});
        if (at >= end) return;
        if (hashed) hash_ ^= hash_unit(f, u);
        std::memcpy(&to[f][at], &from[f][at], end - at);
        if (hashed) hash_ ^= hash_unit(f, u);
    }

    std::vector<std::vector<byte>> base_, files_;
    std::vector<std::pair<uint32_t, uint64_t>> changed_;  ///< file, unit; since `keep`
    uint64_t hash_ = 0;
};

/// The states of one log, each different one once; again only where what was promised differs,
/// that is after the next flush.
class CutReplay {
public:
    explicit CutReplay(const CutLog& log, CutOptions options = {})
        : log_(log), options_(options), files_(log.before) {}

    /// Calls `judge(state) -> Status` for every state; stops at the first failure.
    template <class Judge>
    Status run(Judge&& judge) {
        files_ = CutFiles(log_.before);
        flying_.clear();
        for (size_t cut = 0; cut <= log_.events.size(); ++cut) {
            // Between two flushes the states before an event are among those after it.
            const bool ends = cut == log_.events.size();
            if (ends || log_.events[cut].kind == CutEvent::Kind::flush) {
                if (Status judged = states_at(cut, judge); !judged) return judged;
            }
            if (!ends) happen(cut);
        }
        return {};
    }

    /// How many states were judged; equal contents count once for each flush between them.
    [[nodiscard]] uint64_t states() const { return states_; }

private:
    using Torn = CutFiles::Torn;

    // A flush makes durable what is in flight for its file, and nothing else.
    void happen(size_t index) {
        const CutEvent& event = log_.events[index];
        if (event.kind != CutEvent::Kind::flush) return flying_.push_back(index);
        std::vector<size_t> rest;
        for (const size_t i : flying_) {
            if (log_.events[i].file == event.file) files_.apply(log_.events[i]);
            else rest.push_back(i);
        }
        files_.keep();
        flying_ = std::move(rest);
    }

    template <class Judge>
    Status states_at(size_t cut, Judge& judge) {
        const size_t n = flying_.size();
        std::vector<bool> keep(n);
        const auto subset = [&] { return state(cut, keep, n, Torn::whole, judge); };

        for (size_t length = 0; length <= n; ++length) {  // in order, the last one torn or not
            std::fill(keep.begin(), keep.end(), false);
            std::fill_n(keep.begin(), length, true);
            if (Status s = subset(); !s) return s;
            if (length == 0 || !can_tear(length - 1)) continue;
            for (const Torn torn : {Torn::first, Torn::last, Torn::odd, Torn::all_but_last}) {
                if (Status s = state(cut, keep, length - 1, torn, judge); !s) return s;
            }
        }
        if (n <= options_.exhaustive) {
            for (uint64_t bits = 0; bits < uint64_t{1} << n; ++bits) {
                for (size_t i = 0; i < n; ++i) keep[i] = (bits >> i & 1) != 0;
                if (Status s = subset(); !s) return s;
            }
            return {};
        }
        for (const bool kept : {true, false}) {  // all but one or two; one or two alone
            for (size_t i = 0; i < n; ++i) {
                const size_t last = n <= options_.pairs ? n : i + 1;
                for (size_t j = i; j < last; ++j) {
                    std::fill(keep.begin(), keep.end(), !kept);
                    keep[i] = keep[j] = kept;
                    if (Status s = subset(); !s) return s;
                }
            }
        }
        return random_subsets(cut, keep, judge);
    }

    // Each write is kept, dropped or torn.
    template <class Judge>
    Status random_subsets(size_t cut, std::vector<bool>& keep, Judge& judge) {
        constexpr std::array torn{Torn::first, Torn::last, Torn::odd, Torn::all_but_last};
        std::mt19937_64 random(options_.seed + cut);
        for (size_t i = 0; i < options_.random; ++i) {
            for (size_t k = 0; k < keep.size(); ++k) keep[k] = (random() & 1) != 0;
            const size_t torn_one = random() % (keep.size() + 1);
            if (Status s = state(cut, keep, torn_one, torn[random() % 4], judge); !s) return s;
        }
        return {};
    }

    [[nodiscard]] bool can_tear(size_t i) const {
        const CutEvent& event = log_.events[flying_[i]];
        return event.at / CutFiles::unit !=
               (event.at + event.data.size() - (event.data.empty() ? 0 : 1)) / CutFiles::unit;
    }

    // One state: the kept writes in their order, number `torn_one` torn.
    template <class Judge>
    Status state(size_t cut, const std::vector<bool>& keep, size_t torn_one, Torn torn,
                 Judge& judge) {
        for (size_t i = 0; i < flying_.size(); ++i) {
            if (!keep[i]) continue;
            files_.apply(log_.events[flying_[i]], i == torn_one ? torn : Torn::whole);
        }
        Status judged;
        // What may be lost depends on when the cut comes.
        if (seen_.insert(files_.hash() + cut * 0x9E3779B97F4A7C15).second) {
            ++states_;
            judged = judge(CutState{files_.files(), cut, files_.hash()});
        }
        files_.undo();
        return judged;
    }

    const CutLog& log_;
    CutOptions options_;
    CutFiles files_;
    std::vector<size_t> flying_;  ///< events that are not durable at the cut
    std::unordered_set<uint64_t> seen_;
    uint64_t states_ = 0;
};

}  // namespace vdisk
