// SPDX-License-Identifier: BSL-1.0
// Makes the file as short as it can be: blocks that say nothing go, the last ones move into what is
// free, and the end is cut off. A cut at any moment leaves an image with the same contents.
#pragma once

#include <vdisk/format/compaction.hpp>
#include <vdisk/format/vhdx/closed.hpp>

namespace vdisk::vhdx {

namespace compacting {

/// One compaction: what its steps share.
template <class E, class Below, class Progress>
class Compactor {
public:
    Compactor(E& editor, MutBytes buffer, Below& below, Progress& progress)
        : editor_(editor), buffer_(buffer), below_(below), progress_(progress) {}

    Status drop() {
        uint64_t done = 0;
        Status walked = each([&](const BatEntry& e) -> Status {
            if (!e.has_place() || e.is_bitmap) return {};
            if (Status on = progress_(done++); !on) return on;
            // Of one that is there no more only the place goes.
            if (e.state() < State::fully_present) {
                return editor_.put_entry(e, e.value & entry::state_mask);
            }
            const auto empty = says_nothing(e);
            if (!empty) return empty.error();
            if (!*empty) return {};
            ++out_.dropped;
            return editor_.put_entry(e, 0);
        });
        if (walked) walked = drop_bitmaps();
        return walked ? editor_.flush() : walked;
    }

    /// Until nothing moves any more. What is left in one pass is free for the next.
    Status pack() {
        for (unsigned pass = 0; pass < max_passes; ++pass) {
            const uint64_t before = out_.moved;
            const uint64_t goal = editor_.space().count_used() << mib_bits;
            Status done = each([&](const BatEntry& e) -> Status {
                if (!e.has_place() || e.place() + length_of(editor_.layout(), e) <= goal) return {};
                return move(e);
            });
            if (done) done = editor_.flush();
            if (!done) return done;
            if (out_.moved == before) break;
        }
        return {};
    }

    [[nodiscard]] const Compacted& done() const { return out_; }

private:
    static constexpr unsigned max_passes = 16;

    template <class Visit>
    Status each(Visit visit) {
        return each_entry(editor_.tables(), editor_.layout(), visit);
    }

    Status move(const BatEntry& e) {
        const uint64_t length = length_of(editor_.layout(), e);
        const uint64_t to = editor_.space().find(length, e.place());
        if (to == editor_.space().none) return {};
        if (Status on = progress_(out_.moved); !on) return on;
        editor_.space().take(to, length);
        if (Status copied = editor_.copy(e.place(), to, length); !copied) return copied;
        ++out_.moved;
        return editor_.put_entry(e, to | (e.value & entry::state_mask));
    }

    // Bitmaps of chunks in which no block is partially present.
    Status drop_bitmaps() {
        return each([&](const BatEntry& bitmap) -> Status {
            if (!bitmap.is_bitmap) return {};
            const unsigned bits = editor_.layout().chunk_bits();
            const uint64_t first = bitmap.number << bits;
            for (uint64_t i = first; i < first + (uint64_t{1} << bits); ++i) {
                if (i >= editor_.layout().payload_blocks()) break;
                const auto e = load_entry(editor_.tables(), editor_.layout(), i);
                if (!e) return e.error();
                if (e->state() == State::partially_present) return {};
            }
            return editor_.put_entry(bitmap, 0);
        });
    }

    // Whether the guest would see the same without the block.
    Result<bool> says_nothing(const BatEntry& e) {
        const Layout& layout = editor_.layout();
        const uint64_t begin = e.number << layout.block_bits;
        const uint64_t rest = layout.size - begin;
        const uint64_t length = rest < layout.block_size() ? rest : layout.block_size();
        for (uint64_t at = 0; at < length;) {
            const auto run = editor_.lookup(begin + at, length - at);
            if (!run) return run.error();
            if (run->kind == Kind::data) {
                const auto same = is_as_below(editor_.storage(), run->at, begin + at, run->length,
                                              layout.has_parent, below_, buffer_);
                if (!same || !*same) return same;
            }
            at += run->length;
        }
        return true;
    }

    E& editor_;
    MutBytes buffer_;
    Below& below_;
    Progress& progress_;
    Compacted out_;
};

// A BAT behind where a file without gaps would end; it gets as short as it can be. False: it
// stays.
template <class E>
Result<bool> lower_bat(E& editor, auto allocation) {
    const Layout& layout = editor.layout();
    const uint64_t at = layout.bat_at;
    const uint64_t length = blocks(layout.bat_entries() * 8, mib_bits) << mib_bits;
    if (at + layout.bat_length <= editor.space().count_used() << mib_bits) return false;
    const uint64_t to = editor.space().find(length, at);
    if (to == editor.space().none) return false;
    editor.space().take(to, length);
    const Status moved = move_bat(editor, to, length, allocation);
    return moved ? Result<bool>(true) : moved.error();
}

}  // namespace compacting

/// Compacts a closed image. `below(at, out)` reads the parent of a differencing image, also past
/// its end; to drop blocks of one it is needed. `progress(block) -> Status` is called now and then,
/// with a growing number in each pass; a failure ends the work between two steps, and is returned.
/// The disk stays what it is to its children. Memory: two bits for each MiB of a full disk, and 192
/// KiB. Log and metadata stay where they are.
template <WritableStorage S, Allocation A, IdSource I, class Below = NothingBelow,
          class Progress = NoProgress>
Result<Compacted> compact(S& storage, A allocation, I ids, Compaction what = Compaction::drop,
                          Below below = {}, Progress progress = {}) {
    auto editor = open_to_change(storage, allocation, std::move(ids));
    if (!editor) return editor.error();
    const Layout& layout = editor->layout();
    if (layout.leaves_allocated && !layout.has_parent) return Compacted{};
    const bool knows_parent = !std::same_as<Below, NothingBelow>;
    if (what == Compaction::drop && layout.has_parent && !knows_parent) {
        return invalid("vhdx: which blocks of a child can go, its parent has to tell");
    }
    Buffer<A> buffer(allocation);
    if (auto memory = buffer.reserve(128 << 10); !memory) return memory.error();
    compacting::Compactor work(*editor, buffer.bytes().first(128 << 10), below, progress);
    Status done = editor->begin();
    if (done && what == Compaction::drop) done = work.drop();
    if (done) done = work.pack();
    if (!done) return done.error();
    const auto lowered = compacting::lower_bat(*editor, allocation);
    if (!lowered) return lowered.error();
    if (*lowered) done = work.pack();
    if (done) done = cut_end(*editor);
    if (done) done = editor->close();
    return done ? Result<Compacted>(work.done()) : done.error();
}

}  // namespace vdisk::vhdx
