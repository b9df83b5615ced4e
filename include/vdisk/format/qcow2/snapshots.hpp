// SPDX-License-Identifier: BSL-1.0
// Taking, applying and deleting the snapshots of a closed image. Each is one step: after a power
// cut it has happened or it has not.
#pragma once

#include <vdisk/format/qcow2/rewrite.hpp>

namespace vdisk::qcow2 {

/// What a new snapshot says about itself.
struct SnapshotInfo {
    std::string_view name;
    uint32_t date_sec = 0;  ///< since 1970, UTC
    uint32_t date_nsec = 0;
    uint64_t vm_clock_nsec = 0;
};

namespace snapshots {

/// Snapshots and an external data file exclude each other: it has no refcounts.
inline Status check_possible(const Layout& layout) {
    if (!layout.has_data_file) return {};
    return unsupported("qcow2: no snapshots in an image with an external data file");
}

/// The id as a number; ids that are none do not stand in the way of new ones.
template <Storage S>
Result<uint64_t> number_of(const S& storage, Text id) {
    std::array<char, 19> digits{};
    if (id.length > digits.size()) return uint64_t{0};
    const auto text = std::as_writable_bytes(std::span(digits).first(id.length));
    if (Status read = storage.read(id.at, text); !read) return read.error();
    uint64_t value = 0;
    for (uint32_t i = 0; i < id.length; ++i) {
        if (digits[i] < '0' || digits[i] > '9') return uint64_t{0};
        value = value * 10 + static_cast<uint64_t>(digits[i] - '0');
    }
    return value;
}

/// The beginning of an entry: all of it but the name.
class Head {
public:
    Head(const Layout& layout, const SnapshotInfo& info, uint64_t id) {
        std::array<char, 20> digits{};
        size_t first = digits.size();
        do digits[--first] = static_cast<char>('0' + id % 10);
        while ((id /= 10) != 0);
        const size_t id_size = digits.size() - first;

        SnapshotHeader h{};
        h.l1_table_offset = layout.l1.entries == 0 ? 0 : layout.l1.at;  // it may be anywhere
        h.l1_size = layout.l1.entries;
        h.id_str_size = static_cast<uint16_t>(id_size);
        h.name_size = static_cast<uint16_t>(info.name.size());
        h.date_sec = info.date_sec;
        h.date_nsec = info.date_nsec;
        h.vm_clock_nsec = info.vm_clock_nsec;
        h.extra_data_size = sizeof(SnapshotExtra);
        SnapshotExtra extra{};
        extra.disk_size = layout.size;
        extra.icount = ~uint64_t{0};
        std::memcpy(bytes_.data(), &h, sizeof(h));
        std::memcpy(bytes_.data() + sizeof(h), &extra, sizeof(extra));
        std::memcpy(bytes_.data() + sizeof(h) + sizeof(extra), digits.data() + first, id_size);
        size_ = sizeof(h) + sizeof(extra) + id_size;
    }
    [[nodiscard]] const byte* data() const { return bytes_.data(); }
    [[nodiscard]] size_t size() const { return size_; }

private:
    std::array<byte, sizeof(SnapshotHeader) + sizeof(SnapshotExtra) + 20> bytes_{};
    size_t size_;
};

/// Where the entry of the snapshot stands that find_snapshot() finds.
template <Storage S>
Result<uint64_t> entry_at(const S& storage, const Layout& layout, const Snapshot& wanted) {
    uint64_t at = layout.snapshots_at;
    uint64_t found = Error::none;
    const Status walked = each_snapshot(storage, layout, [&](const Snapshot& s) -> Status {
        if (s.id.at == wanted.id.at) found = at;
        at = s.end;
        return {};
    });
    if (!walked) return walked.error();
    return found;
}

}  // namespace snapshots

/// Keeps the present state of the disk as a snapshot, with an id one larger than the largest.
template <WritableStorage S, Allocation A>
Status take_snapshot(S& storage, const SnapshotInfo& info, A allocation) {
    const auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    const Layout& layout = image->layout;
    if (Status possible = snapshots::check_possible(layout); !possible) return possible;
    if (layout.snapshots == max_snapshots) {
        return fail(Errc::limit, "qcow2: no more than 65536 snapshots");
    }
    if (info.name.size() > 65535) return invalid("qcow2: name of a snapshot is too long");
    uint64_t last = 0;
    uint64_t bytes = 0;
    const Status walked = each_snapshot(storage, layout, [&](const Snapshot& s) -> Status {
        const auto number = snapshots::number_of(storage, s.id);
        if (!number) return number.error();
        if (*number > last) last = *number;
        bytes = s.end - layout.snapshots_at;
        return {};
    });
    if (!walked) return walked;
    const snapshots::Head head(layout, info, last + 1);
    if (bytes + head.size() + info.name.size() > max_snapshot_table_bytes) {
        return fail(Errc::limit, "qcow2: snapshot table would be larger than 64 MiB");
    }
    NewState state = same_state(layout);
    state.added = head.data();
    state.added_size = head.size();
    state.added_name = info.name;
    return rewrite(storage, *image, state, std::move(allocation), NoGuest{});
}

/// Makes the disk what it was when the snapshot with this id (or else name) was taken; its size,
/// too. What the disk holds now is lost; the snapshot stays.
template <WritableStorage S, Allocation A>
Status apply_snapshot(S& storage, std::string_view id_or_name, A allocation) {
    const auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    const Layout& layout = image->layout;
    if (Status possible = snapshots::check_possible(layout); !possible) return possible;
    if (bitmaps_valid(layout)) {
        return unsupported("qcow2: an image with bitmaps cannot go back to a snapshot");
    }
    const auto snapshot = find_snapshot(storage, layout, id_or_name);
    if (!snapshot) return snapshot.error();
    if (snapshot->disk_size >> 63 != 0) return corrupt("qcow2: snapshot of 2^63 bytes or more");
    Status checked = check_l1(layout, snapshot->l1, snapshot->disk_size, storage.size());
    if (!checked) return checked;
    NewState state = same_state(layout);
    state.source = snapshot->l1;
    state.size = snapshot->disk_size;
    return rewrite(storage, *image, state, std::move(allocation), NoGuest{});
}

/// Forgets the snapshot with this id (or else name).
template <WritableStorage S, Allocation A>
Status delete_snapshot(S& storage, std::string_view id_or_name, A allocation) {
    const auto image = open_closed(storage, allocation);
    if (!image) return image.error();
    const Layout& layout = image->layout;
    if (Status possible = snapshots::check_possible(layout); !possible) return possible;
    const auto snapshot = find_snapshot(storage, layout, id_or_name);
    if (!snapshot) return snapshot.error();
    const auto at = snapshots::entry_at(storage, layout, *snapshot);
    if (!at) return at.error();
    NewState state = same_state(layout);
    state.left_out = *at;
    return rewrite(storage, *image, state, std::move(allocation), NoGuest{});
}

}  // namespace vdisk::qcow2
