// SPDX-License-Identifier: BSL-1.0
// The walk of a census: from the L1 tables down, and through all else that takes space.
#pragma once

#include <vdisk/format/qcow2/bitmap.hpp>
#include <vdisk/format/qcow2/counter.hpp>
#include <vdisk/format/qcow2/walk.hpp>

namespace vdisk::qcow2::census {

/// Counts into `out`, tells `visit` of every problem.
template <Storage S, Allocation A, class Visit>
class Counting : Counter<S, A, Visit> {
    using Base = Counter<S, A, Visit>;

public:
    using Base::Base;

    /// The L1 tables that `roots(visit)` calls `visit(root) -> Status` for, and all below them.
    template <class Roots>
    Status states(const Roots& roots) {
        if (Status bounded = bound(roots); !bounded) return bounded;
        Status done = each_table(roots, [&](const Root&, uint64_t cluster, uint64_t) {
            out_.tables.note(cluster);
            return Status{};
        });
        if (!done) return done;
        if (done = out_.tables.number(); !done) return done;
        done = each_table(roots, [&](const Root&, uint64_t cluster, uint64_t) {
            out_.tables.count(cluster);
            return Status{};
        });
        if (!done) return done;
        return roots([&](const Root& root) { return this->root(root); });
    }

    /// What no operation on tables moves: the header, the LUKS header, bitmaps.
    Status fixed() {
        count(0, 1, 0, "");
        if (Status done = encryption(); !done) return done;
        return bitmaps();
    }

    Status snapshot_table() {
        if (layout_.snapshots == 0) return {};
        if (layout_.has_data_file) {
            tell("qcow2: snapshots in an image with an external data file", layout_.snapshots, 60);
        }
        uint64_t end = layout_.snapshots_at;
        Status walked = each_snapshot(tables_.storage(), layout_, [&](const Snapshot& s) -> Status {
            if (s.extra_size < 16 && layout_.version >= 3) {
                tell(lacks_disk_size, s.extra_size, end + 36);
            }
            const char* const flaw = l1_flaw(layout_, s.l1, s.disk_size);
            if (flaw != nullptr && !layout_.has_data_file) tell(flaw, s.l1.at, end);
            end = s.end;
            return {};
        });
        if (!walked) return walked;
        count(layout_.snapshots_at, end - layout_.snapshots_at, 64,
              "qcow2: snapshot table ends past the end of the file");
        return {};
    }

    /// The refcount table and its blocks; to be called last, since a block counts once.
    Status refcounts() {
        const uint64_t at = layout_.refcount_table_at, length = layout_.refcount_table_bytes;
        if (count(at, length, 48, "qcow2: refcount table ends past the end of the file") &&
            is_shared(at, length)) {
            // Its refcount is wrong as well: counted there.
            lost("qcow2: refcount table is used for something else, too", at, 48, 0);
        }
        return refcount_blocks();
    }

    /// Takes back what the last table of `l1` refers to from entry `first` on.
    Status without(L1 l1, uint64_t first) {
        const auto e = tables_.be64(l1.at + (uint64_t{l1.entries} - 1) * 8);
        if (!e) return e.error();
        const uint64_t table = *e & entry::offset_mask;
        if (!is_table(table)) return {};
        return each_l2_entry(tables_, layout_, table, first,
                             [&](uint64_t entry, uint64_t, uint64_t) -> Status {
                                 const Reference ref = reference_of(layout_, entry);
                                 if (ref.kind == Reference::Kind::nothing || layout_.has_data_file)
                                     return {};
                                 const uint64_t last = (ref.at + ref.length - 1) >> bits();
                                 for (uint64_t c = ref.at >> bits(); c <= last; ++c)
                                     out_.counts.subtract(c, 1);
                                 return {};
                             });
    }

private:
    using Base::bits, Base::count, Base::is_shared, Base::lost, Base::tell;
    using Base::image_, Base::layout_, Base::out_, Base::tables_;

    // Tables that do not overlap are together no larger than the file.
    template <class Roots>
    Status bound(const Roots& roots) const {
        uint64_t room = image_.file_size() * 2 + 4_MiB;
        return roots([&](const Root& root) -> Status {
            const uint64_t bytes = uint64_t{root.l1.entries} * 8;
            if (bytes > room) {
                return fail(Errc::limit, "qcow2: L1 tables are larger than the file",
                            {root.l1.entries, root.l1.at});
            }
            room -= bytes;
            return {};
        });
    }

    // The L2 tables of all roots that are in the file and aligned: visit(root, cluster, entry_at).
    template <class Roots, class Each>
    Status each_table(const Roots& roots, const Each& each) {
        return roots([&](const Root& root) {
            return each_entry(tables_, root.l1.at, root.l1.entries,
                              [&](uint64_t e, uint64_t at) -> Status {
                                  const uint64_t table = e & entry::offset_mask;
                                  if (!is_table(table)) return {};
                                  return each(root, table >> bits(), at);
                              });
        });
    }
    [[nodiscard]] bool is_table(uint64_t at) const {
        return at != 0 && is_aligned(at, bits()) && image_.inside(at, layout_.cluster_size());
    }

    Status root(const Root& root) {
        if (root.is_counted) {
            count(root.l1.at, uint64_t{root.l1.entries} * 8, Error::none,
                  "qcow2: L1 table ends past the end of the file");
        }
        return each_entry(tables_, root.l1.at, root.l1.entries,
                          [&](uint64_t e, uint64_t at) { return l1_entry(root, e, at); });
    }

    Status l1_entry(const Root& root, uint64_t e, uint64_t at) {
        if ((e & entry::reserved_l1) != 0) tell("qcow2: L1 entry with reserved bits", e, at);
        const uint64_t table = e & entry::offset_mask;
        count(table, layout_.cluster_size(), at, "qcow2: L2 table lies past the end of the file");
        if (!is_aligned(table, bits())) {
            tell("qcow2: L2 table offset is not a multiple of the cluster size", e, at);
            return {};
        }
        if (!is_table(table)) return {};
        if (!out_.tables.visit(table >> bits())) return {};
        const uint64_t times = out_.tables.times(table >> bits());
        next_ = 0;
        return each_l2_entry(tables_, layout_, table, 0,
                             [&](uint64_t entry, uint64_t bitmap, uint64_t entry_at) {
                                 return l2_entry(root, entry, bitmap, entry_at, times);
                             });
    }

    Status l2_entry(const Root& root, uint64_t e, uint64_t bitmap, uint64_t at, uint64_t times) {
        const Reference ref = reference_of(layout_, e);
        if (ref.kind == Reference::Kind::packed) {
            packed(root, ref, e, bitmap, at, times);
            return {};
        }
        if ((e & reserved_l2(layout_)) != 0) {
            tell("qcow2: L2 entry with reserved bits", e, at, times);
        }
        const auto allocated = static_cast<uint32_t>(bitmap);
        if (ref.kind == Reference::Kind::nothing) {
            if (allocated != 0) {
                tell("qcow2: allocated subcluster without a cluster", bitmap, at + 8, times);
            }
            return {};
        }
        if ((allocated & bitmap >> 32) != 0) {
            tell("qcow2: subcluster is both allocated and zero", bitmap, at + 8, times);
        }
        if (!is_aligned(ref.at, bits())) {
            tell("qcow2: cluster offset is not a multiple of the cluster size", e, at, times);
        }
        if (root.active) {
            ++out_.allocated;
            if (next_ != 0 && next_ != ref.at) ++out_.fragmented;
            next_ = ref.at + ref.length;
        }
        if (!layout_.has_data_file) {
            count(ref.at, ref.length, at, "qcow2: cluster lies past the end of the file", times);
        }
        return {};
    }

    void packed(const Root& root, const Reference& ref, uint64_t e, uint64_t bitmap, uint64_t at,
                uint64_t times) {
        if ((e & entry::copied) != 0) {
            tell("qcow2: copied flag on a compressed cluster", e, at, times);
        }
        if (layout_.has_data_file) {
            tell("qcow2: compressed cluster in an image with an external data file", e, at, times);
            return;
        }
        if (bitmap != 0) {
            tell("qcow2: compressed cluster with subclusters", bitmap, at + 8, times);
            return;
        }
        count(ref.at, ref.length, at, "qcow2: compressed cluster lies past the end of the file",
              times);
        if (!root.active) return;
        ++out_.allocated;
        ++out_.compressed;
        ++out_.fragmented;
    }

    Status encryption() {
        if (layout_.crypt_method != 2 || layout_.encryption.length != 16) return {};
        std::array<byte, 16> raw;
        if (Status got = tables_.storage().read(layout_.encryption.at, raw); !got) return got;
        count(load_be64(raw.data()), load_be64(raw.data() + 8), layout_.encryption.at,
              "qcow2: LUKS header ends past the end of the file");
        return {};
    }

    // Those that are not valid are not there: whoever writes the image next drops them.
    Status bitmaps() {
        if (!bitmaps_valid(layout_)) {
            const Text text = layout_.bitmaps;
            if (!has_bitmaps_length(layout_)) tell(bitmaps_length, text.length, text.at - 4);
            return {};
        }
        const auto directory = load_bitmap_directory(tables_.storage(), layout_);
        if (directory) count(directory->at, directory->size, layout_.bitmaps.at, "");
        else if (directory.error().code == Errc::io) return directory.error();
        uint64_t room = image_.file_size();
        const Status walked = each_bitmap(tables_.storage(), layout_,
                                          [&](const Bitmap& b) { return bitmap(b, room); });
        const Error& e = walked.error();
        if (walked || e.code == Errc::io || e.code == Errc::no_memory) return walked;
        return tell(e.what, e.value, e.at), Status{};
    }
    Status bitmap(const Bitmap& b, uint64_t& room) {
        constexpr uint64_t reserved = ~(entry::offset_mask | 1);
        const uint64_t bytes = uint64_t{b.table_entries} * 8;
        if (bytes > room) {
            return fail(Errc::limit, "qcow2: bitmap tables are larger than the file",
                        {b.table_entries, b.table_at});
        }
        room -= bytes;
        count(b.table_at, bytes, Error::none, "");
        return each_entry(tables_, b.table_at, b.table_entries, [&](uint64_t e, uint64_t at) {
            const uint64_t cluster = e & entry::offset_mask;
            if ((e & reserved) != 0 || (cluster != 0 && (e & 1) != 0) ||
                !is_aligned(cluster, bits())) {
                tell("qcow2: bitmap table entry with reserved bits or unaligned", e, at);
            } else if (cluster != 0) {
                count(cluster, layout_.cluster_size(), at,
                      "qcow2: cluster of a bitmap lies past the end of the file");
            }
            return Status{};
        });
    }

    Status refcount_blocks() {
        const auto block = [&](uint64_t e, uint64_t at) -> Status {
            const uint64_t from = e & ~entry::reserved_refcount;
            const char* what = nullptr;
            if (from != e) what = "qcow2: refcount table entry with reserved bits";
            else if (!is_aligned(from, bits()))
                what = "qcow2: refcount block is not aligned to a cluster";
            else if (from >> bits() >= out_.clusters)
                what = "qcow2: refcount block lies past the end of the file";
            else count(from, layout_.cluster_size(), at, "");
            if (what == nullptr && is_shared(from, layout_.cluster_size()))
                what = "qcow2: refcount block is used for something else, too";
            if (what != nullptr) lost(what, e, at);
            return {};
        };
        return each_entry(tables_, layout_.refcount_table_at, layout_.refcount_table_bytes / 8,
                          block);
    }

    uint64_t next_ = 0;  ///< where the next data cluster would not be a fragment
};
}  // namespace vdisk::qcow2::census
