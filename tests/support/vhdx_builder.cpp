// SPDX-License-Identifier: BSL-1.0
#include "support/vhdx_builder.hpp"

#include <algorithm>
#include <random>

#include "support/bytes.hpp"

namespace vdisk::test {

namespace {

constexpr uint64_t one_mib = 1 << 20, log_unit = 4096;

void set_le(File& file, uint64_t at, uint64_t value, unsigned width) {
    for (unsigned i = 0; i != width; ++i) file.at(at + i) = static_cast<byte>(value >> (8 * i));
}

// A GUID as the specification prints it: three numbers, then bytes.
void put_guid(File& file, uint64_t at, const std::string& text) {
    set_le(file, at, std::stoull(text.substr(0, 8), nullptr, 16), 4);
    set_le(file, at + 4, std::stoull(text.substr(9, 4), nullptr, 16), 2);
    set_le(file, at + 6, std::stoull(text.substr(14, 4), nullptr, 16), 2);
    const std::string rest = text.substr(19, 4) + text.substr(24);
    for (size_t i = 0; i != 8; ++i) {
        file.at(at + 8 + i) = static_cast<byte>(std::stoul(rest.substr(2 * i, 2), nullptr, 16));
    }
}

// CRC-32C, a byte at a time.
uint32_t crc_of(const File& file, uint64_t at, uint64_t size) {
    static const std::vector<uint32_t> table = [] {
        std::vector<uint32_t> out(256);
        for (uint32_t i = 0; i != 256; ++i) {
            out[i] = i;
            for (int bit = 0; bit < 8; ++bit) {
                out[i] = (out[i] & 1) != 0 ? out[i] >> 1 ^ 0x82F63B78 : out[i] >> 1;
            }
        }
        return out;
    }();
    uint32_t state = ~0u;
    for (const byte* p = file.data() + at; size > 0; ++p, --size) {
        state = state >> 8 ^ table[(state ^ static_cast<uint32_t>(*p)) & 0xFF];
    }
    return ~state;
}

void put_header(File& file, const VhdxSpec& spec, const BuiltVhdx& out, uint64_t at,
                uint64_t sequence) {
    put_text(file, at, "head");
    set_le(file, at + 8, sequence, 8);
    std::fill_n(file.begin() + static_cast<ptrdiff_t>(at + 16), 16, byte{0xF1});
    std::fill_n(file.begin() + static_cast<ptrdiff_t>(at + 32), 16, static_cast<byte>(spec.id));
    set_le(file, at + 66, 1, 2);
    set_le(file, at + 68, out.log_length, 4);
    set_le(file, at + 72, out.log_at, 8);
}

void put_regions(File& file, const VhdxSpec& spec, BuiltVhdx& out, uint64_t table) {
    put_text(file, table, "regi");
    uint64_t n = 0;
    const auto add = [&](const char* guid, uint64_t at, uint64_t required) {
        const uint64_t entry = table + 16 + 32 * n++;
        put_guid(file, entry, guid);
        set_le(file, entry + 16, at, 8);
        set_le(file, entry + 24, one_mib, 4);
        set_le(file, entry + 28, required, 4);
        set_le(file, table + 8, n, 4);
        return entry;
    };
    if (spec.is_odd) add("01234567-89AB-CDEF-0123-456789ABCDEF", 4 * one_mib, 0);
    const uint64_t metadata =
        add("8B7CA206-4790-4B9A-B8FE-575F050F886E", out.metadata_at, spec.is_odd ? 0 : 1);
    const uint64_t bat =
        add("2DC27766-F623-4200-9D64-115E9BFD4A08", out.bat_at, spec.is_odd ? 0 : 1);
    if (out.bat_region == 0) {
        out.bat_region = bat;
        out.metadata_region = metadata;
    }
}

File locator_of(const VhdxSpec& spec) {
    File item(20 + 12 * spec.locator.size());
    put_guid(item, 0, "B04AEFB7-D19E-4A81-B789-25B8E9445913");
    set_le(item, 18, spec.locator.size(), 2);
    const auto put = [&](uint64_t entry, uint64_t offset_at, uint64_t length_at,
                         const std::u16string& text) {
        set_le(item, entry + offset_at, item.size(), 4);
        set_le(item, entry + length_at, 2 * text.size(), 2);
        for (const char16_t unit : text) {
            item.push_back(static_cast<byte>(unit & 0xFF));
            item.push_back(static_cast<byte>(unit >> 8));
        }
    };
    for (size_t i = 0; i != spec.locator.size(); ++i) {
        put(20 + 12 * i, 4, 10, spec.locator[i].second);
        put(20 + 12 * i, 0, 8, spec.locator[i].first);
    }
    return item;
}

struct Item {
    const char* name;
    const char* guid;
    uint64_t flags;
    File bytes;
};

File le(uint64_t value, unsigned width) {
    File bytes(width);
    set_le(bytes, 0, value, width);
    return bytes;
}

std::vector<Item> items_of(const VhdxSpec& spec) {
    File parameters = le(uint64_t{1} << spec.block_bits, 4);
    const File flags = le((spec.is_fixed ? 1 : 0) + (spec.has_parent ? 2 : 0), 4);
    parameters.insert(parameters.end(), flags.begin(), flags.end());
    std::vector<Item> items = {
        {"parameters", "CAA16737-FA36-4D43-B3B6-33F0AA44E76B", 4, parameters},
        {"size", "2FA54224-CD1B-4876-B211-5DBED83BF4B8", 6, le(spec.size, 8)},
        {"id", "BECA12AB-B2E6-4523-93EF-C309E000C746", 6, File(16, static_cast<byte>(spec.id))},
        {"logical", "8141BF1D-A96F-4709-BA47-F233A8FAAB5F", 6, le(1u << spec.sector_bits, 4)},
        {"physical", "CDA348C7-445D-4471-9CC9-E9885251C556", 6, le(1u << spec.physical_bits, 4)},
    };
    if (spec.has_parent) {
        items.push_back({"locator", "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C", 4, locator_of(spec)});
    }
    if (spec.is_odd) {
        items.push_back({"user", "CAA16737-FA36-4D43-B3B6-33F0AA44E76B", 1, File(99, byte{7})});
        items.push_back({"unknown", "01234567-89AB-CDEF-0123-456789ABCDEF", 2, File(5, byte{9})});
    }
    return items;
}

void put_items(File& file, const VhdxSpec& spec, BuiltVhdx& out) {
    std::vector<Item> items = items_of(spec);
    std::mt19937 random(spec.shuffle);
    if (spec.shuffle != 0) std::shuffle(items.begin(), items.end(), random);
    put_text(file, out.metadata_at, "metadata");
    set_le(file, out.metadata_at + 10, items.size(), 2);
    uint64_t offset = 0x10000;
    for (size_t i = items.size(); i-- > 0;) {  // the last item first in the region
        const Item& item = items[i];
        const uint64_t entry = out.metadata_at + 32 + 32 * i;
        put_guid(file, entry, item.guid);
        set_le(file, entry + 16, offset, 4);
        set_le(file, entry + 20, item.bytes.size(), 4);
        set_le(file, entry + 24, item.flags, 4);
        out.item_entry[item.name] = entry;
        out.item_at[item.name] = out.metadata_at + offset;
        std::copy(item.bytes.begin(), item.bytes.end(),
                  file.begin() + static_cast<ptrdiff_t>(out.metadata_at + offset));
        offset += item.bytes.size() + (spec.is_odd ? 3 : 0);
    }
}

// Runs of bits, as the seed has it.
std::vector<bool> runs(uint64_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<bool> bits(count);
    bool value = random() % 2 != 0;
    for (uint64_t i = 0; i < count; value = !value) {
        for (uint64_t run = 1 + random() % (2 + count / 6); run > 0 && i < count; --run) {
            bits[i++] = value;
        }
    }
    return bits;
}

// Puts blocks, bitmaps and BAT, and paints what the guest sees.
class Blocks {
public:
    Blocks(const VhdxSpec& spec, BuiltVhdx& out) : spec_(spec), out_(out) {}

    void put(const VhdxBlock& block) {
        const uint64_t entry = out_.bat_at + 8 * (block.index + block.index / ratio());
        out_.entry_at[block.index] = entry;
        uint64_t place = 0;
        if (block.state >= 6) {
            place = out_.block_at[block.index] = out_.file.size();
            const File bytes = noise(size_t{1} << spec_.block_bits, block.seed);
            out_.file.insert(out_.file.end(), bytes.begin(), bytes.end());
        }
        set_le(out_.file, entry, place | block.state, 8);
        const uint64_t sectors = uint64_t{1} << (spec_.block_bits - spec_.sector_bits);
        std::vector<bool> here(sectors, block.state == 6);
        if (block.state == 7) {
            here = runs(sectors, block.seed);
            claim(block, here);
        }
        for (uint64_t i = 0; i != sectors; ++i) paint(block, i, here[i], place);
    }

private:
    [[nodiscard]] uint64_t ratio() const {
        return uint64_t{1} << (23 + spec_.sector_bits - spec_.block_bits);
    }

    void claim(const VhdxBlock& block, const std::vector<bool>& here) {
        const uint64_t chunk = block.index / ratio();
        if (!out_.bitmap_at.contains(chunk)) {
            out_.bitmap_at[chunk] = out_.file.size();
            const uint64_t entry = out_.bat_at + 8 * (chunk * (ratio() + 1) + ratio());
            out_.bitmap_entry_at[chunk] = entry;
            set_le(out_.file, entry, out_.file.size() | 6, 8);
            out_.file.resize(out_.file.size() + one_mib);
        }
        for (uint64_t i = 0; i != here.size(); ++i) {
            const uint64_t bit = block.index % ratio() * here.size() + i;
            if (here[i]) {
                out_.file[out_.bitmap_at[chunk] + bit / 8] |= static_cast<byte>(1u << bit % 8);
            }
        }
    }

    void paint(const VhdxBlock& block, uint64_t i, bool is_here, uint64_t place) {
        const uint64_t bytes = uint64_t{1} << spec_.sector_bits;
        const uint64_t at = (block.index << spec_.block_bits) + i * bytes;
        if (at >= spec_.size) return;
        Kind kind = is_here ? Kind::data : Kind::absent;
        if (block.state == 1 || block.state == 2 || block.state == 3) kind = Kind::zero;
        std::fill_n(out_.guest.kinds.begin() + static_cast<ptrdiff_t>(at / sector), bytes / sector,
                    kind);
        if (!is_here) return;
        std::copy_n(out_.file.begin() + static_cast<ptrdiff_t>(place + i * bytes), bytes,
                    out_.guest.bytes.begin() + static_cast<ptrdiff_t>(at));
    }

    const VhdxSpec& spec_;
    BuiltVhdx& out_;
};

}  // namespace

void set_le16(File& file, uint64_t at, uint64_t value) { set_le(file, at, value, 2); }
void set_le32(File& file, uint64_t at, uint64_t value) { set_le(file, at, value, 4); }
void set_le64(File& file, uint64_t at, uint64_t value) { set_le(file, at, value, 8); }
uint64_t get_le64(const File& file, uint64_t at) {
    uint64_t value = 0;
    for (unsigned i = 8; i-- > 0;) value = value << 8 | static_cast<uint64_t>(file.at(at + i));
    return value;
}

void seal_crc(File& file, uint64_t at, uint64_t size) {
    if (at > file.size() || size > file.size() - at) return;
    set_le(file, at + 4, 0, 4);
    set_le(file, at + 4, crc_of(file, at, size), 4);
}

void seal_vhdx(File& file) {
    for (const uint64_t at : {0x10000, 0x20000}) seal_crc(file, at, 4096);
    for (const uint64_t at : {0x30000, 0x40000}) seal_crc(file, at, 65536);
}

BuiltVhdx build(const VhdxSpec& spec) {
    BuiltVhdx out;
    out.guest = {File(spec.size), std::vector<Kind>(spec.size / sector, Kind::absent)};
    out.log_length = spec.log_mib * one_mib;
    out.log_at = spec.is_odd ? 3 * one_mib : one_mib;
    out.bat_at = spec.is_odd ? one_mib : out.log_at + out.log_length;
    out.metadata_at = out.bat_at + one_mib;
    const uint64_t front = spec.is_odd ? 4 * one_mib + out.log_length : out.metadata_at + one_mib;
    out.file.resize(front);
    put_text(out.file, 0, "vhdxfile");
    put_header(out.file, spec, out, 0x10000, 5);
    put_header(out.file, spec, out, 0x20000, 6);
    put_regions(out.file, spec, out, 0x30000);
    put_regions(out.file, spec, out, 0x40000);
    put_items(out.file, spec, out);
    std::vector<VhdxBlock> blocks = spec.blocks;
    std::mt19937 random(spec.shuffle);
    if (spec.shuffle != 0) std::shuffle(blocks.begin(), blocks.end(), random);
    for (const VhdxBlock& block : blocks) Blocks(spec, out).put(block);
    seal_vhdx(out.file);
    out.data_end = out.file.size();
    return out;
}

std::vector<VhdxBlock> vhdx_mixture(uint64_t count, uint32_t seed, bool has_parent) {
    std::mt19937 random(seed);
    std::vector<VhdxBlock> blocks;
    for (uint64_t i = 0; i != count; ++i) {
        constexpr unsigned states[] = {6, 7, 2, 0, 6, 7, 3, 1};
        unsigned state = states[(i + random() % 2 * 4) % 8];
        if (state == 7 && !has_parent) state = 6;
        blocks.push_back({i, state, static_cast<uint32_t>(seed * 1000 + i)});
    }
    return blocks;
}

std::u16string linkage(uint8_t id) {
    constexpr std::u16string_view digits = u"0123456789abcdef";
    std::u16string text = u"{";
    for (int i = 0; i != 16; ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) text += u'-';
        text += digits[id >> 4];
        text += digits[id & 15];
    }
    return text + u"}";
}

File log_entry(const VhdxEntry& entry) {
    const uint64_t count = entry.updates.size();
    const uint64_t described = (64 + 32 * count + log_unit - 1) / log_unit * log_unit;
    File out(described);
    put_text(out, 0, "loge");
    set_le(out, 12, entry.tail * log_unit, 4);
    set_le(out, 16, entry.sequence, 8);
    set_le(out, 24, count, 4);
    std::fill_n(out.begin() + 32, 16, static_cast<byte>(entry.guid));
    set_le(out, 48, entry.flushed, 8);
    set_le(out, 56, entry.last, 8);
    for (uint64_t i = 0; i != count; ++i) {
        const VhdxUpdate& update = entry.updates[i];
        const uint64_t d = 64 + 32 * i;
        put_text(out, d, update.data.empty() ? "zero" : "desc");
        set_le(out, d + 8, update.zeros, 8);
        set_le(out, d + 16, update.at, 8);
        set_le(out, d + 24, entry.sequence, 8);
        if (update.data.empty()) continue;
        std::copy_n(update.data.begin(), 8, out.begin() + static_cast<ptrdiff_t>(d + 8));
        std::copy_n(update.data.end() - 4, 4, out.begin() + static_cast<ptrdiff_t>(d + 4));
        const uint64_t at = out.size();
        out.insert(out.end(), update.data.begin(), update.data.end());
        put_text(out, at, "data");
        set_le(out, at + 4, entry.sequence >> 32, 4);
        set_le(out, at + 4092, entry.sequence & 0xFFFFFFFF, 4);
    }
    out.resize(out.size() + entry.more_sectors * log_unit);
    set_le(out, 8, out.size(), 4);
    seal_crc(out, 0, out.size());
    return out;
}

uint64_t put_entry(File& file, const BuiltVhdx& image, uint64_t log_sector, const File& bytes) {
    for (uint64_t i = 0; i != bytes.size(); ++i) {
        file.at(image.log_at + (log_sector * log_unit + i) % image.log_length) = bytes[i];
    }
    return (log_sector + bytes.size() / log_unit) % (image.log_length / log_unit);
}

void name_log(File& file, uint8_t guid) {
    for (const uint64_t at : {0x10000, 0x20000}) {
        std::fill_n(file.begin() + static_cast<ptrdiff_t>(at + 48), 16, static_cast<byte>(guid));
        seal_crc(file, at, 4096);
    }
}

File with_log(const BuiltVhdx& image, const std::vector<uint64_t>& places, uint64_t log_sector) {
    File file = image.file;
    VhdxEntry entry{.sequence = 900, .tail = log_sector, .updates = {}, .flushed = file.size()};
    entry.last = entry.flushed;
    for (const uint64_t at : places) {
        const auto begin = image.file.begin() + static_cast<ptrdiff_t>(at);
        entry.updates.push_back({.at = at, .data = File(begin, begin + log_unit)});
        std::fill_n(file.begin() + static_cast<ptrdiff_t>(at), log_unit, byte{0xCC});
    }
    put_entry(file, image, log_sector, log_entry(entry));
    name_log(file);
    return file;
}

void apply(File& file, const VhdxEntry& entry) {
    for (const VhdxUpdate& update : entry.updates) {
        const File bytes = update.data.empty() ? File(update.zeros) : update.data;
        if (file.size() < update.at + bytes.size()) file.resize(update.at + bytes.size());
        std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<ptrdiff_t>(update.at));
    }
    if (file.size() < entry.last) file.resize(entry.last);
}

}  // namespace vdisk::test
