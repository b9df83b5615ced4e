// SPDX-License-Identifier: BSL-1.0
// The dump of a qcow2 file. Numbers from the header are used unchecked here, so every read is
// bounded by the file and every list by the limits of the format.
#include <array>

#include <vdisk/format/qcow2/bitmap.hpp>

#include "dump.hpp"

namespace tool {

using namespace vdisk;

namespace {

/// Where things would be if the header were true; what cannot be is left at a harmless value.
qcow2::Layout believe(const qcow2::Header& h) {
    qcow2::Layout out;
    out.version = h.version.value();
    const uint32_t bits = h.cluster_bits.value();
    out.cluster_bits = static_cast<uint8_t>(bits >= 9 && bits <= 21 ? bits : 16);
    out.size = h.size.value();
    out.snapshots = std::min(h.nb_snapshots.value(), qcow2::max_snapshots);
    out.snapshots_at = h.snapshots_offset.value();
    out.extensions_at = qcow2::v2_header_length;
    if (out.version >= 3) {
        out.autoclear = h.autoclear_features.value();
        out.extensions_at = h.header_length.value();
    }
    out.extensions_end = out.cluster_size();
    const uint64_t backing = h.backing_file_offset.value();
    if (backing >= out.extensions_at && backing < out.extensions_end) out.extensions_end = backing;
    return out;
}

std::string bit_name(const Storage& file, uint8_t kind, uint8_t bit) {
    static constexpr std::array<std::array<const char*, 5>, 3> known = {
        {{"dirty", "corrupt", "external data file", "compression type", "extended L2"},
         {"lazy refcounts"},
         {"bitmaps", "raw external data"}}};
    if (bit < known[kind].size() && known[kind][bit] != nullptr) return known[kind][bit];
    qcow2::FeatureName row{};
    const auto named = qcow2::feature_name(file, kind, bit, row);
    std::string unknown = "bit " + std::to_string(bit) + ", unknown";
    if (!named || !*named) return unknown;
    const std::string_view name(row.name.data(), row.name.size());
    return unknown + ", called " + std::string(name.substr(0, name.find('\0')));
}

std::string bit_names(const Storage& file, uint8_t kind, uint64_t bits) {
    std::string out;
    for (uint8_t bit = 0; bit < 64; ++bit) {
        if ((bits >> bit & 1) == 0) continue;
        if (!out.empty()) out += "; ";
        out += bit_name(file, kind, bit);
    }
    return out.empty() ? "none" : out;
}

std::string choice(uint64_t value, std::initializer_list<const char*> names) {
    return value < names.size() ? *(names.begin() + value) : "unknown";
}

std::string meaning(const Storage& file, std::string_view name, uint64_t value) {
    if (name == "magic") return value == qcow2::magic ? "QFI\\xfb" : "not that of qcow2";
    if (name == "cluster_bits" && value < 64) return text::human_size(uint64_t{1} << value);
    if (name == "size") return text::human_size(value);
    if (name == "crypt_method") return choice(value, {"none", "AES", "LUKS"});
    if (name == "compression_type") return choice(value, {"deflate", "zstd"});
    if (name == "refcount_order" && value < 7) return std::to_string(1u << value) + " bits";
    if (name == "incompatible_features") return bit_names(file, 0, value);
    if (name == "compatible_features") return bit_names(file, 1, value);
    if (name == "autoclear_features") return bit_names(file, 2, value);
    return {};
}

/// At most `limit` bytes of the text, for showing; NULs and all.
std::string text_at(const Storage& file, Text text, Report& report, uint32_t limit = 1024) {
    std::string out(std::min(text.length, limit), '\0');
    const vdisk::Status read = file.read(text.at, std::as_writable_bytes(std::span(out)));
    if (!read) {
        report.error(read.error());
        return {};
    }
    return out;
}

std::string extension_name(uint32_t type) {
    switch (type) {
        case qcow2::extension::backing_format: return "backing format";
        case qcow2::extension::feature_names: return "feature names";
        case qcow2::extension::bitmaps: return "bitmaps";
        case qcow2::extension::encryption: return "encryption header";
        case qcow2::extension::data_file: return "external data file";
        default: return "unknown";
    }
}

/// The reading that each_extension asks for, without a cache.
struct Direct {
    const Storage& file;
    mutable std::array<byte, sizeof(qcow2::ExtensionHeader)> bytes{};

    [[nodiscard]] const Storage& storage() const { return file; }
    Result<Bytes> entries(uint64_t at, uint64_t /*length*/) const {
        if (const vdisk::Status read = file.read(at, bytes); !read) return read.error();
        return Bytes(bytes);
    }
};

std::string content(const Storage& file, uint32_t type, Text text, Report& report) {
    if (type == qcow2::extension::backing_format || type == qcow2::extension::data_file) {
        return text_at(file, text, report);
    }
    if (type == qcow2::extension::encryption && text.length == 16) {
        std::array<byte, 16> raw{};
        if (!file.read(text.at, raw)) return {};
        return "at " + text::hex(load_be64(raw.data())) + ", " +
               std::to_string(load_be64(raw.data() + 8)) + " bytes";
    }
    if (type == qcow2::extension::bitmaps && text.length == sizeof(qcow2::BitmapsExtension)) {
        const auto raw = load<qcow2::BitmapsExtension>(file, text.at);
        if (!raw) return {};
        return std::to_string(raw->nb_bitmaps.value()) + " bitmaps, directory at " +
               text::hex(raw->bitmap_directory_offset.value()) + ", " +
               std::to_string(raw->bitmap_directory_size.value()) + " bytes";
    }
    return {};
}

void dump_extensions(const Storage& file, qcow2::Layout& layout, Report& report) {
    report.section("extensions");
    const auto walked =
        qcow2::each_extension(Direct{file}, layout, [&](uint32_t type, Text text) -> vdisk::Status {
            if (type == qcow2::extension::feature_names) layout.feature_names = text;
            if (type == qcow2::extension::bitmaps) layout.bitmaps = text;
            report.row({hex_cell("offset", text.at - sizeof(qcow2::ExtensionHeader), 6),
                        hex_cell("type", type, 10), number_cell("length", text.length, 7),
                        text_cell("name", extension_name(type), -18),
                        text_cell("content", content(file, type, text, report))});
            return {};
        });
    if (!walked) report.error(walked.error());
}

void dump_feature_names(const Storage& file, const qcow2::Layout& layout, Report& report) {
    report.section("feature-names");
    const Text table = layout.feature_names;
    constexpr uint32_t step = sizeof(qcow2::FeatureName);
    for (uint32_t i = 0; i + step <= table.length; i += step) {
        const auto row = load<qcow2::FeatureName>(file, table.at + i);
        if (!row) return report.error(row.error());
        const std::string_view name(row->name.data(), row->name.size());
        report.row(
            {hex_cell("offset", table.at + i, 6),
             text_cell("kind", choice(row->kind, {"incompatible", "compatible", "autoclear"}), -12),
             number_cell("bit", row->bit, 3),
             text_cell("name", std::string(name.substr(0, name.find('\0'))))});
    }
}

void dump_snapshots(const Storage& file, const qcow2::Layout& layout, Report& report) {
    report.section("snapshots");
    const auto walked =
        qcow2::each_snapshot(file, layout, [&](const qcow2::Snapshot& s) -> vdisk::Status {
            report.row(
                {text_cell("id", text_at(file, s.id, report), -4),
                 text_cell("name", text_at(file, s.name, report), -16),
                 hex_cell("l1_table_offset", s.l1.at, 15), number_cell("l1_size", s.l1.entries, 9),
                 number_cell("disk_size", s.disk_size, 20),
                 number_cell("vm_state_size", s.vm_state_size, 20),
                 number_cell("date_sec", s.date_sec, 10), number_cell("date_nsec", s.date_nsec, 10),
                 number_cell("vm_clock_nsec", s.vm_clock_nsec, 20),
                 hex_cell("icount", s.icount, 18)});
            return {};
        });
    if (!walked) report.error(walked.error());
}

void dump_bitmaps(const Storage& file, const qcow2::Layout& layout, Report& report) {
    report.section("bitmaps");
    const auto walked =
        qcow2::each_bitmap(file, layout, [&](const qcow2::Bitmap& b) -> vdisk::Status {
            std::string flags;
            if ((b.flags & qcow2::bitmap_flag::in_use) != 0) flags += " in-use";
            if ((b.flags & qcow2::bitmap_flag::automatic) != 0) flags += " auto";
            if ((b.flags & qcow2::bitmap_flag::extra_compatible) != 0) flags += " extra";
            report.row({text_cell("name", text_at(file, b.name, report), -16),
                        hex_cell("table_offset", b.table_at, 14),
                        number_cell("table_size", b.table_entries, 10),
                        number_cell("granularity", uint64_t{1} << b.granularity_bits, 11),
                        hex_cell("flags", b.flags, 5),
                        text_cell("meaning", flags.empty() ? flags : flags.substr(1))});
            return {};
        });
    if (!walked) report.error(walked.error());
}

}  // namespace

void dump_qcow2(const Storage& file, Report& report) {
    const auto header = qcow2::load_header(file);
    if (!header) return report.error(header.error());
    qcow2::Layout layout = believe(*header);
    const Text backing{header->backing_file_offset.value(), header->backing_file_size.value()};
    if (backing.at != 0 && backing.length > 0) {
        report.fact("backing-file", text_at(file, backing, report));
    }
    report.section("header");
    each_row(*header, [&](std::string_view name, uint64_t at, uint64_t size, uint64_t value) {
        if (at + size <= file.size()) {
            field_row(report, name, at, size, value, meaning(file, name, value));
        }
    });
    if (file.size() < qcow2::v2_header_length) return;
    dump_extensions(file, layout, report);
    dump_feature_names(file, layout, report);
    dump_snapshots(file, layout, report);
    dump_bitmaps(file, layout, report);
}

}  // namespace tool
