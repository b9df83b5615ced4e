// SPDX-License-Identifier: BSL-1.0
// The dump of a VHDX file: nothing from it is trusted, so every read is bounded by the file.
#include <vdisk/format/vhdx/image.hpp>

#include "dump.hpp"
#include "ids.hpp"

namespace tool {

using namespace vdisk;

namespace {

using Image = vhdx::Image<Storage, Heap>;
/// The file behind its log.
using Behind = vhdx::Overlaid<Storage>;

struct Named {
    Guid id;
    const char* name;
};
constexpr Named regions[] = {{vhdx::region::bat, "BAT"}, {vhdx::region::metadata, "metadata"}};
constexpr Named items[] = {{vhdx::item::file_parameters, "file parameters"},
                           {vhdx::item::virtual_disk_size, "virtual disk size"},
                           {vhdx::item::virtual_disk_id, "virtual disk id"},
                           {vhdx::item::logical_sector_size, "logical sector size"},
                           {vhdx::item::physical_sector_size, "physical sector size"},
                           {vhdx::item::parent_locator, "parent locator"}};

std::string name_of(const Guid& id, std::span<const Named> known) {
    for (const Named& one : known) {
        if (one.id == id) return one.name;
    }
    return "unknown";
}

/// Where one kind of thing is; nothing to be seen: a length of 0.
struct Area {
    uint64_t at = 0;
    uint64_t length = 0;
};

std::string checksum_meaning(const Behind& file, uint64_t at, uint64_t length, uint32_t found) {
    const auto right = vhdx::checksum(file, at, length);
    if (!right) return "cannot be read";
    return *right == found ? "right" : "wrong, not " + text::hex(*right);
}

void dump_header(const Behind& file, const vhdx::FoundHeader& found, bool is_current,
                 Report& report) {
    const auto meaning = [&](std::string_view name, uint64_t value) -> std::string {
        if (name == "checksum") {
            return checksum_meaning(file, found.at, vhdx::header_bytes,
                                    static_cast<uint32_t>(value));
        }
        if (name == "sequence_number") return is_current ? "this header counts" : "";
        return name == "log_length" ? text::human_size(value) : "";
    };
    each_field(found.header, [&]<class F>(std::string_view name, const F& field) {
        const auto at =
            found.at + static_cast<uint64_t>(reinterpret_cast<const byte*>(&field) -
                                             reinterpret_cast<const byte*>(&found.header));
        if constexpr (std::same_as<F, Guid>) {
            text_row(report, name, at, sizeof field,
                     field.is_nil() ? "none" : text_of(turned(field)));
        } else if constexpr (std::same_as<F, vhdx::Signature>) {
            text_row(report, name, at, sizeof field, std::string(field.data(), field.size()));
        } else {
            field_row(report, name, at, sizeof field, field.value(), meaning(name, field.value()));
        }
    });
}

void dump_creator(const Behind& file, Report& report) {
    const auto identifier = load<vhdx::FileIdentifier>(file, 0);
    if (!identifier) return;
    std::string out(sizeof identifier->creator * 2, '\0');
    const auto text = utf8_from_utf16(identifier->creator, ByteOrder::little, out);
    if (text) report.fact("creator", std::string(*text));
}

void dump_headers(const Behind& file, Report& report) {
    const auto current = vhdx::find_header(file.base());
    for (const uint64_t at : vhdx::header_places) {
        const auto found = vhdx::load_header(file.base(), at);
        if (!found) return report.error(found.error());
        if (!fits(at, vhdx::header_bytes, file.base().size())) return;
        report.section(at == vhdx::header_places[0] ? "header-1" : "header-2");
        dump_header(file, *found, current && current->at == at, report);
    }
}

/// One copy of the region table; says where the metadata is.
Area dump_regions(const Behind& file, uint64_t table_at, Report& report) {
    const auto header = load<vhdx::RegionTableHeader>(file, table_at);
    if (!header) return {};
    const uint32_t count = header->entry_count.value();
    const uint32_t sum = header->checksum.value();
    text_row(report, "signature", table_at, 4, std::string(header->signature.data(), 4));
    field_row(report, "checksum", table_at + 4, 4, sum,
              checksum_meaning(file, table_at, vhdx::region_table_bytes, sum));
    field_row(report, "entry_count", table_at + 8, 4, count, "");
    Area metadata;
    for (uint32_t i = 0; i < std::min(count, vhdx::max_regions); ++i) {
        const uint64_t at = table_at + sizeof *header + i * sizeof(vhdx::RegionTableEntry);
        const auto e = load<vhdx::RegionTableEntry>(file, at);
        if (!e) break;
        const uint64_t offset = e->file_offset.value();
        const std::string name = name_of(e->guid, regions);
        text_row(report, "guid", at, 16, text_of(turned(e->guid)) + ": " + name);
        field_row(report, "file_offset", at + 16, 8, offset, "");
        field_row(report, "length", at + 24, 4, e->length.value(),
                  text::human_size(e->length.value()));
        field_row(report, "required", at + 28, 4, e->required.value(), "");
        if (e->guid == vhdx::region::metadata) metadata = {offset, e->length.value()};
    }
    return metadata;
}

std::string value_of(const Behind& file, const Guid& id, Area item) {
    std::array<byte, 16> raw{};
    if (item.length == 0 || item.length > raw.size()) return {};
    if (!file.read(item.at, MutBytes(raw).first(static_cast<size_t>(item.length)))) return {};
    if (id == vhdx::item::file_parameters) {
        const uint32_t flags = load_le32(raw.data() + 4);
        std::string out = text::human_size(load_le32(raw.data())) + " blocks";
        if ((flags & vhdx::parameter::leave_blocks_allocated) != 0) out += ", kept (fixed)";
        if ((flags & vhdx::parameter::has_parent) != 0) out += ", has a parent";
        return out;
    }
    if (id == vhdx::item::virtual_disk_id) return text_of(turned(Guid{raw}));
    if (id == vhdx::item::virtual_disk_size) return text::human_size(load_le64(raw.data()));
    return item.length == 4 ? std::to_string(load_le32(raw.data())) : "";
}

/// The items of the metadata region; says where the parent locator is.
Area dump_metadata(const Behind& file, Area region, Report& report) {
    report.section("metadata");
    const auto header = load<vhdx::MetadataTableHeader>(file, region.at);
    if (!header || header->signature != vhdx::metadata_signature) return {};
    Area locator;
    const uint32_t count = std::min<uint32_t>(header->entry_count.value(), vhdx::max_items);
    for (uint32_t i = 0; i < count; ++i) {
        const uint64_t at = region.at + sizeof *header + i * sizeof(vhdx::MetadataTableEntry);
        const auto e = load<vhdx::MetadataTableEntry>(file, at);
        if (!e) break;
        const Area item{region.at + e->offset.value(), e->length.value()};
        const bool is_inside = fits(item.at, item.length, file.size());
        const uint32_t flags = e->flags.value();
        std::string said;
        if ((flags & vhdx::item_flag::user) != 0) said += " user";
        if ((flags & vhdx::item_flag::virtual_disk) != 0) said += " disk";
        if ((flags & vhdx::item_flag::required) != 0) said += " required";
        report.row({hex_cell("entry", at, 9), hex_cell("offset", item.at, 9),
                    number_cell("length", item.length, 7),
                    text_cell("flags", said.empty() ? said : said.substr(1), -13),
                    text_cell("id", text_of(turned(e->item_id)), -36),
                    text_cell("name", name_of(e->item_id, items), -20),
                    text_cell("value", is_inside ? value_of(file, e->item_id, item) : "")});
        if (is_inside && e->item_id == vhdx::item::parent_locator) locator = item;
    }
    return locator;
}

std::string text_at(const Behind& file, Area text, Area within) {
    if (!fits(text.at - within.at, text.length, within.length)) return "not in the locator";
    std::string out(static_cast<size_t>(text.length) * 2, '\0');
    const auto read = vhdx::locator::load_text(file, text.at, text.length, out);
    return read ? std::string(*read) : "not UTF-16";
}

void dump_locator(const Behind& file, Area item, Report& report) {
    report.section("parent-locator");
    if (item.length < sizeof(vhdx::ParentLocatorHeader)) return;
    const auto header = load<vhdx::ParentLocatorHeader>(file, item.at);
    if (!header) return report.error(header.error());
    const uint64_t room = (item.length - sizeof *header) / sizeof(vhdx::ParentLocatorEntry);
    const uint64_t count = std::min<uint64_t>(header->key_value_count.value(), room);
    for (uint64_t i = 0; i < count; ++i) {
        const uint64_t at = item.at + sizeof *header + i * sizeof(vhdx::ParentLocatorEntry);
        const auto e = load<vhdx::ParentLocatorEntry>(file, at);
        if (!e) return report.error(e.error());
        const auto text = [&](uint64_t offset, uint64_t length) {
            return text_at(file, {item.at + offset, length}, item);
        };
        report.row({hex_cell("offset", at, 9),
                    text_cell("key", text(e->key_offset.value(), e->key_length.value()), -19),
                    text_cell("value", text(e->value_offset.value(), e->value_length.value()))});
    }
}

/// How many entries of the BAT are in which state.
void dump_blocks(const Image& image, Report& report) {
    constexpr std::array names = {"not present", "undefined", "zero",    "unmapped",
                                  "reserved",    "reserved",  "present", "partially present"};
    std::array<uint64_t, 8> blocks{}, bitmaps{};
    const vhdx::Layout& layout = image.layout();
    const uint64_t count = layout.bat_entries();
    const uint64_t chunk = (uint64_t{1} << layout.chunk_bits()) + 1;
    std::array<byte, 65536> piece{};
    for (uint64_t first = 0; first < count;) {
        const auto n = static_cast<size_t>(std::min<uint64_t>(count - first, piece.size() / 8));
        const auto read =
            image.storage().read(layout.bat_at + first * 8, MutBytes(piece).first(n * 8));
        if (!read) return report.error(read.error());
        for (size_t i = 0; i < n; ++i) {
            const auto state = load_le64(piece.data() + i * 8) & vhdx::entry::state_mask;
            ++((first + i + 1) % chunk == 0 ? bitmaps : blocks)[state];
        }
        first += n;
    }
    report.section("blocks");
    for (size_t state = 0; state < names.size(); ++state) {
        if (blocks[state] + bitmaps[state] == 0) continue;
        report.row({number_cell("state", state, 5), number_cell("blocks", blocks[state], 12),
                    number_cell("bitmaps", bitmaps[state], 12),
                    text_cell("meaning", names[state])});
    }
}

}  // namespace

void dump_vhdx(const Storage& file, Report& report) {
    // What cannot be opened is seen as it stands in the file.
    const auto image = Image::open(file);
    const Behind behind = image ? image->storage() : Behind(file, {}, 0);
    dump_creator(behind, report);
    dump_headers(behind, report);
    dump_vhdx_log(file, report);
    Area metadata;
    for (const uint64_t at : vhdx::region_table_places) {
        if (!fits(at, vhdx::region_table_bytes, behind.size())) break;
        report.section(at == vhdx::region_table_places[0] ? "regions-1" : "regions-2");
        const Area found = dump_regions(behind, at, report);
        if (metadata.length == 0) metadata = found;
    }
    if (fits(metadata.at, metadata.length, behind.size()) && metadata.length > 0) {
        const Area locator = dump_metadata(behind, metadata, report);
        dump_locator(behind, locator, report);
    }
    if (image) dump_blocks(*image, report);
}

}  // namespace tool
