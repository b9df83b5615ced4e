// SPDX-License-Identifier: BSL-1.0
#include "support/vhd_builder.hpp"

#include <algorithm>
#include <random>

#include "support/bytes.hpp"

namespace vdisk::test {

namespace {

void to_sector(File& file) { file.resize((file.size() + sector - 1) / sector * sector); }

File footer(const VhdSpec& spec, uint64_t header_at) {
    File f(sector);
    put_text(f, 0, "conectix");
    set_be32(f, 8, 2);
    set_be32(f, 12, 0x00010000);
    set_be64(f, 16, spec.type == 2 ? ~uint64_t{0} : header_at);
    set_be32(f, 24, 700'000'000);
    put_text(f, 28, spec.creator);
    set_be32(f, 32, spec.creator_version);
    put_text(f, 36, "Wi2k");
    set_be64(f, 40, spec.size);
    set_be64(f, 48, spec.size);
    set_be16(f, 56, spec.geometry[0]);
    f[58] = static_cast<byte>(spec.geometry[1]);
    f[59] = static_cast<byte>(spec.geometry[2]);
    set_be32(f, 60, spec.type);
    std::fill_n(f.begin() + 68, 16, static_cast<byte>(spec.id));
    seal(f, 0, sector, 64);
    return f;
}

// The paths of the locators, each in a sector of its own, and what the header says of them.
void put_locators(File& file, const VhdSpec& spec, BuiltVhd& out) {
    for (const VhdLocator& locator : spec.locators) {
        const uint64_t entry = out.header_at + 576 + 24 * out.locator_at.size();
        out.locator_at.push_back(entry);
        put_text(file, entry, locator.code);
        set_be32(file, entry + 4, locator.space);
        set_be32(file, entry + 8, locator.path.size());
        set_be64(file, entry + 16, file.size());
        file.insert(file.end(), locator.path.begin(), locator.path.end());
        to_sector(file);
    }
}

void put_map(File& file, const VhdSpec& spec, uint64_t entries, BuiltVhd& out) {
    out.map_header_at = file.size();
    out.map_at = file.size() + sector;
    const uint64_t sectors = (entries + 4095) / 4096;
    file.resize(out.map_at + sectors * sector);
    for (const VhdBlock& block : spec.blocks) {
        if (block.claims != Claims::all) continue;
        file[out.map_at + block.index / 8] |= static_cast<byte>(0x80 >> block.index % 8);
    }
    uint32_t sum = 0;
    for (uint64_t i = out.map_at; i != file.size(); ++i) sum += static_cast<uint32_t>(file[i]);
    const uint64_t h = out.map_header_at;
    put_text(file, h, "tdbatmap");
    set_be64(file, h + 8, out.map_at);
    set_be32(file, h + 16, sectors);
    set_be32(file, h + 20, 0x00010002);
    set_be32(file, h + 24, ~sum);
}

void put_tables(File& file, const VhdSpec& spec, BuiltVhd& out) {
    const uint64_t block_size = uint64_t{1} << spec.block_bits;
    const uint64_t entries = (spec.size + block_size - 1) / block_size + spec.more_entries;
    const uint64_t table_bytes = (entries * 4 + sector - 1) / sector * sector;
    file.resize(sector + spec.gap_at_front * sector);
    const auto header = [&] {
        out.header_at = file.size();
        file.resize(file.size() + 1024);
    };
    const auto table = [&] {
        file.resize(file.size() + spec.gap_at_table * sector);
        out.table_at = file.size();
        file.resize(file.size() + table_bytes, byte{0xFF});
    };
    if (spec.table_first) table();
    header();
    if (!spec.table_first) table();
    if (spec.map) put_map(file, spec, entries, out);
    const uint64_t h = out.header_at;
    put_text(file, h, "cxsparse");
    set_be64(file, h + 8, ~uint64_t{0});
    set_be64(file, h + 16, out.table_at);
    set_be32(file, h + 24, 0x00010000);
    set_be32(file, h + 28, entries);
    set_be32(file, h + 32, block_size);
    std::fill_n(file.begin() + static_cast<ptrdiff_t>(h + 40), 16,
                static_cast<byte>(spec.parent_id));
    for (size_t i = 0; i != spec.unicode_name.size(); ++i) {
        set_be16(file, h + 64 + 2 * i, spec.unicode_name[i]);
    }
    put_locators(file, spec, out);
    seal(file, h, 1024, 36);
}

// Which sectors a block claims: in runs, as its seed has it.
std::vector<bool> claims(const VhdBlock& block, uint64_t sectors) {
    std::vector<bool> bits(sectors, block.claims != Claims::none);
    if (block.claims != Claims::mixed) return bits;
    std::mt19937 random(block.seed);
    bool value = random() % 2 != 0;
    for (uint64_t i = 0; i < sectors; value = !value) {
        for (uint64_t run = 1 + random() % (2 + sectors / 6); run > 0 && i < sectors; --run) {
            bits[i++] = value;
        }
    }
    return bits;
}

// Appends a block, and paints what the guest sees of it.
void put_block(const VhdSpec& spec, const VhdBlock& block, BuiltVhd& out) {
    const uint64_t block_size = uint64_t{1} << spec.block_bits;
    const uint64_t sectors = block_size / sector;
    const uint64_t at = out.file.size();
    const std::vector<bool> bits = claims(block, sectors);
    out.file.resize(at + (sectors + 7) / 8);
    for (uint64_t i = 0; i != sectors; ++i) {
        if (bits[i]) out.file[at + i / 8] |= static_cast<byte>(0x80 >> i % 8);
    }
    to_sector(out.file);
    const File bytes = noise(block_size, block.seed);
    out.file.insert(out.file.end(), bytes.begin(), bytes.end());
    out.bitmap_at[block.index] = at;
    out.entry_at[block.index] = out.table_at + block.index * 4;
    set_be32(out.file, out.entry_at[block.index], at / sector);
    for (uint64_t i = 0; i != sectors && block.index * sectors + i < spec.size / sector; ++i) {
        const uint64_t guest = block.index * sectors + i;
        const Kind clear = spec.type == 4 ? Kind::absent : Kind::zero;
        out.guest.kinds[guest] = bits[i] ? Kind::data : clear;
        if (!bits[i]) continue;
        std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(i * sector), sector,
                    out.guest.bytes.begin() + static_cast<ptrdiff_t>(guest * sector));
    }
}

void put_fixed(const VhdSpec& spec, BuiltVhd& out) {
    out.file = noise(spec.size, spec.shuffle);
    out.guest = {out.file, std::vector<Kind>(spec.size / sector, Kind::data)};
}

}  // namespace

void seal(File& file, uint64_t at, uint64_t size, uint64_t field) {
    if (at > file.size() || size > file.size() - at) return;
    uint32_t sum = 0;
    set_be32(file, at + field, 0);
    for (uint64_t i = 0; i != size; ++i) sum += static_cast<uint32_t>(file[at + i]);
    set_be32(file, at + field, ~sum);
}

void seal(File& file, const BuiltVhd& image) {
    const uint64_t rest = file.size() - std::min<uint64_t>(file.size(), image.footer_at);
    seal(file, image.footer_at, std::min<uint64_t>(rest, sector), 64);
    if (!image.has_front) return;
    seal(file, 0, sector, 64);
    seal(file, image.header_at, 1024, 36);
}

BuiltVhd build(const VhdSpec& spec) {
    BuiltVhd out;
    std::mt19937 random(spec.shuffle);
    if (spec.type == 2) {
        put_fixed(spec, out);
    } else {
        out.has_front = true;
        out.guest = {File(spec.size), std::vector<Kind>(spec.size / sector, Kind::absent)};
        put_tables(out.file, spec, out);
        std::copy_n(footer(spec, out.header_at).begin(), sector, out.file.begin());
        std::vector<VhdBlock> blocks = spec.blocks;
        if (spec.shuffle != 0) std::shuffle(blocks.begin(), blocks.end(), random);
        for (const VhdBlock& block : blocks) {
            put_block(spec, block, out);
            if (spec.shuffle != 0) out.file.resize(out.file.size() + random() % 4 * sector);
        }
    }
    out.data_end = out.footer_at = out.file.size();
    const File end = footer(spec, out.header_at);
    out.file.insert(out.file.end(), end.begin(), end.end() - (spec.short_footer ? 1 : 0));
    return out;
}

std::vector<VhdBlock> vhd_mixture(uint64_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<VhdBlock> blocks;
    for (uint64_t i = 0; i != count; ++i) {
        constexpr Claims ways[] = {Claims::all, Claims::mixed, Claims::mixed, Claims::none};
        const uint64_t way = random() % 6;
        if (way < 4) blocks.push_back({i, static_cast<uint32_t>(seed * 1000 + i), ways[way]});
    }
    return blocks;
}

File utf16le(std::u16string_view text) {
    File out;
    for (const char16_t unit : text) {
        out.push_back(static_cast<byte>(unit & 0xFF));
        out.push_back(static_cast<byte>(unit >> 8));
    }
    return out;
}

}  // namespace vdisk::test
