// SPDX-License-Identifier: BSL-1.0
// Guest contents taken away: zeros, and clusters given up.
#pragma once

#include <vdisk/format/qcow2/linker.hpp>

namespace vdisk::qcow2 {

/// Base of Writer.
template <WritableStorage S, Allocation A, Codec C, class T = StagedMetadata<S, A>>
class Eraser : public Linker<S, A, C, T> {
    using Base = Linker<S, A, C, T>;

public:
    using Base::layout;

    /// Guest bytes whose neighbours within a block share their fate: a subcluster or a cluster.
    [[nodiscard]] uint64_t block_size() const {
        return layout().extended_l2 ? cluster_size() >> 5 : cluster_size();
    }

    /// Makes whole blocks from `at` on read as zeros and keeps their space. Says how many bytes it
    /// did, at least one block; 0 where zeros have to be written. `at` begins a block, and so does
    /// `at + length`, unless it is the end of the disk.
    Result<uint64_t> zero(uint64_t at, uint64_t length) {
        if (Status begun = this->begin(); !begun) return begun.error();
        if (is_raw_outside()) return uint64_t{0};
        if (layout().version < 3 && has_backing()) return uint64_t{0};
        if (in_cluster(at) != 0 || length < rest_of_cluster(at)) {
            return zero_subclusters(at, length);
        }
        return erase(at, length, [this](Slot old) {
            if (layout().version < 3) return Slot{};
            const uint64_t kept = slot::owns_host(layout(), old) ? old.entry & ~entry::zero : 0;
            if (layout().extended_l2) return Slot{kept, slot::all_zero};
            return Slot{kept | entry::zero, 0};
        });
    }

    /// Gives up whole clusters inside the range, contents and space: they read as zeros. Clusters
    /// that are in it in part, those of an external data file, and those of a version 2 image over
    /// a backing file stay. Says how far it came.
    Result<uint64_t> discard(uint64_t at, uint64_t length) {
        if (Status begun = this->begin(); !begun) return begun.error();
        const uint64_t rest = rest_of_cluster(at);
        if (layout().has_data_file || (layout().version < 3 && has_backing())) return length;
        if (in_cluster(at) != 0 || length < rest) return rest < length ? rest : length;
        return erase(at, length, [this](Slot old) {
            if (old == Slot{} && !has_backing()) return old;
            if (layout().extended_l2) return Slot{0, slot::all_zero};
            return Slot{layout().version < 3 ? 0 : entry::zero, 0};
        });
    }

    /// Gives up whole clusters inside the range, contents and space: the image says nothing about
    /// them any more, and what is below shows through. Says how far it came.
    Result<uint64_t> drop(uint64_t at, uint64_t length) {
        if (Status begun = this->begin(); !begun) return begun.error();
        const uint64_t rest = rest_of_cluster(at);
        if (in_cluster(at) != 0 || length < rest) return rest < length ? rest : length;
        const auto first = this->state(at);
        if (!first) return first.error();
        if (first->slot == Slot{}) {
            return first->extent.length < length ? first->extent.length : length;
        }
        return erase(at, length, [](Slot) { return Slot{}; });
    }

protected:
    explicit Eraser(Image<S, A, C, T>&& image) : Base(std::move(image)) {}

    using Base::cluster_size;
    using Base::has_backing;
    using Base::in_cluster;

private:
    [[nodiscard]] bool is_raw_outside() const {
        return (layout().autoclear & autoclear::data_file_raw) != 0;
    }
    // Guest bytes from `at` to the end of its cluster or, before that, of the disk.
    [[nodiscard]] uint64_t rest_of_cluster(uint64_t at) const {
        const uint64_t rest = cluster_size() - in_cluster(at);
        return this->size() - at < rest ? this->size() - at : rest;
    }

    // Changes the slots of whole clusters; those that need no table to read as zeros stay absent.
    template <class Change>
    Result<uint64_t> erase(uint64_t at, uint64_t length, const Change& change) {
        uint64_t end = at + length == this->size() ? at + length
                                                   : align_down(at + length, layout().cluster_bits);
        if (end > this->end_of_table(at)) end = this->end_of_table(at);
        const auto first = this->state(at);
        if (!first) return first.error();
        if (!has_backing() && first->slot == Slot{}) {
            const uint64_t absent = first->extent.length;
            return absent < end - at ? absent : end - at;
        }
        const auto done = this->relink(at, end, [&](uint64_t, Slot old) { return change(old); });
        if (!done) return done.error();
        return (*done < end ? *done : end) - at;
    }

    Result<uint64_t> zero_subclusters(uint64_t at, uint64_t length) {
        const uint64_t rest = rest_of_cluster(at);
        if (length > rest) length = rest;
        if (!layout().extended_l2) return uint64_t{0};
        const auto old = this->state(at);
        if (!old) return old.error();
        if (slot::is_compressed(old->slot)) return uint64_t{0};
        if (old->slot == Slot{} && !has_backing()) return length;
        const auto done = this->relink(at, at + length, [&](uint64_t cluster, Slot s) {
            const uint64_t touched =
                slot::subclusters(layout(), at - cluster, at + length - cluster);
            return Slot{s.entry, (s.bitmap & ~touched) | touched << 32};
        });
        if (!done) return done.error();
        return length;
    }
};

}  // namespace vdisk::qcow2
