// SPDX-License-Identifier: BSL-1.0
// What can be done to a closed qcow2 image.
#pragma once

#include <string>

#include <vdisk/format/qcow2/bitmaps.hpp>
#include <vdisk/format/qcow2/downgrade.hpp>
#include <vdisk/format/qcow2/resize.hpp>
#include <vdisk/format/qcow2/snapshots.hpp>

#include "closed_qcow2.hpp"
#include "operations.hpp"

namespace fuzz::qcow2_operations {

/// Of snapshots and bitmaps.
inline std::string_view name_of(uint8_t choice) {
    static constexpr std::array<std::string_view, 4> names = {"1", "first", "2", "bitmap0"};
    return names[choice % names.size()];
}

/// The id of the snapshot that is found by this name; none where another has the same id.
inline std::optional<std::string> id_of(const Sheet& file, std::string_view name) {
    const auto image = ClosedQcow2::open(file.bytes());
    if (!image) return std::nullopt;
    const auto find = [&](std::string_view wanted) {
        return qcow2::find_snapshot(image->file(), image->layout(), wanted);
    };
    std::array<char, 64> buffer{};
    const auto snapshot = find(name);
    if (!snapshot) return std::nullopt;
    const auto id = read_text(image->file(), snapshot->id, buffer);
    if (!id) return std::nullopt;
    const auto same = find(*id);
    const bool is_it = same && same->id.at == snapshot->id.at;
    return is_it ? std::optional(std::string(*id)) : std::nullopt;
}

/// The disk as a snapshot keeps it, if there is one.
class Kept {
public:
    Kept() = default;
    Kept(const Sheet& file, std::string_view name) : id_(id_of(file, name)) {
        auto image = ClosedQcow2::open(file.bytes());
        if (id_ && (!image || !image->select_snapshot(*id_))) id_.reset();
        if (!id_) return;
        size_ = image->size();
        disk_ = Seen(*image);
    }

    void require_snapshot(const Sheet& file) const {
        if (!id_) return;
        auto image = ClosedQcow2::open(file.bytes());
        require(image && image->select_snapshot(*id_), "a snapshot is lost");
        require(image->size() == size_, "a snapshot has another size");
        disk_.compare(*image, "a snapshot has changed");
    }
    void require_disk(const Sheet& file) const {
        if (!id_) return;
        const auto image = ClosedQcow2::open(file.bytes());
        require(image && image->size() == size_, "the disk has not the size of the snapshot");
        disk_.compare(*image, "the disk is not what the snapshot kept");
    }

private:
    std::optional<std::string> id_;
    uint64_t size_ = 0;
    Seen disk_;
};

inline Outcome apply(Sheet& file, std::string_view name, const Kept& kept) {
    const Status done = qcow2::apply_snapshot(file, name, Rationed{});
    if (done) kept.require_disk(file);
    return {done, 0};
}

inline Outcome resize(Sheet& file, const Step& step, bool was_sound) {
    const auto image = ClosedQcow2::open(file.bytes());
    const uint64_t old = image->size(), size = new_size(step, old);
    // A parent that is longer than the disk must not show where the disk grows.
    const Below parent{has_parent(*image) ? old + uint64_t{step.length} * 4096 : 0};
    const auto guest = [&](uint64_t at, MutBytes out) { return read(*image, at, out, parent); };
    if (size < old) return {qcow2::shrink(file, size, Rationed{}, guest), size};
    const Status grown = qcow2::grow(file, size, parent.end, Rationed{}, guest);
    if (grown && was_sound) require_zeros<ClosedQcow2>(file, old, size, parent);
    return {grown, old};
}

inline Outcome set_backing(Sheet& file, const Step& step) {
    static const std::string path(255, 'x');
    const auto name = std::string_view(path).substr(0, step.length);
    return {qcow2::set_backing(file, name, "raw", Rationed{})};
}

inline Status bitmap(Sheet& file, const Step& step) {
    const std::string_view name = name_of(step.length), other = name_of(step.at[0]);
    const unsigned granularity_bits = step.at[1] % 33u;
    const auto recording = step.at[2] % 2 == 0 ? qcow2::Recording::on : qcow2::Recording::off;
    switch (step.what / 16 % 6) {
        case 0: return qcow2::add_bitmap(file, {name, granularity_bits, recording}, Rationed{});
        case 1: return qcow2::remove_bitmap(file, name, Rationed{});
        case 2: return qcow2::clear_bitmap(file, name, Rationed{});
        case 3: return qcow2::set_recording(file, name, recording, Rationed{});
        case 4: return qcow2::merge_bitmap(file, other, name, Rationed{});
        default: return qcow2::mark_recording_dirty(file, Rationed{});
    }
}

inline Outcome header(Sheet& file, const Step& step) {
    const bool even = step.length % 2 == 0;
    const auto updates = even ? qcow2::RefcountUpdates::lazy : qcow2::RefcountUpdates::at_once;
    switch (step.what / 16 % 8) {
        case 0: return {qcow2::upgrade(file, Rationed{})};
        case 1: return {qcow2::downgrade(file, Rationed{})};
        case 2: return {qcow2::set_refcount_updates(file, updates, Rationed{})};
        case 3: return {qcow2::set_data_file(file, name_of(step.length), Rationed{})};
        case 4: return {qcow2::clear_data_file_raw(file, Rationed{})};
        case 5: return {status_of(ClosedQcow2::repair(file, Repair::all))};
        default: return set_backing(file, step);
    }
}

/// A snapshot stays what it is, whatever is done but for deleting it.
inline Outcome any(Sheet& file, const Step& step, bool was_sound) {
    const std::string_view name = name_of(step.length);
    const Kept kept = was_sound ? Kept(file, name) : Kept();
    const unsigned what = step.what % 8;
    Outcome outcome;
    switch (what) {
        case 0: outcome = {qcow2::take_snapshot(file, {.name = name}, Rationed{})}; break;
        case 1: outcome = apply(file, name, kept); break;
        case 2: outcome = {qcow2::delete_snapshot(file, name, Rationed{})}; break;
        case 3: outcome = resize(file, step, was_sound); break;
        case 4:
        case 5: outcome = {bitmap(file, step)}; break;
        default: outcome = header(file, step); break;
    }
    const bool is_gone = what == 2 && outcome.done;
    if (!is_gone) kept.require_snapshot(file);
    return outcome;
}

}  // namespace fuzz::qcow2_operations
