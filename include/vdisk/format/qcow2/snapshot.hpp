// SPDX-License-Identifier: BSL-1.0
// The snapshot table of qcow2 (specification: "Snapshots"), read entry by entry without memory.
#pragma once

#include <optional>

#include <vdisk/format/qcow2/layout.hpp>

namespace vdisk::qcow2 {

inline constexpr uint64_t max_snapshot_table_bytes = 64_MiB;
inline constexpr uint32_t max_snapshot_extra = 1024;

/// One internal snapshot. `l1` is not checked before the snapshot is read from.
struct Snapshot {
    L1 l1;
    uint64_t disk_size = 0;      ///< bytes
    uint64_t vm_state_size = 0;  ///< bytes
    uint64_t vm_clock_nsec = 0;
    uint64_t icount = ~uint64_t{0};  ///< all ones: unknown
    uint32_t date_sec = 0;           ///< since 1970, UTC
    uint32_t date_nsec = 0;
    uint32_t extra_size = 0;  ///< bytes of extra data
    Text id;
    Text name;
    uint64_t end = 0;  ///< where the next entry stands
};

/// Reads the entry at `at`. Version 3 demands 16 bytes of extra data, but images that were upgraded
/// lack them: what is missing is as in version 2, where the disk size is the current one.
template <Storage S>
Result<Snapshot> load_snapshot(const S& storage, const Layout& layout, uint64_t at) {
    const Error cut =
        corrupt("qcow2: snapshot table ends past the end of the file", {Error::none, at});
    if (!fits(at, sizeof(SnapshotHeader), storage.size())) return cut;
    const auto h = load<SnapshotHeader>(storage, at);
    if (!h) return h.error();
    Snapshot out;
    out.l1 = {h->l1_table_offset.value(), h->l1_size.value()};
    out.date_sec = h->date_sec.value();
    out.date_nsec = h->date_nsec.value();
    out.vm_clock_nsec = h->vm_clock_nsec.value();
    out.vm_state_size = h->vm_state_size.value();
    out.disk_size = layout.size;

    const uint32_t extra_size = h->extra_data_size.value();
    if (extra_size > max_snapshot_extra) {
        return fail(Errc::limit, "qcow2: too much extra data in a snapshot", {extra_size, at + 36});
    }
    out.extra_size = extra_size;
    const uint64_t extra_at = at + sizeof(SnapshotHeader);
    out.id = {extra_at + extra_size, h->id_str_size.value()};
    out.name = {out.id.at + out.id.length, h->name_size.value()};
    const uint64_t end = out.name.at + out.name.length;
    if (end > storage.size()) return cut;

    SnapshotExtra extra{};
    const MutBytes raw = std::as_writable_bytes(std::span(&extra, 1));
    const size_t length = extra_size < raw.size() ? extra_size : raw.size();
    if (const Status read = storage.read(extra_at, raw.first(length)); !read) return read.error();
    if (length >= 8) out.vm_state_size = extra.vm_state_size_large.value();
    if (length >= 16) out.disk_size = align_down(extra.disk_size.value(), 9);
    if (length >= 24) out.icount = extra.icount.value();
    out.end = blocks(end, 3) << 3;
    return out;
}

/// Calls `visit(snapshot) -> Status` for every snapshot, in the order of the table.
template <Storage S, class Visit>
Status each_snapshot(const S& storage, const Layout& layout, Visit&& visit) {
    uint64_t at = layout.snapshots_at;
    for (uint32_t i = 0; i < layout.snapshots; ++i) {
        const auto snapshot = load_snapshot(storage, layout, at);
        if (!snapshot) return snapshot.error();
        if (const Status visited = visit(*snapshot); !visited) return visited;
        at = snapshot->end;
        if (at - layout.snapshots_at > max_snapshot_table_bytes) {
            return fail(Errc::limit, "qcow2: snapshot table is larger than 64 MiB", {at});
        }
    }
    return {};
}

namespace snapshot {

/// True if the text in the file is exactly `wanted`.
template <Storage S>
Result<bool> equals(const S& storage, Text text, std::string_view wanted) {
    if (text.length != wanted.size()) return false;
    std::array<char, 64> piece{};
    for (uint32_t done = 0; done < text.length;) {
        const size_t length = text.length - done < piece.size() ? text.length - done : piece.size();
        const Status read =
            storage.read(text.at + done, std::as_writable_bytes(std::span(piece).first(length)));
        if (!read) return read.error();
        if (std::string_view(piece.data(), length) != wanted.substr(done, length)) return false;
        done += static_cast<uint32_t>(length);
    }
    return true;
}

}  // namespace snapshot

/// The snapshot with this id, or else the first with this name. Errc::not_found if there is none.
template <Storage S>
Result<Snapshot> find_snapshot(const S& storage, const Layout& layout, std::string_view wanted) {
    std::optional<Snapshot> by_id;
    std::optional<Snapshot> by_name;
    const Status walked = each_snapshot(storage, layout, [&](const Snapshot& s) -> Status {
        const auto id = by_id ? Result<bool>(false) : snapshot::equals(storage, s.id, wanted);
        if (!id) return id.error();
        if (*id) by_id = s;
        const auto name = by_name ? Result<bool>(false) : snapshot::equals(storage, s.name, wanted);
        if (!name) return name.error();
        if (*name) by_name = s;
        return {};
    });
    if (!walked) return walked.error();
    if (by_id) return *by_id;
    if (by_name) return *by_name;
    return fail(Errc::not_found, "qcow2: no such snapshot");
}

}  // namespace vdisk::qcow2
