// SPDX-License-Identifier: BSL-1.0
// Replays every state that a power cut may leave of a recorded workload.
//
// A medium keeps what was flushed. Of the writes since then it may have kept any subset, each of
// them torn at 512 bytes; the size of a file may be the old one or the new one.
#pragma once

#include <algorithm>
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
};

/// The states of one log, each different one once.
class CutReplay {
public:
    explicit CutReplay(const CutLog& log, CutOptions options = {}) : log_(log), options_(options) {}

    /// Calls `judge(state) -> Status` for every state; stops at the first failure.
    template <class Judge>
    Status run(Judge&& judge) {
        for (size_t cut = 0; cut <= log_.events.size(); ++cut) {
            // Between two flushes the states before an event are among those after it.
            if (cut < log_.events.size() && log_.events[cut].kind != CutEvent::Kind::flush)
                continue;
            if (Status judged = states_at(cut, judge); !judged) return judged;
        }
        return {};
    }

    /// How many different states were judged.
    [[nodiscard]] uint64_t states() const { return states_; }

private:
    static constexpr uint64_t unit = 512;

    /// Which units of a write reach the medium.
    enum class Torn : uint8_t { whole, first, last, odd, all_but_last };

    // Splits what happened before `cut` into what is durable (applied to `base_`) and what is not.
    void split(size_t cut) {
        base_ = log_.before;
        flying_.clear();
        std::vector<bool> flushed(log_.before.size());
        std::vector<bool> durable(cut);
        for (size_t i = cut; i-- > 0;) {
            const CutEvent& event = log_.events[i];
            if (event.kind == CutEvent::Kind::flush) flushed[event.file] = true;
            durable[i] = flushed[event.file];
        }
        for (size_t i = 0; i < cut; ++i) {
            if (log_.events[i].kind == CutEvent::Kind::flush) continue;
            if (durable[i]) apply(base_, log_.events[i], Torn::whole);
            else flying_.push_back(i);
        }
    }

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

    // Units are those of the medium: a write that begins inside one is cut at its end.
    static void apply(std::vector<std::vector<byte>>& files, const CutEvent& event, Torn torn) {
        std::vector<byte>& file = files[event.file];
        if (event.kind == CutEvent::Kind::resize) {
            file.resize(static_cast<size_t>(event.at));
            return;
        }
        const uint64_t end = event.at + event.data.size();
        const uint64_t first = event.at / unit;
        const uint64_t count = (end - 1) / unit - first + 1;
        for (uint64_t i = 0; i < count; ++i) {
            if (!reaches(torn, i, count)) continue;
            const uint64_t from = std::max(event.at, (first + i) * unit);
            // Where the new size did not reach the medium, neither did what lies beyond.
            const uint64_t to = std::min({end, (first + i + 1) * unit, uint64_t{file.size()}});
            if (from >= to) continue;
            std::memcpy(file.data() + from, event.data.data() + (from - event.at), to - from);
        }
    }

    template <class Judge>
    Status states_at(size_t cut, Judge& judge) {
        split(cut);
        const size_t n = flying_.size();
        std::vector<bool> keep(n);
        const auto subset = [&] { return state(cut, keep, n, Torn::whole, judge); };

        for (size_t length = 0; length <= n; ++length) {  // in order, the last one torn or not
            std::fill(keep.begin(), keep.end(), false);
            std::fill_n(keep.begin(), length, true);
            if (Status s = subset(); !s) return s;
            for (const Torn torn : {Torn::first, Torn::last, Torn::odd, Torn::all_but_last}) {
                if (length == 0) break;
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
        std::mt19937_64 random(options_.seed + cut);
        for (size_t i = 0; i < options_.random; ++i) {
            for (size_t k = 0; k < n; ++k) keep[k] = (random() & 1) != 0;
            if (Status s = subset(); !s) return s;
        }
        return {};
    }

    // One state: the kept writes in their order, number `torn_one` torn.
    template <class Judge>
    Status state(size_t cut, const std::vector<bool>& keep, size_t torn_one, Torn torn,
                 Judge& judge) {
        files_ = base_;
        for (size_t i = 0; i < flying_.size(); ++i) {
            if (!keep[i]) continue;
            apply(files_, log_.events[flying_[i]], i == torn_one ? torn : Torn::whole);
        }
        uint64_t hash = cut;  // what may be lost depends on when the cut comes
        for (const auto& file : files_) {
            const auto* text = reinterpret_cast<const char*>(file.data());
            hash = hash * 0x9E3779B97F4A7C15 + std::hash<std::string_view>{}({text, file.size()});
        }
        if (!seen_.insert(hash).second) return {};
        ++states_;
        return judge(CutState{files_, cut});
    }

    const CutLog& log_;
    CutOptions options_;
    std::vector<std::vector<byte>> base_, files_;
    std::vector<size_t> flying_;  ///< events that are not durable at the cut
    std::unordered_set<uint64_t> seen_;
    uint64_t states_ = 0;
};

}  // namespace vdisk
