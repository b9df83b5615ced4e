// SPDX-License-Identifier: BSL-1.0
// Makes a new qcow version 1 image.
#pragma once

#include <string_view>

#include <vdisk/format/qcow/layout.hpp>

namespace vdisk::qcow {

struct CreateOptions {
    uint64_t size = 0;          ///< bytes the guest sees; rounded up to 512
    uint8_t cluster_bits = 12;  ///< 9 to 16
    uint8_t l2_bits = 9;        ///< log2 of the entries of an L2 table, 6 to 13
    std::string_view backing_file = {};
};

/// Turns `storage` into an empty image; what it held is lost. The header is written last, so that
/// a cut leaves either nothing recognisable or a whole image.
template <WritableStorage S>
Status create(S& storage, const CreateOptions& options) {
    const auto name_length = static_cast<uint32_t>(options.backing_file.size());
    if (options.backing_file.size() > max_name_length) {
        return invalid("qcow: backing file name is too long", {options.backing_file.size()});
    }
    if (options.size == 0 || options.size >> 62 != 0) {
        return invalid("qcow: size is 0 or not below 2^62", {options.size});
    }
    Header h{};
    h.magic = magic;
    h.version = 1;
    if (name_length > 0) h.backing_file_offset = sizeof(Header);
    h.backing_file_size = name_length;
    h.size = blocks(options.size, 9) << 9;
    h.cluster_bits = options.cluster_bits;
    h.l2_bits = options.l2_bits;
    // A table that begins with a sector: no entry of it can tear.
    const uint64_t l1_at = blocks(sizeof(Header) + name_length, 9) << 9;
    h.l1_table_offset = l1_at;

    const auto layout = check(h, ~uint64_t{0});
    if (!layout) return layout.error();
    const uint64_t end = l1_at + layout->l1_entries * 8;
    if (Status emptied = storage.resize(0); !emptied) return emptied;
    if (Status sized = storage.resize(end); !sized) return sized;
    const Bytes name = std::as_bytes(std::span(options.backing_file));
    if (Status put = storage.write(sizeof(Header), name); !put) return put;
    if (Status durable = storage.flush(); !durable) return durable;
    if (Status put = storage.write(0, std::as_bytes(std::span(&h, 1))); !put) return put;
    return storage.flush();
}

}  // namespace vdisk::qcow
