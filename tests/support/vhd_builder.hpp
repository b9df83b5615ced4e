// SPDX-License-Identifier: BSL-1.0
// VHD images made byte by byte from a short description, without the library. Numbers stand where
// the specification has them; tests then damage them and make the checksums right again.
#pragma once

#include "support/image_builder.hpp"

namespace vdisk::test {

/// Which sectors of a block its bitmap claims.
enum class Claims : uint8_t { all, none, mixed };

/// A block that is allocated; all of it is noise, claimed or not.
struct VhdBlock {
    uint64_t index = 0;
    uint32_t seed = 1;
    Claims claims = Claims::mixed;
};

struct VhdLocator {
    std::string code;  ///< "W2ru" and so on
    File path;
    uint32_t space = 512;
};

struct VhdSpec {
    uint32_t type = 3;
    uint64_t size = 0;
    unsigned block_bits = 12;
    std::vector<VhdBlock> blocks = {};
    uint32_t shuffle = 1;           ///< seed of order and gaps of the blocks; 0: ascending, no gaps
    uint64_t gap_at_front = 0;      ///< sectors between front footer and header
    uint64_t gap_at_table = 0;      ///< sectors between header and table
    bool table_first = false;       ///< before the header
    uint32_t more_entries = 0;      ///< of the table than the disk needs
    bool short_footer = false;      ///< 511 bytes at the end
    uint8_t id = 1, parent_id = 0;  ///< each of the 16 bytes
    std::string creator = "test";
    uint32_t creator_version = 0x00010000;
    bool map = false;  ///< XenServer's, of blocks that claim all, behind the table
    std::array<uint16_t, 3> geometry = {65535, 16, 255};
    std::u16string unicode_name = {};
    std::vector<VhdLocator> locators = {};
};

/// An image, and where its parts are.
struct BuiltVhd : Built {
    uint64_t header_at = 0, table_at = 0;
    uint64_t footer_at = 0;  ///< that at the end
    bool has_front = false;
    std::map<uint64_t, uint64_t> bitmap_at = {};  ///< of each block that is allocated
    std::vector<uint64_t> locator_at = {};        ///< where the header describes each
    uint64_t map_header_at = 0, map_at = 0;       ///< XenServer's map
};

BuiltVhd build(const VhdSpec& spec);

/// Blocks 0 to `count` - 1 at random: not allocated, or claimed in one of the ways.
std::vector<VhdBlock> vhd_mixture(uint64_t count, uint32_t seed);

File utf16le(std::u16string_view text);

/// Makes the checksum at offset `field` of the structure at `at` right.
void seal(File& file, uint64_t at, uint64_t size, uint64_t field);
/// All checksums of an image that was changed; structures that are no longer inside are left out.
void seal(File& file, const BuiltVhd& image);

}  // namespace vdisk::test
