// SPDX-License-Identifier: BSL-1.0
// Finds the entries of a log that count ([MS-VHDX] 2.3.2). Hostile logs cost
// time in proportion to their length.
#pragma once

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/format/vhdx/header.hpp>
#include <vdisk/format/vhdx/log_disk.hpp>

namespace vdisk::vhdx {

/// The entries to replay: from `tail` on, each behind the other in the ring.
struct ActiveLog {
    uint64_t tail = 0;                 ///< offset in the log
    uint64_t entries = 0;              ///< 0: nothing to replay
    uint64_t sequence = 0;             ///< of the last entry
    uint64_t flushed_file_offset = 0;  ///< the file is at least so long, or was cut
    uint64_t last_file_offset = 0;     ///< and so long after the replay
};

namespace log {

/// What is known of the entry that begins at a sector of the log.
struct Slot {
    enum class Known : uint8_t { nothing, none, valid };
    uint64_t sequence;
    uint32_t sectors;  ///< of the entry
    uint32_t tail;     ///< sector of the oldest entry that it says
    uint32_t last;     ///< sector of the last entry of the run from here on, and
    uint32_t length;   ///< the sectors of that run; 0: not known yet
    Known known;
};

template <Storage S, Allocation A>
class Search {
public:
    static Result<Search> make(const S& storage, const Log& log, A allocation) {
        Search search(storage, log, std::move(allocation));
        const size_t slots = size_t{search.sectors_} * sizeof(Slot);
        auto memory = search.memory_.reserve(slots + log_sector);
        if (!memory) return memory.error();
        std::memset(memory->data(), 0, slots);
        return search;
    }

    /// A run of entries is good if the last of them says that the oldest is the first. Of good runs
    /// that with the highest number counts.
    Result<ActiveLog> run() {
        for (uint32_t i = 0; i < sectors_; ++i) {
            if (Status looked = look(i); !looked) return looked.error();
        }
        const Slot* best = nullptr;
        uint32_t tail = 0;
        for (uint32_t i = 0; i < sectors_; ++i) {
            if (slot(i).known != Slot::Known::valid) continue;
            follow(i);
            const Slot& last = slot(slot(i).last);
            if (last.tail != i || slot(i).length > sectors_) continue;
            if (best != nullptr && last.sequence <= best->sequence) continue;
            best = &last;
            tail = i;
        }
        if (best == nullptr) {
            return corrupt("vhdx: the header names a log that has no valid entries",
                           {Error::none, log_.at});
        }
        return active(tail, *best);
    }

private:
    Search(const S& storage, const Log& log, A allocation)
        : storage_(storage),
          log_(log),
          sectors_(static_cast<uint32_t>(log.length >> log_sector_bits)),
          memory_(std::move(allocation)),
          budget_(16 * log.length) {}

    [[nodiscard]] Slot& slot(uint32_t i) const {
        return reinterpret_cast<Slot*>(memory_.bytes().data())[i];
    }
    /// Behind the slots: too large for a stack.
    [[nodiscard]] MutBytes sector() const {
        return memory_.bytes()
            .subspan(size_t{sectors_} * sizeof(Slot))
            .template first<log_sector>();
    }
    [[nodiscard]] uint32_t next(uint32_t i) const {
        const uint32_t end = i + slot(i).sectors;
        return end < sectors_ ? end : end - sectors_;
    }
    [[nodiscard]] uint64_t place(uint32_t i) const {
        return log_.at + (uint64_t{i < sectors_ ? i : i - sectors_} << log_sector_bits);
    }

    Status look(uint32_t i) {
        Slot& out = slot(i);
        out.known = Slot::Known::none;
        const auto header = load<LogEntryHeader>(storage_, place(i));
        if (!header) return header.error();
        const LogEntryHeader& h = *header;
        const uint32_t length = h.entry_length.value();
        if (h.signature != entry_signature || h.log_guid != log_.guid) return {};
        if (length == 0 || !is_aligned(length, log_sector_bits) || length > log_.length) return {};
        if (!is_aligned(h.tail.value(), log_sector_bits) || h.tail.value() >= log_.length)
            return {};
        if (h.sequence_number.value() == 0) return {};
        const uint64_t count = h.descriptor_count.value();
        const auto sectors = static_cast<uint32_t>(length >> log_sector_bits);
        if (descriptor_sectors(count) > sectors) return {};
        // Entries that lie over each other would be looked at again and again.
        if (budget_ < length) {
            return fail(Errc::limit, "vhdx: log entries overlap too often",
                        {Error::none, place(i)});
        }
        budget_ -= length;
        const auto valid = is_valid(i, h, sectors);
        if (!valid) return valid.error();
        if (!*valid) return {};
        out = {h.sequence_number.value(),
               sectors,
               static_cast<uint32_t>(h.tail.value() >> log_sector_bits),
               0,
               0,
               Slot::Known::valid};
        return {};
    }

    Result<bool> is_valid(uint32_t i, const LogEntryHeader& h, uint32_t sectors) {
        uint32_t sum = 0;
        uint64_t data = 0;  // descriptors of data so far
        uint64_t left = h.descriptor_count.value();
        const uint64_t described = descriptor_sectors(left);
        for (uint32_t k = 0; k < sectors; ++k) {
            const MutBytes sector = this->sector();
            if (Status got = storage_.read(place(i + k), sector); !got) return got.error();
            if (k < described) {
                if (!descriptors_right(sector, k == 0 ? 2 : 0, h, left, data)) return false;
            } else if (k < described + data && !data_right(sector, h)) {
                return false;
            }
            if (k == 0) std::memset(sector.data() + 4, 0, 4);
            sum = crc32c(sector, sum);
        }
        return described + data <= sectors && sum == h.checksum.value();
    }

    // A sector of descriptors, the first of them number `index` in it.
    static bool descriptors_right(Bytes sector, size_t index, const LogEntryHeader& h,
                                  uint64_t& left, uint64_t& data) {
        for (; index < log_sector / sizeof(LogDescriptor) && left > 0; ++index, --left) {
            const auto d = load<LogDescriptor>(sector.subspan(index * sizeof(LogDescriptor)));
            const bool is_data = d.signature == data_signature;
            if (!is_data && d.signature != zero_signature) return false;
            if (d.sequence_number.value() != h.sequence_number.value()) return false;
            if (!is_aligned(d.file_offset.value(), log_sector_bits)) return false;
            const uint64_t length = is_data ? log_sector : load_le64(d.leading_bytes.data());
            if (!is_aligned(length, log_sector_bits)) return false;
            if (!fits(d.file_offset.value(), length, uint64_t{1} << 63)) return false;
            data += is_data ? 1 : 0;
        }
        return true;
    }

    static bool data_right(Bytes sector, const LogEntryHeader& h) {
        const uint64_t sequence = h.sequence_number.value();
        return std::memcmp(sector.data(), sector_signature.data(), 4) == 0 &&
               load_le32(sector.data() + 4) == sequence >> 32 &&
               load_le32(sector.data() + log_sector - 4) == (sequence & 0xFFFFFFFF);
    }

    // Finds the end of the run from `first` on, and remembers it for all on the way: numbers grow,
    // so no run leads back to itself.
    void follow(uint32_t first) {
        uint32_t end = first;
        while (slot(end).length == 0) {
            const uint32_t to = next(end);
            const Slot& follower = slot(to);
            const bool goes_on =
                follower.known == Slot::Known::valid && follower.sequence == slot(end).sequence + 1;
            if (!goes_on) {
                slot(end).last = end;
                slot(end).length = slot(end).sectors;
                break;
            }
            end = to;
        }
        const uint32_t last = slot(end).last;
        uint64_t length = slot(end).length;
        // Once more from the front, with the lengths of all that follows.
        uint64_t total = length;
        for (uint32_t i = first; i != end; i = next(i)) total += slot(i).sectors;
        for (uint32_t i = first; i != end; i = next(i)) {
            slot(i).last = last;
            slot(i).length = total > 0xFFFFFFFF ? 0xFFFFFFFF : static_cast<uint32_t>(total);
            total -= slot(i).sectors;
        }
    }

    Result<ActiveLog> active(uint32_t tail, const Slot& last) const {
        ActiveLog out{.tail = uint64_t{tail} << log_sector_bits, .sequence = last.sequence};
        uint32_t i = tail;
        for (;; i = next(i)) {
            ++out.entries;
            if (&slot(i) == &last) break;
        }
        const auto header = load<LogEntryHeader>(storage_, place(i));
        if (!header) return header.error();
        out.flushed_file_offset = header->flushed_file_offset.value();
        out.last_file_offset = header->last_file_offset.value();
        return out;
    }

    const S& storage_;
    const Log& log_;
    uint32_t sectors_;
    Buffer<A> memory_;
    uint64_t budget_;  ///< bytes that may still be looked at
};

}  // namespace log

/// Which entries of the log are to be replayed. Memory: 32 bytes for each of its sectors, and one
/// of them.
template <Storage S, Allocation A>
Result<ActiveLog> find_active(const S& storage, const Log& log, A allocation) {
    if (log.guid.is_nil()) return ActiveLog{};
    auto search = log::Search<S, A>::make(storage, log, std::move(allocation));
    if (!search) return search.error();
    const auto found = search->run();
    if (!found) return found;
    if (found->flushed_file_offset > storage.size()) {
        return corrupt("vhdx: the file is shorter than its log knows it",
                       {found->flushed_file_offset});
    }
    return found;
}

}  // namespace vdisk::vhdx
