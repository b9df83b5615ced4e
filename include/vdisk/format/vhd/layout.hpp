// SPDX-License-Identifier: BSL-1.0
// From a VHD footer and header to numbers that can be trusted. Every field is checked here only.
#pragma once

#include <bit>

#include <vdisk/format/vhd/footer.hpp>
#include <vdisk/format/vhd/geometry.hpp>

namespace vdisk::vhd {

/// 2040 GiB: the most that sector numbers of 32 bits reach, tables included.
inline constexpr uint64_t max_size = uint64_t{0xFF000000} << sector_bits;
inline constexpr unsigned max_block_bits = 28;  ///< 256 MiB
/// Larger ones are refused: a table of 256 MiB is read whole in no time, and does for 2040 GiB in
/// blocks of 32 KiB.
inline constexpr uint32_t max_table_entries = uint32_t{1} << 26;

/// Footer and header, checked: tables lie inside the file, sums cannot wrap.
struct Layout {
    Type type = Type::fixed;
    FooterCopy footer_copy = FooterCopy::end;
    bool checksums_right = true;
    bool saved_state = false;
    uint64_t size = 0;          ///< bytes the guest sees, a multiple of 512
    uint64_t current_size = 0;  ///< as stated in bytes
    uint64_t data_end = 0;      ///< guest data ends here at the latest: at the footer, or the file
    Geometry geometry;
    uint32_t time_stamp = 0;  ///< seconds since the year 2000
    std::array<char, 4> creator_application{};
    uint32_t creator_version = 0;
    Guid unique_id;

    // Not in fixed images.
    uint64_t header_at = 0;
    uint64_t table_at = 0;
    uint32_t table_entries = 0;
    uint8_t block_bits = 0;  ///< 9 to 28
    Guid parent_unique_id;
    uint32_t parent_time_stamp = 0;

    [[nodiscard]] bool is_fixed() const { return type == Type::fixed; }
    [[nodiscard]] bool has_parent() const { return type == Type::differencing; }
    [[nodiscard]] uint64_t block_size() const { return power_of_two(block_bits); }
    /// Of the sector bitmap before each block, a multiple of 512.
    [[nodiscard]] uint64_t bitmap_bytes() const {
        const unsigned sectors_per_bitmap_sector = sector_bits + 3;
        const unsigned bits = sector_bits + sectors_per_bitmap_sector;
        return block_bits <= bits ? sector_size : sector_size << (block_bits - bits);
    }
    /// What a block takes in the file: bitmap and contents.
    [[nodiscard]] uint64_t stride() const { return bitmap_bytes() + block_size(); }
    /// Entries that stand for blocks of the disk; the others mean nothing.
    [[nodiscard]] uint32_t blocks_in_use() const {
        return static_cast<uint32_t>(blocks(size, block_bits));
    }
    /// Of the block allocation table, with the rest of its last sector.
    [[nodiscard]] uint64_t table_bytes() const {
        return blocks(uint64_t{table_entries} * 4, sector_bits) << sector_bits;
    }
};

namespace layout {

template <class T>
Found found(const T& structure, const auto& field, uint64_t value, uint64_t at) {
    return {value, at + static_cast<uint64_t>(reinterpret_cast<const byte*>(&field) -
                                              reinterpret_cast<const byte*>(&structure))};
}

// By the letters that QEMU 7.2 knows; Disk2vhd itself pads with NUL, QEMU expects a space.
[[nodiscard]] inline bool creator_counts_bytes(const std::array<char, 4>& creator) {
    using namespace std::string_view_literals;  // lengths known without strlen
    const std::string_view name(creator.data(), creator.size());
    const std::string_view three = name.substr(0, 3);
    return name == "win "sv || name == "qem2"sv || name == "CTXS"sv || three == "d2v"sv ||
           three == "tap"sv;
}

[[nodiscard]] inline uint64_t size_of(const Layout& l, SizeRule rule) {
    const bool by_bytes =
        rule == SizeRule::bytes || l.geometry == largest_geometry ||
        (rule == SizeRule::creator && creator_counts_bytes(l.creator_application));
    return by_bytes ? l.current_size : uint64_t{l.geometry.sectors()} << sector_bits;
}

}  // namespace layout

/// Checks a footer against the size of its file.
inline Status check(const FoundFooter& source, uint64_t file_size, SizeRule rule, Layout& out) {
    const Footer& f = source.footer;
    const auto found = [&](const auto& field, uint64_t value) {
        return layout::found(f, field, value, source.at);
    };
    if (f.file_format_version.value() >> 16 != version >> 16) {
        return unsupported("vhd: file format version is not 1",
                           found(f.file_format_version, f.file_format_version.value()));
    }
    const uint32_t type = f.disk_type.value();
    if (type < 2 || type > 4) {
        return unsupported("vhd: disk type is none of fixed, dynamic, differencing",
                           found(f.disk_type, type));
    }
    out.type = static_cast<Type>(type);
    out.footer_copy = source.copy;
    out.checksums_right = source.checksum_right;
    out.saved_state = f.saved_state != 0;
    out.current_size = f.current_size.value();
    out.data_end = source.copy == FooterCopy::front ? file_size : source.at;
    out.geometry = {f.disk_geometry.cylinders.value(), f.disk_geometry.heads,
                    f.disk_geometry.sectors_per_track};
    out.time_stamp = f.time_stamp.value();
    out.creator_application = f.creator_application;
    out.creator_version = f.creator_version.value();
    out.unique_id = f.unique_id;
    if (!is_aligned(out.current_size, sector_bits)) {
        return corrupt("vhd: current size is not a multiple of 512",
                       found(f.current_size, out.current_size));
    }
    out.size = layout::size_of(out, rule);
    if (out.size > max_size) {
        return fail(Errc::limit, "vhd: size is beyond 2040 GiB", found(f.current_size, out.size));
    }
    if (out.is_fixed()) {
        if (out.size > out.data_end) {
            return corrupt("vhd: the file is shorter than the fixed disk in it",
                           found(f.current_size, out.size));
        }
        return {};
    }
    out.header_at = f.data_offset.value();
    if (!is_aligned(out.header_at, sector_bits)) {
        return corrupt("vhd: data offset is not a multiple of 512",
                       found(f.data_offset, out.header_at));
    }
    if (out.header_at < sizeof(Footer) ||
        !fits(out.header_at, sizeof(DynamicHeader), out.data_end)) {
        return corrupt("vhd: the header overlaps a footer or is past the end of the file",
                       found(f.data_offset, out.header_at));
    }
    return {};
}

/// Checks the header of a dynamic or differencing image, whose checksum ought to be `sum`, and adds
/// it to what its footer says.
inline Status check(const HeaderStart& h, uint32_t sum, Checksums checksums, Layout& out) {
    const auto found = [&](const auto& field, uint64_t value) {
        return layout::found(h, field, value, out.header_at);
    };
    if (h.cookie != header_cookie) {
        return corrupt("vhd: no header where the footer says (cxsparse)",
                       {Error::none, out.header_at});
    }
    if (h.checksum.value() != sum) {
        out.checksums_right = false;
        if (checksums == Checksums::required) {
            return corrupt("vhd: checksum of the header is wrong (ignoring checksums reads it)",
                           found(h.checksum, h.checksum.value()));
        }
    }
    if (h.header_version.value() >> 16 != version >> 16) {
        return unsupported("vhd: header version is not 1",
                           found(h.header_version, h.header_version.value()));
    }
    const uint32_t block_size = h.block_size.value();
    if (!is_power_of_two(block_size) || block_size < sector_size) {
        return corrupt("vhd: block size is not a power of two, 512 or more",
                       found(h.block_size, block_size));
    }
    if (block_size >> max_block_bits > 1) {
        return fail(Errc::limit, "vhd: block size is beyond 256 MiB",
                    found(h.block_size, block_size));
    }
    out.block_bits = static_cast<uint8_t>(std::countr_zero(block_size));
    out.table_at = h.table_offset.value();
    out.table_entries = h.max_table_entries.value();
    if (out.table_entries > max_table_entries) {
        return fail(Errc::limit, "vhd: block allocation table is larger than 256 MiB",
                    found(h.max_table_entries, out.table_entries));
    }
    if (!is_aligned(out.table_at, sector_bits)) {
        return corrupt("vhd: table offset is not a multiple of 512",
                       found(h.table_offset, out.table_at));
    }
    if (!fits(out.table_at, uint64_t{out.table_entries} * 4, out.data_end)) {
        return corrupt("vhd: block allocation table ends past the end of the file",
                       found(h.table_offset, out.table_at));
    }
    if (out.table_at < sizeof(Footer) ||
        overlaps(out.table_at, out.table_bytes(), out.header_at, sizeof(DynamicHeader))) {
        return corrupt("vhd: block allocation table overlaps the footer or the header",
                       found(h.table_offset, out.table_at));
    }
    if (out.table_entries < blocks(out.size, out.block_bits)) {
        return corrupt("vhd: block allocation table is too small for the disk",
                       found(h.max_table_entries, out.table_entries));
    }
    out.parent_unique_id = h.parent_unique_id;
    out.parent_time_stamp = h.parent_time_stamp.value();
    return {};
}

namespace layout {

// Out of line, so that footer and header are not on the stack at once.
template <Storage S>
[[gnu::noinline]] Status load_footer(const S& storage, Checksums checksums, SizeRule rule,
                                     Layout& out) {
    FoundFooter footer;
    if (const Status found = footer::find(storage, checksums, footer); !found) return found;
    return check(footer, storage.size(), rule, out);
}

// What the checksum of the header ought to be.
template <Storage S>
[[gnu::noinline]] Result<uint32_t> header_sum(const S& storage, const Layout& l) {
    uint32_t sum = 0;
    std::array<byte, is_hosted ? sizeof(DynamicHeader) : 128> piece;
    for (uint64_t done = 0; done < sizeof(DynamicHeader); done += piece.size()) {
        if (Status got = storage.read(l.header_at + done, piece); !got) return got.error();
        if (done == 0) {
            std::memset(piece.data() + offsetof(HeaderStart, checksum), 0, sizeof(be32));
        }
        sum += sum_of(piece);
    }
    return ~sum;
}

template <Storage S>
[[gnu::noinline]] Status load_header(const S& storage, Checksums checksums, Layout& out) {
    const auto sum = header_sum(storage, out);
    if (!sum) return sum.error();
    const auto header = load<HeaderStart>(storage, out.header_at);
    return header ? check(*header, *sum, checksums, out) : Status(header.error());
}

}  // namespace layout

inline constexpr unsigned locator_count = 8;

/// One of the places where a path to the parent is stored.
template <Storage S>
Result<ParentLocator> load_locator(const S& storage, const Layout& layout, unsigned index) {
    const uint64_t first = layout.header_at + offsetof(DynamicHeader, parent_locators);
    return load<ParentLocator>(storage, first + index * sizeof(ParentLocator));
}

/// Reads and checks footer and header.
template <Storage S>
Result<Layout> load_layout(const S& storage, Checksums checksums = Checksums::required,
                           SizeRule rule = SizeRule::bytes) {
    Result<Layout> out(std::in_place);
    Status sound = layout::load_footer(storage, checksums, rule, *out);
    if (sound && !out->is_fixed()) sound = layout::load_header(storage, checksums, *out);
    if (!sound) out = sound.error();
    return out;
}

}  // namespace vdisk::vhd
