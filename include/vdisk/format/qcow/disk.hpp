// SPDX-License-Identifier: BSL-1.0
// qcow version 1 as it stands in the file. Big-endian; QEMU's block/qcow.c is the only reference.
#pragma once

#include <vdisk/core/endian.hpp>

namespace vdisk::qcow {

inline constexpr uint32_t magic = 0x514649FB;  // "QFI\xfb"

struct Header {
    be32 magic;
    be32 version;
    be64 backing_file_offset;
    be32 backing_file_size;
    be32 mtime;
    be64 size;
    uint8_t cluster_bits;
    uint8_t l2_bits;
    be16 padding;
    be32 crypt_method;
    be64 l1_table_offset;
};
static_assert(sizeof(Header) == 48 && alignof(Header) == 1);

/// Calls `visit(name, field)` for every field, in the order of the file.
template <class Visit>
constexpr void each_field(const Header& h, Visit&& visit) {
    visit("magic", h.magic);
    visit("version", h.version);
    visit("backing_file_offset", h.backing_file_offset);
    visit("backing_file_size", h.backing_file_size);
    visit("mtime", h.mtime);
    visit("size", h.size);
    visit("cluster_bits", h.cluster_bits);
    visit("l2_bits", h.l2_bits);
    visit("padding", h.padding);
    visit("crypt_method", h.crypt_method);
    visit("l1_table_offset", h.l1_table_offset);
}

namespace entry {
inline constexpr uint64_t compressed = uint64_t{1} << 63;
}

}  // namespace vdisk::qcow
