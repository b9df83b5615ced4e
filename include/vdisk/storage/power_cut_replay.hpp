// SPDX-License-Identifier: BSL-1.0
// Replays every state that a power cut may leave of a recorded workload.
//
// A medium keeps what was flushed. Of the writes since then it may have kept any subset, each of
// them torn at 512 bytes; the size of a file may be the old one or the new one. A state costs what
// it changes, not what the files hold: it is applied, judged and taken back.
#pragma once

#include <random>
#include <unordered_set>

#include <vdisk/storage/power_cut_files.hpp>

namespace vdisk {

struct CutOptions {
    size_t exhaustive = 12;  ///< up to so many writes between two flushes, every subset is tried
    size_t random = 256;     ///< beyond that, so many subsets drawn by chance
    size_t pairs = 32;       ///< up to so many writes, every pair is dropped, and kept alone
    size_t all_torn = 2;     ///< up to so many writes, each is torn in every way with the others
    uint64_t seed = 1;
    uint64_t fine = 0;  ///< writes before this offset may be torn inside a unit
};

/// What a cut left behind.
struct CutState {
    const std::vector<std::vector<byte>>& files;
    const std::vector<CutFiles::Ids>& ids;  ///< of the units of each file
    size_t events;  ///< so many events of the log had begun; all before may be in flight or durable
    uint64_t hash;  ///< of the files: equal contents, equal hash
};

/// The states of one log, each different one once; again only where what was promised differs,
/// that is after the next flush.
class CutReplay {
public:
    explicit CutReplay(const CutLog& log, CutOptions options = {})
        : log_(log), options_(options), files_(log.before) {}

    /// Calls `judge(state) -> Status` for every state; stops at the first failure. Once.
    template <class Judge>
    Status run(Judge&& judge) {
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
    static constexpr std::array torn_ways{Reach::first,        Reach::last, Reach::odd,
                                          Reach::all_but_last, Reach::ends, Reach::inside};

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
        if (Status s = in_order(cut, judge); !s) return s;
        if (n <= options_.all_torn) {
            std::vector<Reach> reach(n, Reach::nothing);
            if (Status s = torn_from(0, cut, reach, judge); !s) return s;
        }
        std::vector<Reach> reach(n);
        if (n <= options_.exhaustive) {
            for (uint64_t bits = 0; bits < uint64_t{1} << n; ++bits) {
                for (size_t i = 0; i < n; ++i) reach[i] = kept((bits >> i & 1) != 0);
                if (Status s = state(cut, reach, judge); !s) return s;
            }
            return {};
        }
        for (const bool keep : {true, false}) {  // all but one or two; one or two alone
            for (size_t i = 0; i < n; ++i) {
                const size_t last = n <= options_.pairs ? n : i + 1;
                for (size_t j = i; j < last; ++j) {
                    std::fill(reach.begin(), reach.end(), kept(!keep));
                    reach[i] = reach[j] = kept(keep);
                    if (Status s = state(cut, reach, judge); !s) return s;
                }
            }
        }
        return random_states(cut, reach, judge);
    }

    // As they came, the last one torn or not.
    template <class Judge>
    Status in_order(size_t cut, Judge& judge) {
        std::vector<Reach> reach(flying_.size(), Reach::nothing);
        if (Status s = state(cut, reach, judge); !s) return s;
        for (size_t i = 0; i < reach.size(); ++i) {
            for (const Reach way : torn_ways) {
                if (!can_be(i, way)) continue;
                reach[i] = way;
                if (Status s = state(cut, reach, judge); !s) return s;
            }
            reach[i] = Reach::whole;
            if (Status s = state(cut, reach, judge); !s) return s;
        }
        return {};
    }

    // All that can become of the writes from `i` on.
    template <class Judge>
    Status torn_from(size_t i, size_t cut, std::vector<Reach>& reach, Judge& judge) {
        if (i == reach.size()) return state(cut, reach, judge);
        for (uint8_t way = 0; way <= static_cast<uint8_t>(Reach::whole); ++way) {
            reach[i] = Reach{way};
            if (!can_be(i, reach[i])) continue;
            if (Status s = torn_from(i + 1, cut, reach, judge); !s) return s;
        }
        return {};
    }

    // Each write is kept or dropped, and one of them torn.
    template <class Judge>
    Status random_states(size_t cut, std::vector<Reach>& reach, Judge& judge) {
        std::mt19937_64 random(options_.seed + cut);
        for (size_t i = 0; i < options_.random; ++i) {
            for (Reach& r : reach) r = kept((random() & 1) != 0);
            const size_t torn_one = random() % (reach.size() + 1);
            const Reach way = torn_ways[random() % torn_ways.size()];
            if (torn_one < reach.size() && can_be(torn_one, way)) reach[torn_one] = way;
            if (Status s = state(cut, reach, judge); !s) return s;
        }
        return {};
    }

    static Reach kept(bool is_kept) { return is_kept ? Reach::whole : Reach::nothing; }

    [[nodiscard]] bool can_be(size_t i, Reach reach) const {
        const CutEvent& event = log_.events[flying_[i]];
        if (reach == Reach::nothing || reach == Reach::whole) return true;
        if (event.data.empty()) return false;
        if (reach == Reach::inside) return event.at < options_.fine;
        const uint64_t last = event.at + event.data.size() - 1;
        return event.at / CutFiles::unit != last / CutFiles::unit;
    }

    // One state: of each write what reaches the medium, in their order.
    template <class Judge>
    Status state(size_t cut, const std::vector<Reach>& reach, Judge& judge) {
        for (size_t i = 0; i < flying_.size(); ++i) {
            files_.apply(log_.events[flying_[i]], reach[i]);
        }
        Status judged;
        // What may be lost depends on when the cut comes.
        if (seen_.insert(files_.hash() + cut * 0x9E3779B97F4A7C15).second) {
            ++states_;
            judged = judge(CutState{files_.files(), files_.ids(), cut, files_.hash()});
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
