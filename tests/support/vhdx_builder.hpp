// SPDX-License-Identifier: BSL-1.0
// VHDX images made byte by byte from a short description, without the library. Numbers stand where
// the specification has them; tests then damage them and make the checksums right again.
#pragma once

#include "support/image_builder.hpp"

namespace vdisk::test {

/// A block as its BAT entry has it. One of state 6 or 7 is stored: all of it is noise.
struct VhdxBlock {
    uint64_t index = 0;
    unsigned state = 6;
    uint32_t seed = 1;
};

struct VhdxSpec {
    uint64_t size = 0;
    unsigned block_bits = 20;
    unsigned sector_bits = 9, physical_bits = 12;
    bool has_parent = false;
    bool is_fixed = false;  ///< only the flag
    std::vector<VhdxBlock> blocks = {};
    uint32_t shuffle = 1;  ///< seed of the order of blocks and items; 0: ascending
    uint64_t log_mib = 1;
    uint8_t id = 1;       ///< each byte of the DataWriteGuid
    bool is_odd = false;  ///< BAT, metadata, log; regions and items that are not known
    std::vector<std::pair<std::u16string, std::u16string>> locator = {};
};

/// An image, and where its parts are.
struct BuiltVhdx : Built {
    uint64_t log_at = 0, log_length = 0, bat_at = 0, metadata_at = 0;
    uint64_t bat_region = 0, metadata_region = 0;  ///< their entries in the first table
    std::map<std::string, uint64_t> item_entry = {}, item_at = {};
    std::map<uint64_t, uint64_t> block_at = {}, bitmap_at = {};  ///< by block, by chunk
    std::map<uint64_t, uint64_t> bitmap_entry_at = {};           ///< by chunk
};

BuiltVhdx build(const VhdxSpec& spec);

/// Blocks 0 to `count` - 1 in any state that the image may have.
std::vector<VhdxBlock> vhdx_mixture(uint64_t count, uint32_t seed, bool has_parent);

/// "{...}" of a GUID whose 16 bytes are all `id`.
std::u16string linkage(uint8_t id);

void set_le16(File& file, uint64_t at, uint64_t value);
void set_le32(File& file, uint64_t at, uint64_t value);
void set_le64(File& file, uint64_t at, uint64_t value);
uint64_t get_le64(const File& file, uint64_t at);

/// Makes the checksum of the structure of `size` bytes at `at` right.
void seal_crc(File& file, uint64_t at, uint64_t size);
/// Those of headers and region tables.
void seal_vhdx(File& file);

/// One update of the file: a sector of data, or zeros where there is none.
struct VhdxUpdate {
    uint64_t at = 0;
    File data = {};
    uint64_t zeros = 0;
};

struct VhdxEntry {
    uint64_t sequence = 1;
    uint64_t tail = 0;  ///< a sector of the log
    std::vector<VhdxUpdate> updates = {};
    uint64_t flushed = 0, last = 0;
    uint8_t guid = 0x77;
    uint64_t more_sectors = 0;  ///< behind what it needs
};

/// The bytes of an entry, sealed.
File log_entry(const VhdxEntry& entry);
/// Puts an entry at a sector of the log, around its end where it has to; says which follows.
uint64_t put_entry(File& file, const BuiltVhdx& image, uint64_t log_sector, const File& bytes);
/// Makes both headers name the log; `guid` 0: none.
void name_log(File& file, uint8_t guid = 0x77);
/// A file whose log holds what `image` has in the sectors at `places`; there it has other bytes.
File with_log(const BuiltVhdx& image, const std::vector<uint64_t>& places, uint64_t log_sector);
/// The file as it is when the updates were made.
void apply(File& file, const VhdxEntry& entry);

}  // namespace vdisk::test
