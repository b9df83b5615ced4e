// SPDX-License-Identifier: BSL-1.0
// Files that changes are applied to and taken back from, in the time of the change and not of what
// they hold.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>

#include <vdisk/storage/power_cut.hpp>

namespace vdisk {

/// How much of a write reaches the medium.
enum class Reach : uint8_t { nothing, first, last, odd, all_but_last, ends, inside, whole };

/// All files of a workload. Each unit of theirs is known by a number, so that contents are
/// compared, and hashed, without being looked at.
class CutFiles {
public:
    /// The medium writes so many bytes as one.
    static constexpr uint64_t unit = 512;
    /// Torn inside its first unit, a write leaves so many bytes.
    static constexpr uint64_t inside = 32;
    /// A number per unit of a file, of its contents wherever they stand. Zeros are 0.
    using Ids = std::vector<uint64_t>;

    explicit CutFiles(const std::vector<std::vector<byte>>& files) : base_(files), files_(files) {
        for (size_t f = 0; f < files_.size(); ++f) {
            hash_ ^= hash_size(f);
            ids_.push_back(ids_of(files_[f]));
            for (uint64_t u = 0; u < ids_[f].size(); ++u) hash_ ^= at_home(f, u);
        }
        base_ids_ = ids_;
    }

    [[nodiscard]] const std::vector<std::vector<byte>>& files() const { return files_; }
    [[nodiscard]] const std::vector<Ids>& ids() const { return ids_; }
    /// Of names and contents: what is equal has one hash.
    [[nodiscard]] uint64_t hash() const { return hash_; }

    /// Of one unit or less, not of nothing; what it lacks counts as zeros: nobody can tell those
    /// written from those of a file that grew.
    [[nodiscard]] static uint64_t id_of(Bytes bytes) {
        static constexpr std::array<char, unit> zeros{};
        if (std::memcmp(bytes.data(), zeros.data(), bytes.size()) == 0) return 0;
        std::array<char, unit> text{};
        std::memcpy(text.data(), bytes.data(), bytes.size());
        return std::hash<std::string_view>{}({text.data(), unit}) | 1;
    }
    [[nodiscard]] static Ids ids_of(Bytes file) {
        Ids out;
        for (size_t at = 0; at < file.size(); at += unit) {
            out.push_back(id_of(file.subspan(at, std::min<size_t>(unit, file.size() - at))));
        }
        return out;
    }

    /// Units are those of the medium: a write that begins inside one is cut at its end. Events
    /// outlive the files.
    void apply(const CutEvent& event, Reach reach = Reach::whole) {
        const uint32_t f = event.file;
        if (reach == Reach::nothing) return;
        if (event.kind == CutEvent::Kind::resize) return resize(f, event.at);
        if (event.data.empty()) return;
        const uint64_t end = event.at + event.data.size();
        const uint64_t first = event.at / unit;
        const uint64_t count = (end - 1) / unit - first + 1;
        const Ids* known = whole_units(event);
        for (uint64_t i = 0; i < count; ++i) {
            if (!reaches(reach, i, count)) continue;
            const uint64_t from = std::max(event.at, (first + i) * unit);
            // Where the new size did not reach the medium, neither did what lies beyond.
            uint64_t to = std::min({end, (first + i + 1) * unit, uint64_t{files_[f].size()}});
            if (reach == Reach::inside) to = std::min(to, from + inside);
            if (from >= to) continue;
            std::memcpy(&files_[f][from], &event.data[from - event.at], to - from);
            const bool is_known = known != nullptr && to == from + unit;
            set_id(f, first + i, is_known ? (*known)[i] : id_now(f, first + i));
            changed_.emplace_back(f, first + i);
        }
    }

    /// Takes everything back since the last `keep`.
    void undo() {
        for (uint32_t f = 0; f < files_.size(); ++f) {
            if (files_[f].size() != base_[f].size()) resize(f, base_[f].size());
        }
        for (const auto& [f, u] : changed_) {
            if (copy_unit(base_, files_, f, u)) set_id(f, u, base_ids_[f][u]);
        }
        changed_.clear();
    }
    /// Makes what was applied the ground for what follows.
    void keep() {
        for (size_t f = 0; f < files_.size(); ++f) {
            base_[f].resize(files_[f].size());
            base_ids_[f].resize(ids_[f].size());
        }
        for (const auto& [f, u] : changed_) {
            if (copy_unit(files_, base_, f, u)) base_ids_[f][u] = ids_[f][u];
        }
        changed_.clear();
    }

private:
    static bool reaches(Reach reach, uint64_t index, uint64_t count) {
        switch (reach) {
            case Reach::nothing: return false;
            case Reach::first:
            case Reach::inside: return index == 0;
            case Reach::last: return index + 1 == count;
            case Reach::odd: return index % 2 != 0;
            case Reach::all_but_last: return index + 1 != count;
            case Reach::ends: return index == 0 || index + 1 == count;
            case Reach::whole: return true;
        }
        return true;
    }

    // The numbers of what a write brings, if it is whole units.
    const Ids* whole_units(const CutEvent& event) {
        if ((event.at | event.data.size()) % unit != 0) return nullptr;
        Ids& ids = brought_[&event];
        if (ids.empty()) ids = ids_of(event.data);
        return &ids;
    }

    static constexpr uint64_t mix(uint64_t x) {
        x = (x ^ x >> 32) * 0x9E3779B97F4A7C15;
        x = (x ^ x >> 29) * 0xBF58476D1CE4E5B9;
        return x ^ x >> 32;
    }
    [[nodiscard]] uint64_t hash_size(size_t f) const {
        return mix(mix(f + 1) ^ (files_[f].size() + 1));
    }
    // What a unit adds to the hash where it stands.
    [[nodiscard]] uint64_t at_home(size_t f, uint64_t u) const {
        return ids_[f][u] == 0 ? 0 : mix(ids_[f][u] ^ mix((u + 1) * 64 + f));
    }
    [[nodiscard]] uint64_t id_now(size_t f, uint64_t u) const {
        const Bytes rest = Bytes(files_[f]).subspan(static_cast<size_t>(u * unit));
        return id_of(rest.first(std::min<size_t>(unit, rest.size())));
    }
    void set_id(uint32_t f, uint64_t u, uint64_t id) {
        hash_ ^= at_home(f, u);
        ids_[f][u] = id;
        hash_ ^= at_home(f, u);
    }

    void resize(uint32_t f, uint64_t size) {
        auto& file = files_[f];
        hash_ ^= hash_size(f);
        for (uint64_t u = size / unit; u < ids_[f].size(); ++u) {
            if (ids_[f][u] == 0) continue;
            changed_.emplace_back(f, u);
            set_id(f, u, 0);
        }
        file.resize(static_cast<size_t>(size));
        ids_[f].resize((file.size() + unit - 1) / unit);
        if (size % unit != 0) set_id(f, size / unit, id_now(f, size / unit));
        hash_ ^= hash_size(f);
    }

    // False: one of the two is not that long.
    static bool copy_unit(const std::vector<std::vector<byte>>& from,
                          std::vector<std::vector<byte>>& to, uint32_t f, uint64_t u) {
        const size_t at = static_cast<size_t>(u * unit);
        const size_t end = std::min({at + size_t{unit}, from[f].size(), to[f].size()});
        if (at >= end) return false;
        std::memcpy(&to[f][at], &from[f][at], end - at);
        return true;
    }

    std::vector<std::vector<byte>> base_, files_;
    std::vector<Ids> base_ids_, ids_;
    std::vector<std::pair<uint32_t, uint64_t>> changed_;  ///< file, unit; since `keep`
    std::unordered_map<const CutEvent*, Ids> brought_;
    uint64_t hash_ = 0;
};

}  // namespace vdisk
