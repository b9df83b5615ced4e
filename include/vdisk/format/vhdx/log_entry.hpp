// SPDX-License-Identifier: BSL-1.0
// An entry of the log as it is put together ([MS-VHDX] 2.3.1): changed sectors, and the head that
// names them.
#pragma once

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/format/vhdx/header.hpp>
#include <vdisk/format/vhdx/log_disk.hpp>

namespace vdisk::vhdx {

/// So many sectors one entry takes at the most: those whose descriptors fill one sector.
inline constexpr size_t max_entry_sectors = 126;
static_assert(descriptor_sectors(max_entry_sectors) == 1);

/// Sectors of 4096 bytes that change together, in memory that is asked for once. Which they are
/// stands in the descriptors of the head.
template <Allocation A>
class LogEntry {
public:
    explicit LogEntry(A allocation) : memory_(std::move(allocation)) {}

    /// Room for `sectors`, at most max_entry_sectors.
    Status reserve(size_t sectors) {
        auto memory = memory_.reserve((sectors + 2) << log_sector_bits);
        if (!memory) return memory.error();
        capacity_ = sectors;
        return {};
    }

    [[nodiscard]] size_t count() const { return count_; }
    [[nodiscard]] size_t capacity() const { return capacity_; }
    /// 4096 bytes for whoever needs them for a moment.
    [[nodiscard]] MutBytes scratch() const { return piece(0); }
    [[nodiscard]] MutBytes sector(size_t index) const { return piece(2 + index); }
    /// Where in the file a sector stands.
    [[nodiscard]] uint64_t at(size_t index) const {
        return load_le64(descriptor(index) + offsetof(LogDescriptor, file_offset));
    }
    /// The sector that stands there; count() if there is none.
    [[nodiscard]] size_t find(uint64_t place) const {
        size_t i = 0;
        while (i < count_ && at(i) != place) ++i;
        return i;
    }
    /// One more, whose bytes are in sector(count()).
    void add(uint64_t place) {
        store_le64(descriptor(count_++) + offsetof(LogDescriptor, file_offset), place);
    }
    void clear() { count_ = 0; }

    /// The head, complete but for its checksum: with the ends of all sectors.
    [[nodiscard]] MutBytes head(const LogEntryHeader& header) const {
        const MutBytes head = piece(1);
        std::memcpy(head.data(), &header, sizeof header);
        for (size_t i = 0; i < count_; ++i) {
            LogDescriptor d{};
            d.signature = data_signature;
            std::memcpy(d.leading_bytes.data(), sector(i).data(), lead);
            std::memcpy(d.trailing_bytes.data(), sector(i).data() + tail_at, tail);
            d.file_offset = at(i);
            d.sequence_number = header.sequence_number;
            std::memcpy(descriptor(i), &d, sizeof d);
        }
        byte* const end = descriptor(count_);
        std::memset(end, 0, static_cast<size_t>(head.data() + head.size() - end));
        return head;
    }

    /// Calls `use(Bytes) -> Status` with a sector as it stands in the log, where marks are in the
    /// place of its ends (2.3.1.4).
    template <class Use>
    Status as_logged(size_t index, uint64_t sequence, Use&& use) const {
        byte* const data = sector(index).data();
        std::array<byte, lead + tail> ends;
        std::memcpy(ends.data(), data, lead);
        std::memcpy(ends.data() + lead, data + tail_at, tail);
        std::memcpy(data, sector_signature.data(), 4);
        store_le32(data + offsetof(LogDataSector, sequence_high),
                   static_cast<uint32_t>(sequence >> 32));
        store_le32(data + tail_at, static_cast<uint32_t>(sequence & 0xFFFFFFFF));
        const Status used = use(Bytes(sector(index)));
        std::memcpy(data, ends.data(), lead);
        std::memcpy(data + tail_at, ends.data() + lead, tail);
        return used;
    }

private:
    // What of a sector stands in its descriptor: before and behind LogDataSector::data.
    static constexpr size_t lead = offsetof(LogDataSector, data);
    static constexpr size_t tail_at = offsetof(LogDataSector, sequence_low);
    static constexpr size_t tail = log_sector - tail_at;

    [[nodiscard]] MutBytes piece(size_t index) const {
        return memory_.bytes().subspan(index << log_sector_bits, log_sector);
    }
    [[nodiscard]] byte* descriptor(size_t index) const {
        return piece(1).data() + sizeof(LogEntryHeader) + index * sizeof(LogDescriptor);
    }

    Buffer<A> memory_;  ///< scratch, head, sectors
    size_t count_ = 0;
    size_t capacity_ = 0;
};

}  // namespace vdisk::vhdx
