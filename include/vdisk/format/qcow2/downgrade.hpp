// SPDX-License-Identifier: BSL-1.0
// Makes a version 3 image one of version 2, which has less: what it cannot say must not be there.
#pragma once

#include <vdisk/format/qcow2/amend.hpp>
#include <vdisk/format/qcow2/check.hpp>
#include <vdisk/format/qcow2/table_set.hpp>
#include <vdisk/format/qcow2/walk.hpp>

namespace vdisk::qcow2 {

namespace amending {

inline Status check_version_2(const Layout& layout) {
    if (layout.refcount_order != 4) {
        return invalid("qcow2: version 2 has refcounts of 16 bits", {layout.refcount_order});
    }
    if (layout.is_dirty()) {
        return invalid("qcow2: refcounts lag behind: repair the image first");
    }
    if (layout.extended_l2) return invalid("qcow2: version 2 has no extended L2 entries");
    if (layout.has_data_file) return invalid("qcow2: version 2 has no external data file");
    if (layout.packing != Packing::deflate) {
        return invalid("qcow2: version 2 is packed with deflate");
    }
    if (layout.bitmaps.length > 0) {
        return invalid("qcow2: version 2 has no bitmaps: remove them first");
    }
    return {};
}

template <Storage S>
Status check_snapshots(const S& storage, const Layout& layout) {
    return each_snapshot(storage, layout, [&](const Snapshot& s) -> Status {
        if (s.disk_size != layout.size) {
            return invalid("qcow2: version 2 has snapshots of the size of the disk only",
                           {s.disk_size});
        }
        if (s.vm_state_size >> 32 != 0) {
            return invalid("qcow2: version 2 has no snapshots with 4 GiB of state or more",
                           {s.vm_state_size});
        }
        return {};
    });
}

/// Refuses images whose tables cannot be relied on: zeros are about to be written where they lead.
template <Storage S, Allocation A>
Status refuse_unsound(S& storage, A allocation) {
    Problem first;
    const auto report = check_image(storage, std::move(allocation), [&](const Problem& p) {
        if (p.flaw != Flaw::leak && first.what[0] == 0) first = p;
    });
    if (!report) return report.error();
    if (first.what[0] != 0) return corrupt(first.what, {first.value, first.at});
    return {};
}

/// Calls `visit(entry, at) -> Status` for every L2 entry with the zero flag, of the disk and of
/// its snapshots; once, however many share its table. The tables are sound.
template <Storage S, Allocation A, class Visit>
Status each_zero_entry(const Closed<S, A>& image, A allocation, Visit&& visit) {
    auto seen = TableSet<A>::make(image.file_clusters() + 1, std::move(allocation));
    if (!seen) return seen.error();
    const auto of_table = [&](uint64_t l1_entry, uint64_t) {
        const uint64_t table = l1_entry & entry::offset_mask;
        const uint64_t cluster = table >> image.layout.cluster_bits;
        if (table == 0 || seen->contains(cluster)) return Status{};
        seen->note(cluster);
        return each_l2_entry(
            image.tables, image.layout, table, 0, [&](uint64_t e, uint64_t, uint64_t at) {
                const bool is_zero = (e & (entry::compressed | entry::zero)) == entry::zero;
                return is_zero ? visit(e, at) : Status{};
            });
    };
    const L1 active = image.layout.l1;
    if (Status s = each_entry(image.tables, active.at, active.entries, of_table); !s) return s;
    return each_snapshot(image.tables.storage(), image.layout, [&](const Snapshot& snapshot) {
        return each_entry(image.tables, snapshot.l1.at, snapshot.l1.entries, of_table);
    });
}

/// Whether version 2 can say the same otherwise.
template <Storage S, Allocation A>
Status check_zero_entry(const Closed<S, A>& image, uint64_t e, uint64_t at) {
    if (image.layout.backing_file.length > 0) {
        return unsupported("qcow2: zero clusters over a backing file: version 2 has none", {e, at});
    }
    const uint64_t host = e & entry::offset_mask;
    if (host == 0) return {};
    const auto count =
        stored_refcount(image.tables, image.layout, host >> image.layout.cluster_bits);
    if (!count) return count.error();
    if (count->is(1)) return {};
    return unsupported("qcow2: zero clusters that are shared: version 2 has none", {e, at});
}

template <WritableStorage S>
Status write_zero_cluster(S& storage, uint64_t at, uint64_t length) {
    constexpr std::array<byte, 512> zeros{};
    const uint64_t rest = at < storage.size() ? storage.size() - at : 0;
    if (length > rest) length = rest;
    for (uint64_t done = 0; done < length; done += zeros.size()) {
        const uint64_t piece = length - done < zeros.size() ? length - done : zeros.size();
        const Status put = storage.write(at + done, Bytes(zeros).first(static_cast<size_t>(piece)));
        if (!put) return put;
    }
    return {};
}

}  // namespace amending

/// Makes an image of version 3 one of version 2; any other stays as it is. Lazy refcounts are given
/// up, clusters of zeros become absent or get zeros written. Refuses, and changes nothing, where
/// the image has what version 2 lacks.
template <WritableStorage S, Allocation A>
Status downgrade(S& storage, A allocation) {
    auto first = amending::load(storage, allocation);
    if (!first) return first.error();
    const Layout& layout = first->layout();
    if (layout.version == 2) return {};
    if (Status able = amending::check_version_2(layout); !able) return able;
    if (Status able = amending::check_snapshots(storage, layout); !able) return able;
    const auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    if (Status sound = amending::refuse_unsound(storage, allocation); !sound) return sound;
    Status able = amending::each_zero_entry(*image, allocation, [&](uint64_t e, uint64_t at) {
        return amending::check_zero_entry(*image, e, at);
    });
    if (!able) return able;

    // Zeros are in the clusters before the entries lose their flag.
    Status done =
        amending::each_zero_entry(*image, allocation, [&](uint64_t e, uint64_t) -> Status {
            const uint64_t host = e & entry::offset_mask;
            if (host == 0) return {};
            return amending::write_zero_cluster(storage, host, layout.cluster_size());
        });
    if (done) done = storage.flush();
    if (!done) return done;
    done = amending::each_zero_entry(*image, allocation, [&](uint64_t e, uint64_t at) {
        std::array<byte, 8> raw{};
        store_be64(raw.data(), e & ~entry::zero);
        return storage.write(at, raw);
    });
    if (done) done = storage.flush();
    if (!done) return done;
    first->header.version = 2;
    return first->store(storage, {});
}

}  // namespace vdisk::qcow2
