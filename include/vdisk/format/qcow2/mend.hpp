// SPDX-License-Identifier: BSL-1.0
// Replaces entries of L1 and L2 tables that cannot be right, in place. Bits that must not be set
// are cleared. A pointer into a cluster leads to its beginning, if the refcounts say that a
// reference to it is missing. What a pointer leads nowhere for becomes zeros.
#pragma once

#include <vdisk/format/qcow2/first_sector.hpp>
#include <vdisk/format/qcow2/plan.hpp>

namespace vdisk::qcow2 {

namespace mending {

template <WritableStorage S, Allocation A>
class Mend {
public:
    Mend(S& storage, const Closed<S, A>& image, const Census<A>& census, Counters<A>& marks,
         TableSet<A>& tables)
        : storage_(storage),
          image_(image),
          layout_(image.layout),
          census_(census),
          marks_(marks),
          tables_(tables) {}

    Status run() {
        mark(0, 1);
        Status done = each_root([&](L1 l1) {
            mark(l1.at, uint64_t{l1.entries} * 8);
            return Status{};
        });
        if (!done) return done;
        if (done = mark_others(); !done) return done;
        done = each_root([&](L1 l1) {
            if (Status whole = cut_entry(l1.at, uint64_t{l1.entries} * 8); !whole) return whole;
            return each_entry(image_.tables, l1.at, l1.entries,
                              [&](uint64_t e, uint64_t at) { return l1_entry(e, at); });
        });
        if (!done) return done;
        if (done = tables_.number(); !done) return done;
        return each_root([&](L1 l1) {
            return each_entry(image_.tables, l1.at, l1.entries, [&](uint64_t e, uint64_t at) {
                return l2_table(e, (at - l1.at) / 8);
            });
        });
    }

    /// Entries that were changed.
    [[nodiscard]] uint64_t changed() const { return changed_; }

private:
    struct Entry {
        uint64_t word = 0, bitmap = 0;
        friend bool operator==(const Entry&, const Entry&) = default;
    };

    [[nodiscard]] unsigned bits() const { return layout_.cluster_bits; }

    template <class Each>
    Status each_root(const Each& each) const {
        if (Status active = each(layout_.l1); !active) return active;
        return each_counted_snapshot(image_.tables, layout_, [&](const Snapshot& s) -> Status {
            if (!image_.has(s.l1.at, uint64_t{s.l1.entries} * 8)) return {};
            return each(s.l1);
        });
    }

    void mark(uint64_t at, uint64_t length) {
        if (length == 0 || !image_.has(at, length)) return;
        for (uint64_t c = at >> bits(); c <= (at + length - 1) >> bits(); ++c) marks_.add(c, 1);
    }
    [[nodiscard]] uint64_t marks_at(uint64_t at) const { return marks_[at >> bits()]; }

    // Refcounts are not marked: they are made anew where they turn out to be something else.
    Status mark_others() {
        uint64_t end = layout_.snapshots_at;
        Status done =
            each_snapshot(image_.tables.storage(), layout_, [&](const Snapshot& s) -> Status {
                end = s.end;
                return {};
            });
        if (!done) return done;
        mark(layout_.snapshots_at, end - layout_.snapshots_at);
        if (!bitmaps_valid(layout_)) return {};
        const auto directory = load_bitmap_directory(image_.tables.storage(), layout_);
        if (directory) mark(directory->at, directory->size);
        return {};
    }

    // How often the cluster that `at` lies in was counted, but for an unaligned pointer to `at`
    // that itself was counted `times`.
    [[nodiscard]] uint64_t others(uint64_t at, uint64_t times) const {
        const uint64_t counted = census_.counts[at >> bits()];
        if (!image_.inside(at, layout_.cluster_size())) return counted;
        return counted - (times < counted ? times : counted);
    }
    // Whether that cluster has a larger refcount than the others explain.
    [[nodiscard]] Result<bool> is_missed(uint64_t at, uint64_t times) const {
        const auto stored = stored_refcount(image_.tables, layout_, at >> bits());
        if (!stored) return stored.error();
        return stored->readable && stored->value > others(at, times);
    }

    // Whether an unaligned pointer to `at` was one to the L2 table that begins before. A cluster
    // that is no table yet is looked into once, since no other pointer leads there.
    [[nodiscard]] Result<bool> was_table(uint64_t at) const {
        const auto missed = is_missed(at, 1);
        if (!missed || !*missed || census_.tables.contains(at >> bits())) return missed;
        if (others(at, 1) != 0) return false;
        bool sound = true;
        const Status walked =
            each_l2_entry(image_.tables, layout_, align_down(at, bits()), 0,
                          [&](uint64_t word, uint64_t bitmap, uint64_t) -> Status {
                              sound = sound && is_sound({word, bitmap});
                              return {};
                          });
        if (!walked) return walked.error();
        return sound;
    }

    [[nodiscard]] bool is_sound(Entry e) const {
        const Reference ref = reference_of(layout_, e.word);
        if (ref.kind == Reference::Kind::packed) {
            return !layout_.has_data_file && e.bitmap == 0 && image_.has(ref.at, ref.length);
        }
        if ((e.word & reserved_l2(layout_)) != 0) return false;
        if (ref.kind == Reference::Kind::nothing) return true;
        return is_aligned(ref.at, bits()) &&
               (layout_.has_data_file || image_.has(ref.at, ref.length));
    }

    // What an L1 entry should be; 0 where it leads nowhere. The answer stays the same while tables
    // are mended: it is asked again.
    [[nodiscard]] Result<uint64_t> right_l1(uint64_t e) const {
        const uint64_t at = e & entry::offset_mask;
        const uint64_t table = align_down(at, bits());
        const bool leads_on =
            table != 0 && image_.has(table, layout_.cluster_size()) && marks_at(table) == 0;
        if (!leads_on) return uint64_t{0};
        if (table != at) {
            const auto was = was_table(at);
            if (!was) return was.error();
            if (!*was) return uint64_t{0};
        }
        return (e & ~entry::reserved_l1) - (at - table);
    }

    Status l1_entry(uint64_t e, uint64_t at) {
        const auto right = right_l1(e);
        if (!right) return right.error();
        if (*right != 0) tables_.note((*right & entry::offset_mask) >> bits());
        // Where two tables share a cluster, writing to one would damage the other.
        if (*right == e || marks_at(at) != 1) return {};
        return write(at, {*right, 0}, 8);
    }

    Status l2_table(uint64_t e, uint64_t index) {
        const auto right = right_l1(e);
        if (!right) return right.error();
        const uint64_t table = *right & entry::offset_mask;
        const uint64_t cluster = table >> bits();
        if (table == 0 || !tables_.contains(cluster) || !tables_.visit(cluster)) return {};
        if (Status whole = cut_entry(table, layout_.cluster_size()); !whole) return whole;
        const uint64_t times = census_.tables.contains(cluster) ? census_.tables.times(cluster) : 0;
        uint64_t guest = index << layout_.l1_shift();
        return each_l2_entry(image_.tables, layout_, table, 0,
                             [&](uint64_t word, uint64_t bitmap, uint64_t at) -> Status {
                                 const Entry old{word, bitmap};
                                 const auto mended = right_l2(old, guest, times);
                                 if (!mended) return mended.error();
                                 guest += layout_.cluster_size();
                                 if (*mended == old || !fits(at, 16, image_.file_size())) return {};
                                 return write(at, *mended, layout_.extended_l2 ? 16 : 8);
                             });
    }

    // An entry that the end of the file cuts reads as zero: so it has to in a file that grows.
    Status cut_entry(uint64_t table, uint64_t length) {
        const uint64_t size = image_.file_size(), at = align_down(size, 3);
        if (at == size || at < table || at - table >= length) return {};
        constexpr std::array<byte, 8> zeros{};
        return storage_.write(at, Bytes(zeros).first(static_cast<size_t>(size - at)));
    }

    [[nodiscard]] bool is_data(const Reference& ref) const {
        return image_.has(ref.at, ref.length) && marks_at(ref.at) == 0 &&
               !tables_.contains(ref.at >> bits());
    }

    [[nodiscard]] Entry zeros() const {
        if (layout_.extended_l2) return {0, uint64_t{0xFFFFFFFF} << 32};
        return {layout_.version >= 3 ? entry::zero : 0, 0};
    }

    // Whether an unaligned pointer to `at` was one to the cluster that begins before, or none.
    [[nodiscard]] Result<bool> was_cluster(uint64_t e, uint64_t at, uint64_t guest,
                                           uint64_t times) const {
        const uint64_t home = align_down(at, bits());
        if (home == 0 && (e & entry::copied) == 0) return true;
        if (layout_.has_data_file) return home == guest;
        if (!image_.has(home, layout_.cluster_size())) return false;
        return is_missed(at, times);
    }

    // What the entry for `guest` should be, in a table that was counted `times`.
    [[nodiscard]] Result<Entry> right_l2(Entry e, uint64_t guest, uint64_t times) const {
        Reference ref = reference_of(layout_, e.word);
        if (ref.kind == Reference::Kind::packed) {
            if (layout_.has_data_file || !image_.has(ref.at, ref.length)) return zeros();
            return Entry{e.word & ~entry::copied, 0};
        }
        e.word &= ~reserved_l2(layout_);
        if (!is_aligned(ref.at, bits())) {
            const auto was = was_cluster(e.word, ref.at, guest, times);
            if (!was) return was.error();
            if (!*was) return zeros();
            e.word -= ref.at - align_down(ref.at, bits());
            ref = reference_of(layout_, e.word);
        }
        const uint64_t allocated = e.bitmap & 0xFFFFFFFF;
        if (ref.kind == Reference::Kind::nothing)
            return Entry{e.word, (e.bitmap ^ allocated) | allocated << 32};
        if (!layout_.has_data_file && !is_data(ref)) return zeros();
        return Entry{e.word, e.bitmap & ~(allocated & e.bitmap >> 32)};
    }

    Status write(uint64_t at, Entry e, size_t width) {
        std::array<byte, 16> raw{};
        store_be64(raw.data(), e.word);
        store_be64(raw.data() + 8, e.bitmap);
        ++changed_;
        return storage_.write(at, Bytes(raw).first(width));
    }

    S& storage_;
    const Closed<S, A>& image_;
    const Layout& layout_;
    const Census<A>& census_;  ///< before anything was mended
    Counters<A>& marks_;       ///< how many tables other than L2 tables a cluster holds
    TableSet<A>& tables_;
    uint64_t changed_ = 0;
};

}  // namespace mending

/// Mends the tables of a closed image and makes that durable. Returns how many entries were
/// changed. Refcounts and copied flags do not follow yet.
template <WritableStorage S, Allocation A>
Result<uint64_t> mend_tables(S& storage, const Closed<S, A>& image, A allocation) {
    auto census = make_census(image, image.layout.refcount_order, 0, allocation);
    if (!census) return census.error();
    NoVisitor nobody;
    if (Status taken = take_census(image, *census, nobody); !taken) return taken.error();
    auto marks = Counters<A>::make(image.file_clusters() + 1, 3, allocation);
    if (!marks) return marks.error();
    auto tables = TableSet<A>::make(image.file_clusters() + 1, std::move(allocation));
    if (!tables) return tables.error();
    mending::Mend<S, A> mend(storage, image, *census, *marks, *tables);
    if (Status done = mend.run(); !done) return done.error();
    if (Status durable = storage.flush(); !durable) return durable.error();
    return mend.changed();
}

}  // namespace vdisk::qcow2
