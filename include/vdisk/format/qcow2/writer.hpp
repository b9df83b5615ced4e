// SPDX-License-Identifier: BSL-1.0
// Writes a qcow2 image (versions 2 and 3).
#pragma once

#include <vdisk/format/qcow2/eraser.hpp>

namespace vdisk::qcow2 {

/// Refcounts are kept exact, also where the image would allow them to lag behind (lazy refcounts):
/// the flush that makes guest data durable covers them, so there is nothing to be gained.
///
/// Bitmaps are not kept up to date. If those that record say "written" of the whole disk, which
/// mark_recording_dirty() makes them do, they stay; otherwise the first change declares all of them
/// void, as the specification demands.
template <WritableStorage S, Allocation A, Codec C, class T = StagedMetadata<S, A>>
class Writer : public Eraser<S, A, C, T> {
    using Base = Eraser<S, A, C, T>;
    using typename Base::State;

public:
    /// Opens an image to read and write. Refuses one that has to be repaired first: marked corrupt,
    /// or with refcounts that were not brought up to date (dirty). Nothing is written before the
    /// first change.
    static Result<Writer> open(S storage, OpenOptions options = {}, A allocation = A{},
                               C codec = C{}) {
        auto image = Image<S, A, C, T>::open(std::move(storage), options, std::move(allocation),
                                             std::move(codec));
        if (!image) return image.error();
        const Layout& layout = image->layout();
        if (layout.crypt_method != 0) {
            return fail(Errc::encrypted, "qcow2: the image is encrypted (AES or LUKS)");
        }
        if (layout.is_corrupt()) {
            return fail(Errc::read_only, "qcow2: the image is marked corrupt and needs repair");
        }
        if (layout.is_dirty()) {
            return fail(Errc::read_only,
                        "qcow2: the image was not closed cleanly (dirty) and needs repair");
        }
        return Result<Writer>(std::in_place, *std::move(image));
    }

    using Base::block_size;
    using Base::layout;
    using Base::storage;

    /// Clusters that are the image's own are overwritten in place; a run of others gets new ones.
    Result<Placement> place(uint64_t at, uint64_t length) {
        if (Status begun = this->begin(); !begun) return begun.error();
        const auto first = this->state(at);
        if (!first) return first.error();
        const uint64_t rest = this->end_of_table(at) - at;
        if (length > rest) length = rest;
        if (!slot::owns_host(layout(), first->slot)) return fresh(at, length, *first);
        if (first->extent.kind == Kind::data) return overwrite(at, length, *first);
        return reuse(at, length, *first);
    }

    /// Links a fresh placement into the L2 table.
    Status commit(uint64_t at, const Placement& placement) {
        this->tables().wrote_data();
        if (!placement.fresh) return {};
        const uint64_t first = at - placement.head;
        const uint64_t end = at + placement.length + placement.tail;
        const uint64_t home = placement.at - placement.head - in_cluster(first);
        const uint64_t base = align_down(first, layout().cluster_bits);
        const auto done = this->relink(first, end, [&](uint64_t cluster, Slot old) {
            const uint64_t from = cluster < first ? first - cluster : 0;
            const uint64_t to = end - cluster < cluster_size() ? end - cluster : cluster_size();
            return slot::stored(layout(), old, home + (cluster - base), from, to);
        });
        if (!done) return done.error();
        if (*done != end) return invalid("qcow2: placement is not one that place() gave");
        return {};
    }

    /// Gives the clusters of a fresh placement back that will not be committed.
    void cancel(uint64_t at, const Placement& placement) {
        if (!placement.fresh || layout().has_data_file) return;
        const uint64_t first = at - placement.head;
        const uint64_t home = placement.at - placement.head - in_cluster(first);
        const auto now = this->state(first);
        if (!now || (slot::owns_host(layout(), now->slot) && slot::host(now->slot) == home)) return;
        const uint64_t bytes = at + placement.length + placement.tail - first;
        // If that fails the space is lost, as it would be without.
        static_cast<void>(this->clusters().dereference(
            {home >> layout().cluster_bits,
             blocks(in_cluster(first) + bytes, layout().cluster_bits)}));
    }

    /// Guest bytes of a packed block.
    [[nodiscard]] uint64_t pack_unit() const { return cluster_size(); }
    [[nodiscard]] Packing packing() const { return layout().packing; }

    /// A home for a packed cluster of `stored` bytes, which are fewer than a cluster's; it may
    /// share its host clusters with others.
    Result<uint64_t> place_packed(uint64_t stored) {
        if (Status begun = this->begin(); !begun) return begun.error();
        if (layout().has_data_file) {
            return unsupported("qcow2: an image with an external data file holds no packed data");
        }
        if (stored == 0 || stored >= cluster_size()) {
            return invalid("qcow2: packed cluster is not smaller than a cluster", {stored});
        }
        const auto home = place_behind(stored);
        if (!home) return home;
        this->space().packed_at = *home + stored;
        return home;
    }

    /// Shows the packed bytes at `home` to the guest as the cluster that begins at `at`.
    Status commit_packed(uint64_t at, uint64_t home, uint64_t stored) {
        this->tables().wrote_data();
        this->forget_unpacked();
        const auto done = this->relink(at, at + cluster_size(), [&](uint64_t, Slot) {
            return slot::packed(layout(), home, stored);
        });
        return done ? Status{} : Status(done.error());
    }

    /// When it succeeds, all that was written is durable, and clusters nobody needs are free.
    Status flush() {
        if (this->space().freed == 0) return this->tables().flush();
        if (Status released = this->clusters().release(); !released) return released;
        return this->tables().flush();
    }

private:
    friend Result<Writer>;

    explicit Writer(Image<S, A, C, T>&& image) : Base(std::move(image)) {}

    using Base::cluster_size;
    using Base::in_cluster;

    // Own clusters in a row, in the file as on the disk.
    Result<Placement> overwrite(uint64_t at, uint64_t length, const State& first) {
        if (Status own = this->check_own(first.slot); !own) return own.error();
        uint64_t done = first.extent.length;
        while (done < length) {
            const auto next = this->state(at + done);
            if (!next || !slot::owns_host(layout(), next->slot) ||
                !continues({.kind = Kind::data, .at = first.extent.at, .length = done},
                           next->extent)) {
                break;
            }
            if (Status own = this->check_own(next->slot); !own) return own.error();
            done += next->extent.length;
        }
        return Placement{.at = first.extent.at, .length = done < length ? done : length};
    }

    // A host cluster that belongs to the slot and holds nothing the guest sees yet.
    Result<Placement> reuse(uint64_t at, uint64_t length, const State& first) {
        if (Status own = this->check_own(first.slot); !own) return own.error();
        if (length > first.extent.length) length = first.extent.length;
        return filled_up(at, length, slot::host(first.slot) + in_cluster(at), block_size(),
                         block_size());
    }

    // A new block is filled up to the edges of what the old one held in one piece.
    [[nodiscard]] uint64_t edge(Slot s) const {
        const bool holds_data = slot::is_compressed(s) || slot::has_host(layout(), s);
        return holds_data ? cluster_size() : block_size();
    }

    Placement filled_up(uint64_t at, uint64_t length, uint64_t home, uint64_t first_edge,
                        uint64_t last_edge) const {
        const uint64_t end = at + length;
        const uint64_t past = end & (last_edge - 1);
        uint64_t tail = past == 0 ? 0 : last_edge - past;
        // A data file ends with the disk.
        if (layout().has_data_file && tail > this->size() - end) tail = this->size() - end;
        return {.at = home,
                .length = length,
                .head = at & (first_edge - 1),
                .tail = tail,
                .fresh = true};
    }

    // New clusters in a row, for slots that have none of their own.
    Result<Placement> fresh(uint64_t at, uint64_t length, const State& first) {
        uint64_t lost = slot::held(layout(), first.slot).count != 0;
        uint64_t end = at + first.extent.length;
        if (first.extent.kind != Kind::absent || first.slot != Slot{}) {
            end = align_down(at, layout().cluster_bits) + cluster_size();
        }
        while (end < at + length && lost + 1 < Base::max_lost) {
            const auto next = this->state(end);
            if (!next || slot::owns_host(layout(), next->slot)) break;
            lost += slot::held(layout(), next->slot).count != 0;
            end += cluster_size();
        }
        if (length > end - at) length = end - at;
        uint64_t home = at;
        bool blank = false;
        if (!layout().has_data_file) {
            const uint64_t wanted = blocks(in_cluster(at) + length, layout().cluster_bits);
            const auto run = this->allocate(wanted);
            if (!run) return run.error();
            home = (run->first << layout().cluster_bits) + in_cluster(at);
            const uint64_t room = (run->count << layout().cluster_bits) - in_cluster(at);
            if (length > room) length = room;
            blank = run->blank;
        }
        const auto last = this->state(at + length - 1);
        if (!last) return last.error();
        Placement placement = filled_up(at, length, home, edge(first.slot), edge(last->slot));
        placement.blank = blank;
        return placement;
    }

    // Behind the last packed cluster if there is room, if need be on into the next host cluster.
    Result<uint64_t> place_behind(uint64_t stored) {
        auto clusters = this->clusters();
        const uint64_t behind = this->space().packed_at;
        const uint64_t room = (cluster_size() - in_cluster(behind)) & (cluster_size() - 1);
        const uint64_t cluster = behind >> layout().cluster_bits;
        bool joins = room != 0;
        if (joins) {
            const auto count = clusters.refcount(cluster);
            if (!count) return count;
            joins = *count < max_refcount(layout().refcount_order);
        }
        if (!joins || stored > room) {
            const auto run = this->allocate(1);
            if (!run) return run.error();
            if (!joins || run->first != cluster + 1) return run->first << layout().cluster_bits;
        }
        if (Status shared = clusters.reference({cluster, 1}); !shared) return shared.error();
        return behind;
    }
};

}  // namespace vdisk::qcow2
