// SPDX-License-Identifier: BSL-1.0
// Mends what check finds.
#pragma once

#include <vdisk/format/vhdx/closed.hpp>

namespace vdisk::vhdx {

using RepairReport = Repaired<CheckReport>;

namespace repairing {

/// Entries of the BAT, one by one, and then against each other.
template <class E, Allocation A>
class Entries {
public:
    Entries(E& editor, A allocation) : editor_(editor), allocation_(std::move(allocation)) {}

    Status run() {
        Status done = editor_.trust();
        if (done) done = each([&](const BatEntry& e) { return alone(e); });
        if (done) done = each([&](const BatEntry& e) { return with_bitmap(e); });
        return done ? apart() : done;
    }

private:
    template <class Visit>
    Status each(Visit visit) {
        return each_entry(editor_.tables(), editor_.layout(), visit);
    }

    Status put(const BatEntry& e, uint64_t value) {
        if (Status begun = editor_.begin_change(); !begun) return begun;
        return editor_.tables().put_le64(e.at, value);
    }

    // A block that lies nowhere reads as zeros from now on.
    Status alone(const BatEntry& e) {
        const uint64_t size = editor_.storage().size();
        if (check(editor_.layout(), e, size)) return {};
        const BatEntry plain{e.value & ~entry::reserved, e.at, e.number, e.is_bitmap};
        if (check(editor_.layout(), plain, size)) return put(e, plain.value);
        const bool hides = editor_.layout().has_parent && !e.is_bitmap;
        return put(e, static_cast<uint64_t>(hides ? State::zero : State::not_present));
    }

    // Without a bitmap nobody knows which sectors were written: all count, so that none is lost.
    Status with_bitmap(const BatEntry& e) {
        const auto missing = lacks_bitmap(editor_.tables(), editor_.layout(), e);
        if (!missing) return missing.error();
        return *missing ? put(e, e.place() | static_cast<uint64_t>(State::fully_present))
                        : Status{};
    }

    // Of two that overlap, the later gets a copy at the end of the file: as many as the file could
    // hold, so that a table in which all entries are one does not fill the drive.
    Status apart() {
        const uint64_t size = editor_.storage().size();
        Space<A> space(allocation_);
        if (Status covered = space.cover(size); !covered) return covered;
        uint64_t shared = 0, copied = 0;
        const auto count = [&](const BatEntry& e, const Error&) -> Status {
            ++shared;
            const uint64_t bytes = stored(e, size);
            if (bytes > size - copied) {
                return fail(Errc::limit,
                            "vhdx: too many blocks overlap: they take more than the file",
                            {e.value, e.at});
            }
            copied += bytes;
            return {};
        };
        const auto end = mark(space, size, count);
        if (!end) return end.error();
        if (shared == 0) return {};
        if (Status begun = editor_.begin_change(); !begun) return begun;
        const uint64_t whole = blocks(*end > size ? *end : size, mib_bits) << mib_bits;
        if (Status grown = editor_.storage().resize(whole); !grown) return grown;
        if (Status covered = space.cover(size); !covered) return covered;
        const auto again =
            mark(space, size, [&](const BatEntry& e, const Error&) { return copy(e, size); });
        return again ? Status{} : Status(again.error());
    }
    template <class Wrong>
    Result<uint64_t> mark(Space<A>& space, uint64_t size, Wrong wrong) {
        return mark_used(editor_.storage(), editor_.tables(), editor_.layout(), size, space, wrong);
    }

    // What a file of `size` has of a block that is there.
    uint64_t stored(const BatEntry& e, uint64_t size) const {
        if (e.state() < State::fully_present || e.place() >= size) return 0;
        const uint64_t length = length_of(editor_.layout(), e);
        return length < size - e.place() ? length : size - e.place();
    }

    Status copy(const BatEntry& e, uint64_t size) {
        // There is nothing to be copied.
        if (e.state() < State::fully_present) return put(e, e.value & entry::state_mask);
        const uint64_t length = length_of(editor_.layout(), e);
        const auto room = editor_.allocate(length);
        if (!room) return room.error();
        const uint64_t there = room->is_zero ? stored(e, size) : length;
        if (Status copied = editor_.copy(e.place(), room->at, there); !copied) return copied;
        return put(e, room->at | (e.value & entry::state_mask));
    }

    E& editor_;
    A allocation_;
};

// Places that mean nothing.
template <class E>
Status stale_places(E& editor) {
    return each_entry(editor.tables(), editor.layout(), [&](const BatEntry& e) -> Status {
        if (!has_stale_place(e)) return {};
        if (Status begun = editor.begin(); !begun) return begun;
        return editor.tables().put_le64(e.at, e.value & entry::state_mask);
    });
}

template <WritableStorage S, Allocation A, IdSource I>
Status mend(S& storage, const CheckReport& report, Repair what, A allocation, I ids) {
    auto editor = open_to_change(storage, allocation, std::move(ids));
    if (!editor) return editor.error();
    const bool all = what == Repair::all && report.corruptions > 0;
    if (!all && report.corruptions > 0) return {};
    Status done;
    if (all) done = Entries(*editor, allocation).run();
    if (done) done = stale_places(*editor);
    if (done && all) {
        // Both headers are written anew by whoever begins.
        done = editor->begin();
        if (done) done = put_region_tables(*editor, allocation, [](RegionTableEntry&) {});
    }
    return done ? editor->close() : done;
}

}  // namespace repairing

/// Repairs a closed image; calls `visit(const Problem&)` for what was wrong. A log that waits is
/// replayed, whatever is to be repaired. Blocks that lie nowhere become zeros; of two that overlap,
/// one gets a copy; one whose sector bitmap is lost is there in full and hides its parent. A repair
/// that succeeds may leave what it could not help: see `after`.
template <WritableStorage S, Allocation A, IdSource I, class Visit = NoVisitor>
Result<RepairReport> repair(S& storage, Repair what, A allocation, I ids, Visit visit = {}) {
    RepairReport report;
    const auto before = check_image(storage, allocation, visit);
    if (!before) return before.error();
    report.before = report.after = *before;
    if (before->is_clean()) return report;
    Status done = replay(storage, allocation, ids);
    if (!done) return done.error();
    auto now = check_image(storage, allocation);
    if (now && !now->is_clean()) {
        done = repairing::mend(storage, *now, what, allocation, std::move(ids));
        if (!done) return done.error();
        now = check_image(storage, allocation);
    }
    if (!now) return now.error();
    report.after = *now;
    return report;
}

}  // namespace vdisk::vhdx
