// SPDX-License-Identifier: BSL-1.0
// The directory of persistent bitmaps of qcow2 (specification: "Bitmaps"), read entry by entry
// without memory. Their contents are not read here.
#pragma once

#include <vdisk/format/qcow2/layout.hpp>

namespace vdisk::qcow2 {

inline constexpr uint32_t max_bitmaps = 65535;
inline constexpr uint64_t max_bitmap_directory_bytes = uint64_t{max_bitmaps} * 1024;
inline constexpr uint32_t max_bitmap_table_entries = 0x8000000;
inline constexpr uint64_t max_bitmap_bytes = 512_MiB;

/// One entry of the directory; extra data and name follow it.
struct BitmapHeader {
    be64 bitmap_table_offset;
    be32 bitmap_table_size;
    be32 flags;
    uint8_t type;
    uint8_t granularity_bits;
    be16 name_size;
    be32 extra_data_size;
};
static_assert(sizeof(BitmapHeader) == 24 && alignof(BitmapHeader) == 1);

namespace bitmap_flag {
inline constexpr uint32_t in_use = 1;            ///< was not saved cleanly: do not trust it
inline constexpr uint32_t automatic = 2;         ///< records the guest's writes
inline constexpr uint32_t extra_compatible = 4;  ///< unknown extra data may be ignored
}  // namespace bitmap_flag

/// Where the directory lies.
struct BitmapDirectory {
    uint64_t at = 0;
    uint64_t size = 0;  ///< bytes
    uint32_t bitmaps = 0;
};

/// One bitmap, checked.
struct Bitmap {
    uint64_t table_at = 0;
    uint32_t table_entries = 0;
    uint32_t flags = 0;
    uint8_t granularity_bits = 0;
    Text name;
    uint64_t end = 0;  ///< where the next entry stands
};

/// True if the writer of the image kept the bitmaps up to date; only then they mean anything.
[[nodiscard]] constexpr bool bitmaps_valid(const Layout& layout) {
    return layout.bitmaps.length > 0 && (layout.autoclear & autoclear::bitmaps) != 0;
}

/// Whether the bitmaps extension, valid or not, has the length of one. QEMU does not open an image
/// where it has another.
[[nodiscard]] constexpr bool has_bitmaps_length(const Layout& layout) {
    return layout.bitmaps.at == 0 || layout.bitmaps.length == sizeof(BitmapsExtension);
}
/// What `what` is where it has not.
inline constexpr char bitmaps_length[] = "qcow2: bitmaps extension has a wrong length";

/// Reads the bitmaps extension; an image without one has a directory of no bitmaps.
template <Storage S>
Result<BitmapDirectory> load_bitmap_directory(const S& storage, const Layout& layout) {
    const Text text = layout.bitmaps;
    if (text.length == 0) return BitmapDirectory{};
    if (!has_bitmaps_length(layout)) return corrupt(bitmaps_length, {text.length, text.at - 4});
    const auto raw = load<BitmapsExtension>(storage, text.at);
    if (!raw) return raw.error();
    const BitmapDirectory out{raw->bitmap_directory_offset.value(),
                              raw->bitmap_directory_size.value(), raw->nb_bitmaps.value()};
    if (out.bitmaps == 0) return corrupt("qcow2: bitmaps extension without bitmaps", {0, text.at});
    if (out.bitmaps > max_bitmaps) {
        return fail(Errc::limit, "qcow2: more than 65535 bitmaps", {out.bitmaps, text.at});
    }
    if (out.size > max_bitmap_directory_bytes) {
        return fail(Errc::limit, "qcow2: bitmap directory is too large", {out.size, text.at + 8});
    }
    if (out.at == 0 || !is_aligned(out.at, layout.cluster_bits) ||
        !fits(out.at, out.size, storage.size())) {
        return corrupt("qcow2: bitmap directory is unaligned or past the end of the file",
                       {out.at, text.at + 16});
    }
    return out;
}

/// Reads the entry at `at`; it must end at or before `end`.
template <Storage S>
Result<Bitmap> load_bitmap(const S& storage, const Layout& layout, uint64_t at, uint64_t end) {
    constexpr uint32_t known =
        bitmap_flag::in_use | bitmap_flag::automatic | bitmap_flag::extra_compatible;
    const auto past_end = corrupt("qcow2: bitmap directory is too short", {Error::none, at});
    if (!fits(at, sizeof(BitmapHeader), end)) return past_end;
    const auto h = load<BitmapHeader>(storage, at);
    if (!h) return h.error();
    Bitmap out{h->bitmap_table_offset.value(),
               h->bitmap_table_size.value(),
               h->flags.value(),
               h->granularity_bits,
               {},
               0};
    if ((out.flags & ~known) != 0) {
        return corrupt("qcow2: bitmap with unknown flags", {out.flags, at + 12});
    }
    if (h->type != 1) return unsupported("qcow2: unknown type of bitmap", {h->type, at + 16});
    if (out.granularity_bits < 9 || out.granularity_bits > 31) {
        return corrupt("qcow2: bitmap granularity is out of range",
                       {out.granularity_bits, at + 17});
    }
    const uint32_t extra = h->extra_data_size.value();
    if (extra != 0 && (out.flags & bitmap_flag::extra_compatible) == 0) {
        return unsupported("qcow2: bitmap with unknown extra data", {extra, at + 20});
    }
    if (out.table_entries > max_bitmap_table_entries ||
        out.table_entries > max_bitmap_bytes >> layout.cluster_bits) {
        return fail(Errc::limit, "qcow2: bitmap is too large", {out.table_entries, at + 8});
    }
    if (out.table_at == 0 || !is_aligned(out.table_at, layout.cluster_bits) ||
        !fits(out.table_at, uint64_t{out.table_entries} * 8, storage.size())) {
        return corrupt("qcow2: bitmap table is unaligned or past the end of the file",
                       {out.table_at, at});
    }
    out.name = {at + sizeof(BitmapHeader) + extra, h->name_size.value()};
    if (out.name.length == 0 || out.name.length > max_name_length) {
        return corrupt("qcow2: bitmap name is empty or too long", {out.name.length, at + 18});
    }
    if (!fits(out.name.at, out.name.length, end)) return past_end;
    out.end = blocks(out.name.at + out.name.length, 3) << 3;
    return out;
}

/// Calls `visit(bitmap) -> Status` for every bitmap, in the order of the directory. Whether they
/// can be trusted is for bitmaps_valid() to say.
template <Storage S, class Visit>
Status each_bitmap(const S& storage, const Layout& layout, Visit&& visit) {
    const auto directory = load_bitmap_directory(storage, layout);
    if (!directory) return directory.error();
    uint64_t at = directory->at;
    const uint64_t end = directory->at + directory->size;
    for (uint32_t i = 0; i < directory->bitmaps; ++i) {
        const auto bitmap = load_bitmap(storage, layout, at, end);
        if (!bitmap) return bitmap.error();
        if (const Status visited = visit(*bitmap); !visited) return visited;
        at = bitmap->end;
    }
    if (at != end) return corrupt("qcow2: bitmap directory has a wrong size", {directory->size});
    return {};
}

/// True if the bitmap says without clusters that all of the disk was written. Tables that are
/// longer than 4 MiB are not looked at and do not count as such.
template <Storage S>
Result<bool> is_all_dirty(const S& storage, const Bitmap& bitmap) {
    if (bitmap.table_entries > 4_MiB / 8) return false;
    std::array<byte, table_piece> piece{};
    for (uint64_t done = 0; done < bitmap.table_entries; done += piece.size() / 8) {
        uint64_t count = bitmap.table_entries - done;
        if (count > piece.size() / 8) count = piece.size() / 8;
        const Status got = storage.read(bitmap.table_at + done * 8,
                                        MutBytes(piece).first(static_cast<size_t>(count * 8)));
        if (!got) return got.error();
        for (uint64_t i = 0; i < count; ++i) {
            if (load_be64(piece.data() + i * 8) != 1) return false;
        }
    }
    return true;
}

/// True if the bitmaps stay right whatever is written: those that record say "written" of all.
template <Storage S>
bool bitmaps_outlive_writes(const S& storage, const Layout& layout) {
    bool outlive = bitmaps_valid(layout);
    const Status walked = each_bitmap(storage, layout, [&](const Bitmap& bitmap) -> Status {
        if ((bitmap.flags & bitmap_flag::automatic) == 0) return {};
        if ((bitmap.flags & bitmap_flag::in_use) != 0) return {};
        const auto all = is_all_dirty(storage, bitmap);
        outlive = outlive && all && *all;
        return {};
    });
    return outlive && walked;
}

}  // namespace vdisk::qcow2
