// SPDX-License-Identifier: BSL-1.0
// Any change of the whole image as the write of one sector.
//
// What an image is depends on its first 512 bytes: size, L1 table, refcount table, snapshot table.
// So all tables of the new state are built aside, in clusters that nothing uses, and made durable;
// then the first sector, which a power cut cannot tear, switches from the old state to the new.
// Before it the image is the old one with rubbish in free clusters, after it the new one, with
// nothing left to release: the new refcounts never knew what only the old state used.
#pragma once

#include <vdisk/format/qcow2/active_tables.hpp>
#include <vdisk/format/qcow2/first_sector.hpp>
#include <vdisk/format/qcow2/plan.hpp>

namespace vdisk::qcow2 {

namespace rewriting {

/// Where the tables of the new state lie.
struct Placed {
    uint64_t l1_at = 0;
    uint32_t l1_entries = 0;
    uint64_t snapshots_at = 0;
    uint32_t snapshots = 0;
    uint64_t refcount_table_at = 0;
    uint64_t refcount_table_clusters = 0;
};

/// Builds the new state and switches to it.
template <WritableStorage S, Allocation A, class Guest>
class Rewrite {
public:
    Rewrite(S& storage, const Closed<S, A>& image, Census<A>& census, const NewState& state,
            Guest& guest)
        : storage_(storage),
          image_(image),
          layout_(image.layout),
          census_(census),
          state_(state),
          free_(storage, image, census, state.refcounts_lost),
          guest_(guest) {}

    /// Everything up to the point where the image is the new one.
    Status run() {
        if (Status made = active(); !made) return made;
        if (Status made = snapshots(); !made) return made;
        if (Status made = refcounts(); !made) return made;
        if (Status durable = storage_.flush(); !durable) return durable;
        return switch_over();
    }

    /// The size of the file that is in use.
    [[nodiscard]] uint64_t end() const { return free_.end() << layout_.cluster_bits; }
    /// The first sector may have been written.
    [[nodiscard]] bool is_switching() const { return switching_; }

private:
    [[nodiscard]] uint64_t clusters(uint64_t bytes) const {
        return blocks(bytes, layout_.cluster_bits);
    }

    Status active() {
        placed_.l1_entries = new_l1_entries(layout_, state_);
        const auto at = free_.take(clusters(uint64_t{placed_.l1_entries} * 8));
        if (!at) return at.error();
        placed_.l1_at = *at;
        ActiveTables<S, A, Guest> tables(storage_, image_, census_, free_, state_, guest_);
        return tables.write(placed_.l1_at, placed_.l1_entries);
    }

    Status snapshots() {
        uint64_t bytes = 0;
        Status walked = kept_snapshots([&](uint64_t at, const Snapshot& s) -> Status {
            ++placed_.snapshots;
            bytes += entry_size(at, s);
            return {};
        });
        if (!walked) return walked;
        if (state_.added != nullptr) {
            ++placed_.snapshots;
            bytes += state_.added_size + state_.added_name.size();
        }
        if (placed_.snapshots == 0) return {};
        if (bytes > max_snapshot_table_bytes) {
            return fail(Errc::limit, "qcow2: snapshot table would be larger than 64 MiB");
        }
        const auto at = free_.take(clusters(bytes));
        if (!at) return at.error();
        placed_.snapshots_at = *at;
        return snapshot_table(bytes);
    }

    Status snapshot_table(uint64_t bytes) {
        Stream<S> out(storage_, placed_.snapshots_at);
        uint64_t written = 0;
        Status copied = kept_snapshots([&](uint64_t at, const Snapshot& s) -> Status {
            written += entry_size(at, s);
            const uint64_t text_at = at + sizeof(SnapshotHeader) + s.extra_size;
            if (lacks_size(s)) {
                if (Status put = put_mended_head(out, at, s); !put) return put;
                if (Status put = copy(out, text_at, s.id.length + s.name.length); !put) return put;
                return out.zeros(entry_size(at, s) - sizeof(SnapshotHeader) -
                                 sizeof(SnapshotExtra) - s.id.length - s.name.length);
            }
            return copy(out, at, s.end - at);
        });
        if (!copied) return copied;
        if (state_.added != nullptr) {
            if (Status put = out.put(Bytes(state_.added, state_.added_size)); !put) return put;
            const auto name = std::as_bytes(std::span(state_.added_name));
            if (Status put = out.put(name); !put) return put;
            written += state_.added_size + name.size();
        }
        const uint64_t room = clusters(bytes) << layout_.cluster_bits;
        if (Status filled = out.zeros(room - written); !filled) return filled;
        return out.finish();
    }

    // Version 3 demands that a snapshot says how large its disk is; version 2 allows it.
    [[nodiscard]] static bool lacks_size(const Snapshot& s) { return s.extra_size < 16; }
    [[nodiscard]] static uint64_t entry_size(uint64_t at, const Snapshot& s) {
        if (!lacks_size(s)) return s.end - at;
        const uint64_t text = uint64_t{s.id.length} + s.name.length;
        return blocks(sizeof(SnapshotHeader) + sizeof(SnapshotExtra) + text, 3) << 3;
    }
    Status put_mended_head(Stream<S>& out, uint64_t at, const Snapshot& s) const {
        auto h = load<SnapshotHeader>(image_.tables.storage(), at);
        if (!h) return h.error();
        h->extra_data_size = sizeof(SnapshotExtra);
        SnapshotExtra extra{};
        extra.vm_state_size_large = s.vm_state_size;
        const uint64_t mapped = uint64_t{s.l1.entries} << layout_.l1_shift();
        extra.disk_size = s.disk_size < mapped ? s.disk_size : mapped;
        extra.icount = s.icount;
        if (Status put = out.put(std::as_bytes(std::span(&*h, 1))); !put) return put;
        return out.put(std::as_bytes(std::span(&extra, 1)));
    }

    Status copy(Stream<S>& out, uint64_t at, uint64_t length) const {
        std::array<byte, 512> piece;
        while (length > 0) {
            const MutBytes part(piece.data(),
                                length < piece.size() ? size_t(length) : piece.size());
            if (Status got = copy_bytes(at, part); !got) return got;
            if (Status put = out.put(part); !put) return put;
            at += part.size();
            length -= part.size();
        }
        return {};
    }

    // Bytes of the old file; past its end zeros.
    Status copy_bytes(uint64_t at, MutBytes out) const {
        std::memset(out.data(), 0, out.size());
        const uint64_t size = image_.file_size();
        const uint64_t rest = at < size ? size - at : 0;
        return storage_.read(at, rest < out.size() ? out.first(size_t(rest)) : out);
    }

    template <class Each>
    Status kept_snapshots(const Each& each) const {
        uint64_t at = layout_.snapshots_at;
        return each_snapshot(image_.tables.storage(), layout_, [&](const Snapshot& s) -> Status {
            const uint64_t here = std::exchange(at, s.end);
            return is_kept(image_, state_, here, s) ? each(here, s) : Status{};
        });
    }

    // A table large enough for all that was planned, and blocks up to the last cluster in use,
    // themselves included.
    Status refcounts() {
        const unsigned block_bits =
            refcount_block_bits(layout_.cluster_bits, state_.refcount_order);
        const uint64_t most = blocks(census_.counts.size(), block_bits);
        placed_.refcount_table_clusters = clusters(most * 8);
        if (placed_.refcount_table_clusters > max_refcount_table_bytes >> layout_.cluster_bits) {
            return fail(Errc::limit, "qcow2: the refcount table would be larger than 8 MiB");
        }
        const auto table = free_.take(placed_.refcount_table_clusters);
        if (!table) return table.error();
        placed_.refcount_table_at = *table;
        Stream<S> entries(storage_, *table);
        uint64_t count = 0;
        for (; count << block_bits < free_.end(); ++count) {
            const auto block = free_.take(1);
            if (!block) return block.error();
            if (Status put = entries.put_be64(*block); !put) return put;
        }
        const uint64_t room = placed_.refcount_table_clusters << layout_.cluster_bits;
        if (Status filled = entries.zeros(room - count * 8); !filled) return filled;
        if (Status written = entries.finish(); !written) return written;
        for (uint64_t i = 0; i < count; ++i) {
            if (Status written = refcount_block(i, block_bits); !written) return written;
        }
        return {};
    }

    Status refcount_block(uint64_t index, unsigned block_bits) {
        std::array<byte, 8> raw{};
        Status got = storage_.read(placed_.refcount_table_at + index * 8, raw);
        if (!got) return got;
        Stream<S> out(storage_, load_be64(raw.data()));
        std::array<byte, 512> piece;
        const uint64_t per_piece = (piece.size() * 8) >> state_.refcount_order;
        uint64_t cluster = index << block_bits;
        for (uint64_t done = 0; done < layout_.cluster_size(); done += piece.size()) {
            piece = {};
            for (uint64_t i = 0; i < per_piece; ++i, ++cluster) {
                if (cluster >= census_.counts.size()) break;
                store_refcount(piece.data(), i, state_.refcount_order, census_.counts[cluster]);
            }
            if (Status put = out.put(piece); !put) return put;
        }
        return out.finish();
    }

    Status switch_over() {
        auto sector = FirstSector<S>::load(storage_);
        if (!sector) return sector.error();
        Header& h = sector->header;
        h.size = state_.size;
        h.l1_size = placed_.l1_entries;
        h.l1_table_offset = placed_.l1_at;
        h.refcount_table_offset = placed_.refcount_table_at;
        h.refcount_table_clusters = static_cast<uint32_t>(placed_.refcount_table_clusters);
        h.nb_snapshots = placed_.snapshots;
        h.snapshots_offset = placed_.snapshots_at;
        if (layout_.version >= 3) {
            h.refcount_order = state_.refcount_order;
            if (state_.clears_flags) {
                h.incompatible_features =
                    layout_.incompatible & ~(incompatible::dirty | incompatible::corrupt);
            }
        }
        switching_ = true;
        return sector->store(storage_, layout_);
    }

    S& storage_;
    const Closed<S, A>& image_;
    const Layout& layout_;
    Census<A>& census_;
    const NewState& state_;
    Free<S, A> free_;
    Guest& guest_;
    Placed placed_;
    bool switching_ = false;
};

}  // namespace rewriting

/// As below, for an image that is open already.
template <WritableStorage S, Allocation A, class Guest>
Status rewrite(S& storage, const Closed<S, A>& image, const NewState& state, A allocation,
               Guest guest) {
    if (!state.refcounts_lost) {
        if (Status sound = rewriting::refuse_unsound(image, state, allocation); !sound)
            return sound;
    }
    const auto more = rewriting::plan(image, state);
    if (!more) return more.error();
    auto census = make_census(image, state.refcount_order, *more, std::move(allocation));
    if (!census) return census.error();
    if (Status counted = rewriting::count_new_state(image, state, *census); !counted) {
        return counted;
    }
    const uint64_t old_size = storage.size();
    rewriting::Rewrite<S, A, Guest> work(storage, image, *census, state, guest);
    if (Status done = work.run(); !done) {
        // Whether the first sector was written is not known: both states stay whole.
        if (!work.is_switching() && storage.size() != old_size) {
            static_cast<void>(storage.resize(old_size));
        }
        return done;
    }
    if (storage.size() <= work.end()) return {};
    return storage.resize(work.end());
}

/// Brings a closed image into another state, at once: after a power cut it is in the old state,
/// with leaked space at most, or in the new one. Refuses, before it writes anything, an image in
/// which check_image() finds more than leaks (unless `refcounts_lost`), and a refcount that would
/// not fit. Snapshots that do not say how large their disk is do so afterwards. Memory: as for a
/// check. `guest(at, out)` reads the disk as it is; it is asked about the cluster in which the kept
/// part ends, and no other.
template <WritableStorage S, Allocation A, class Guest = NoGuest>
Status rewrite(S& storage, const NewState& state, A allocation, Guest guest = {}) {
    const auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    return rewrite(storage, *image, state, std::move(allocation), std::move(guest));
}

}  // namespace vdisk::qcow2
