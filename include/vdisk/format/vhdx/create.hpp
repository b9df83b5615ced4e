// SPDX-License-Identifier: BSL-1.0
// Makes a new VHDX image.
#pragma once

#include <vdisk/core/random.hpp>
#include <vdisk/format/vhdx/new_locator.hpp>

namespace vdisk::vhdx {

struct CreateOptions {
    uint64_t size = 0;              ///< bytes the guest sees; rounded up to a logical sector
    uint8_t block_bits = 25;        ///< 20 to 28
    uint8_t sector_bits = 9;        ///< of a logical sector: 9 or 12
    uint8_t physical_bits = 12;     ///< of a physical sector: 9 or 12
    uint32_t log_length = 1 << 20;  ///< whole MiB
    bool fixed = false;             ///< all blocks get their place at once
    bool is_child = false;          ///< differencing: `parent` counts
    ParentLink parent = {};
    Guid virtual_disk_id = {};  ///< nil: a new one. A child has that of its parent (2.6.1.2)
    std::string_view creator = "vdisk";  ///< ASCII
};

namespace create_parts {

inline constexpr uint64_t log_at = mib;

struct Plan {
    Layout layout;
    uint64_t end = 0;  ///< of the file
};

inline Result<Plan> plan(const CreateOptions& o) {
    if ((o.sector_bits != 9 && o.sector_bits != 12) ||
        (o.physical_bits != 9 && o.physical_bits != 12)) {
        return invalid("vhdx: sector size is neither 512 nor 4096");
    }
    if (o.block_bits < 20 || o.block_bits > 28) {
        return invalid("vhdx: block size is not between 1 and 256 MiB", {o.block_bits});
    }
    if (o.size == 0 || o.size > max_size) {
        return invalid("vhdx: size is 0 or beyond 64 TiB", {o.size});
    }
    if (o.log_length == 0 || !is_aligned(o.log_length, mib_bits) || o.log_length > max_log_bytes) {
        return invalid("vhdx: log length is not whole MiB, 1 GiB at most", {o.log_length});
    }
    if (o.is_child && o.fixed) return invalid("vhdx: a differencing image is not fixed");
    Plan out;
    Layout& l = out.layout;
    l.size = blocks(o.size, o.sector_bits) << o.sector_bits;
    l.block_bits = o.block_bits;
    l.sector_bits = o.sector_bits;
    l.physical_bits = o.physical_bits;
    l.leaves_allocated = o.fixed;
    l.has_parent = o.is_child;
    l.log = {log_at, o.log_length, {}};
    l.metadata_at = log_at + o.log_length;
    l.metadata_length = static_cast<uint32_t>(mib);
    l.bat_at = l.metadata_at + l.metadata_length;
    l.bat_length = static_cast<uint32_t>(blocks(l.bat_entries() * 8, mib_bits) << mib_bits);
    out.end = l.bat_at + l.bat_length;
    if (o.fixed) out.end += l.payload_blocks() << l.block_bits;
    return out;
}

template <WritableStorage S>
Status put(S& storage, uint64_t at, const auto& structure) {
    return storage.write(at, std::as_bytes(std::span(&structure, 1)));
}

template <WritableStorage S>
Status put_headers(S& storage, const Layout& layout, auto& ids) {
    Header h{};
    h.signature = header_signature;
    h.version = 1;
    h.file_write_guid = ids();
    h.data_write_guid = ids();
    h.log_length = static_cast<uint32_t>(layout.log.length);
    h.log_offset = layout.log.at;
    for (size_t i = 0; i < header_places.size(); ++i) {
        std::array<byte, header_bytes> bytes{};
        h.sequence_number = i + 1;
        h.checksum = 0;
        std::memcpy(bytes.data(), &h, sizeof h);
        h.checksum = crc32c(bytes);
        std::memcpy(bytes.data(), &h, sizeof h);
        if (Status done = storage.write(header_places[i], bytes); !done) return done;
    }
    return {};
}

template <WritableStorage S>
Status put_regions(S& storage, const Layout& layout) {
    std::array<byte, 512> bytes{};
    RegionTableHeader h{};
    h.signature = region_signature;
    h.entry_count = 2;
    RegionTableEntry e[2]{};
    e[0].guid = region::bat;
    e[0].file_offset = layout.bat_at;
    e[0].length = layout.bat_length;
    e[0].required = 1;
    e[1].guid = region::metadata;
    e[1].file_offset = layout.metadata_at;
    e[1].length = layout.metadata_length;
    e[1].required = 1;
    std::memcpy(bytes.data(), &h, sizeof h);
    std::memcpy(bytes.data() + sizeof h, e, sizeof e);
    uint32_t sum = crc32c(bytes);
    constexpr std::array<byte, 512> zeros{};
    for (uint64_t done = bytes.size(); done < region_table_bytes; done += zeros.size()) {
        sum = crc32c(zeros, sum);
    }
    store_le32(bytes.data() + 4, sum);
    for (const uint64_t place : region_table_places) {
        if (Status done = storage.write(place, bytes); !done) return done;
    }
    return {};
}

/// The metadata region: its table and its items, one behind the other.
template <WritableStorage S>
class Metadata {
public:
    Metadata(S& storage, uint64_t at) : storage_(storage), at_(at) {}

    Status add(const Guid& id, uint32_t flags, Bytes item) {
        MetadataTableEntry e{};
        e.item_id = id;
        e.offset = static_cast<uint32_t>(end_);
        e.length = static_cast<uint32_t>(item.size());
        e.flags = flags;
        const uint64_t to = at_ + sizeof(MetadataTableHeader) + count_++ * sizeof e;
        if (Status done = put(storage_, to, e); !done) return done;
        const Status done = storage_.write(at_ + end_, item);
        end_ += blocks(item.size(), 3) << 3;
        return done;
    }
    Status end() {
        MetadataTableHeader h{};
        h.signature = metadata_signature;
        h.entry_count = static_cast<uint16_t>(count_);
        return put(storage_, at_, h);
    }

private:
    S& storage_;
    uint64_t at_;
    uint64_t end_ = metadata_table_bytes;
    uint64_t count_ = 0;
};

template <WritableStorage S>
Status put_locator(Metadata<S>& metadata, const ParentLink& parent) {
    Locator locator;
    Status done = put_link(locator, parent);
    if (done) done = put_paths(locator, parent);
    if (!done) return done;
    return metadata.add(item::parent_locator, item_flag::required, locator.bytes());
}

template <WritableStorage S>
Status put_metadata(S& storage, const Layout& layout, const CreateOptions& o, auto& ids) {
    Metadata<S> metadata(storage, layout.metadata_at);
    FileParameters parameters{};
    parameters.block_size = static_cast<uint32_t>(layout.block_size());
    parameters.flags = (o.fixed ? parameter::leave_blocks_allocated : 0u) |
                       (o.is_child ? parameter::has_parent : 0u);
    le64 size{};
    size = layout.size;
    const Guid id = o.virtual_disk_id.is_nil() ? ids() : o.virtual_disk_id;
    le32 logical{}, physical{};
    logical = uint32_t{1} << layout.sector_bits;
    physical = uint32_t{1} << layout.physical_bits;
    constexpr uint32_t disk = item_flag::virtual_disk | item_flag::required;
    const auto add = [&](const Guid& item_id, uint32_t flags, const auto& item) {
        return metadata.add(item_id, flags, std::as_bytes(std::span(&item, 1)));
    };
    Status done = add(item::file_parameters, item_flag::required, parameters);
    if (done) done = add(item::virtual_disk_size, disk, size);
    if (done) done = add(item::virtual_disk_id, disk, id);
    if (done) done = add(item::logical_sector_size, disk, logical);
    if (done) done = add(item::physical_sector_size, disk, physical);
    if (done && o.is_child) done = put_locator(metadata, o.parent);
    return done ? metadata.end() : done;
}

// All blocks of a fixed image, one behind the other.
template <WritableStorage S>
Status put_fixed_bat(S& storage, const Layout& layout) {
    uint64_t home = layout.bat_at + layout.bat_length;
    for (uint64_t number = 0; number < layout.payload_blocks(); ++number) {
        le64 e{};
        e = home | static_cast<uint64_t>(State::fully_present);
        if (Status done = put(storage, layout.entry_at(number), e); !done) return done;
        home += layout.block_size();
    }
    return {};
}

}  // namespace create_parts

/// Turns `storage` into an empty image; what it held is lost. The identifier at the front is
/// written last, so that a cut leaves either nothing recognisable or a whole image.
template <WritableStorage S, IdSource I>
Status create(S& storage, const CreateOptions& options, I ids) {
    const auto plan = create_parts::plan(options);
    if (!plan) return plan.error();
    if (Status emptied = storage.resize(0); !emptied) return emptied;
    Status done = storage.resize(plan->end);
    if (done) done = create_parts::put_headers(storage, plan->layout, ids);
    if (done) done = create_parts::put_regions(storage, plan->layout);
    if (done) done = create_parts::put_metadata(storage, plan->layout, options, ids);
    if (done && options.fixed) done = create_parts::put_fixed_bat(storage, plan->layout);
    if (done) done = storage.flush();
    if (!done) return done;
    FileIdentifier identifier{};
    identifier.signature = file_signature;
    const MutBytes creator(identifier.creator);
    const auto named = utf16_from_utf8(options.creator, ByteOrder::little, creator);
    if (!named) return named.error();
    done = create_parts::put(storage, 0, identifier);
    return done ? storage.flush() : done;
}

}  // namespace vdisk::vhdx
