// SPDX-License-Identifier: BSL-1.0
// Tables that change. Writes stay in memory until flush(), which brings them to the storage in an
// order that a power cut at any moment cannot turn into damage, only into leaked space.
#pragma once

#include <optional>

#include <vdisk/metadata/metadata.hpp>

namespace vdisk {

/// When a changed sector may reach the medium: each stage is durable before the next begins.
enum class Stage : uint8_t {
    claim,  ///< what says that space is taken: refcounts, a footer at its new end
    link,   ///< what makes data visible: L2, BAT and bitmap entries, contents of new tables
    root,   ///< what points to whole tables or sums up: L1 entries, header fields
};

/// As Metadata, for an image that is written. One thread at a time.
///
/// Guest data does not go through here. Whoever writes it says so (`wrote_data`): it is durable
/// before the links that show it. Reading never writes: where every frame a page could use holds
/// changes, it is read into a spare one.
template <WritableStorage S, Allocation A>
class StagedMetadata {
public:
    static constexpr bool in_place = false;

    static Result<StagedMetadata> make(S storage, CacheShape shape, A allocation) {
        auto pages = metadata::Pages<A>::make(shape, allocation);
        if (!pages) return pages.error();
        StagedMetadata made(std::move(storage), *std::move(pages), std::move(allocation));
        const size_t marks = made.pages_.count() * made.sectors();
        if (auto memory = made.marks_.reserve(marks); !memory) return memory.error();
        std::memset(made.marks_.bytes().data(), clean, marks);
        auto spare = made.spare_.reserve(made.pages_.page_size());
        if (!spare) return spare.error();
        return made;
    }

    [[nodiscard]] const S& storage() const { return storage_; }
    [[nodiscard]] S& storage() { return storage_; }

    /// Guest data lies in this storage instead: it is flushed where data has to be durable.
    void attach_data(S data) { data_.emplace(std::move(data)); }
    [[nodiscard]] bool has_data() const { return data_.has_value(); }
    /// Where guest data lies.
    [[nodiscard]] const S& data() const { return data_ ? *data_ : storage_; }
    [[nodiscard]] S& data() { return data_ ? *data_ : storage_; }

    /// As Metadata::entries; sees changes that are not flushed yet.
    Result<Bytes> entries(uint64_t at, uint64_t length) const {
        if (!metadata::inside(at, storage_.size())) return Bytes(metadata::no_entry);
        const size_t offset = in_page(at);
        uint64_t usable = pages_.page_size() - offset;
        if (usable < metadata::entry_size) return straddling(at);
        const auto page = read_page(at >> pages_.page_bits());
        if (!page) return page.error();
        if (usable > storage_.size() - at) usable = storage_.size() - at;
        if (usable > length) usable = length;
        return Bytes(*page + offset, static_cast<size_t>(usable));
    }

    /// The big-endian entry at `at`.
    Result<uint64_t> be64(uint64_t at) const {
        const auto bytes = entries(at, metadata::entry_size);
        if (!bytes) return bytes.error();
        return load_be64(bytes->data());
    }

    /// The little-endian entry at `at`.
    Result<uint64_t> le64(uint64_t at) const {
        const auto bytes = entries(at, metadata::entry_size);
        if (!bytes) return bytes.error();
        return load_le64(bytes->data());
    }
    /// The big-endian entry of 4 bytes at `at`, a multiple of 4.
    Result<uint32_t> be32(uint64_t at) const {
        const auto bytes = entries(at & ~uint64_t{7}, metadata::entry_size);
        if (!bytes) return bytes.error();
        return load_be32(bytes->data() + (at & 4));
    }

    /// Changes table bytes; they must lie inside the storage. May write changes back to make room,
    /// so what belongs together is put in the order of its stages: claims, then links, then roots.
    Status put(uint64_t at, Bytes in, Stage stage) {
        if (!fits(at, in.size(), storage_.size())) return invalid("metadata: write past the end");
        while (!in.empty()) {
            const size_t offset = in_page(at);
            const size_t room = sector_size - (offset & (sector_size - 1));
            const Bytes piece = in.first(in.size() < room ? in.size() : room);
            const auto index = writable_page(at >> pages_.page_bits());
            if (!index) return index.error();
            uint8_t& mark = this->mark(*index, offset / sector_size);
            if (mark != clean && mark != mark_of(stage)) {
                // Tables of two stages do not share a sector; a sector that changes its stage
                // must not drag the older change along.
                if (Status flushed = write_back(); !flushed) return flushed;
            }
            std::memcpy(pages_.frame(*index) + offset, piece.data(), piece.size());
            if (mark == clean) ++dirty_[static_cast<size_t>(stage)];
            mark = mark_of(stage);
            at += piece.size();
            in = in.subspan(piece.size());
        }
        return {};
    }

    /// Changes the big-endian entry at `at`.
    Status put_be64(uint64_t at, uint64_t value, Stage stage) {
        std::array<byte, 8> bytes{};
        store_be64(bytes.data(), value);
        return put(at, bytes, stage);
    }

    /// Changes the big-endian entry of 4 bytes at `at`.
    Status put_be32(uint64_t at, uint32_t value, Stage stage) {
        std::array<byte, 4> bytes{};
        store_be32(bytes.data(), value);
        return put(at, bytes, stage);
    }

    /// Guest data was written to the storage since the last flush.
    void wrote_data() { data_pending_ = true; }

    /// When it succeeds, all data and all changes are durable. Changes that the storage failed to
    /// take are still here and may be flushed again.
    Status flush() {
        if (Status written = write_back(); !written) return written;
        return barrier();
    }

private:
    static constexpr size_t sector_size = 512;
    static constexpr uint8_t clean = 0;
    static constexpr size_t stages = 3;

    StagedMetadata(S storage, metadata::Pages<A> pages, A allocation)
        : storage_(std::move(storage)),
          pages_(std::move(pages)),
          marks_(allocation),
          spare_(std::move(allocation)) {}

    static constexpr uint8_t mark_of(Stage stage) { return static_cast<uint8_t>(stage) + 1; }
    [[nodiscard]] size_t sectors() const { return pages_.page_size() / sector_size; }
    [[nodiscard]] size_t in_page(uint64_t at) const {
        return static_cast<size_t>(at & (pages_.page_size() - 1));
    }
    [[nodiscard]] uint8_t& mark(size_t index, size_t sector) const {
        return reinterpret_cast<uint8_t*>(marks_.bytes().data())[index * sectors() + sector];
    }
    [[nodiscard]] bool is_clean(size_t index) const {
        for (size_t sector = 0; sector < sectors(); ++sector) {
            if (mark(index, sector) != clean) return false;
        }
        return true;
    }

    // Past the end of the file a page is zeros, as the file will be when it grows.
    Status load(uint64_t number, MutBytes page) const {
        const uint64_t at = number << pages_.page_bits();
        const uint64_t rest = at < storage_.size() ? storage_.size() - at : 0;
        const size_t length = rest < page.size() ? static_cast<size_t>(rest) : page.size();
        std::memset(page.data() + length, 0, page.size() - length);
        return storage_.read(at, page.first(length));
    }

    [[nodiscard]] size_t clean_victim(uint64_t number) const {
        return pages_.victim(number, [this](size_t index) { return is_clean(index); });
    }

    Result<const byte*> read_page(uint64_t number) const {
        size_t index = pages_.find(number);
        if (index == pages_.none) index = clean_victim(number);
        else return static_cast<const byte*>(pages_.frame(index));
        const bool is_spare = index == pages_.none;
        byte* const page = is_spare ? spare_.bytes().data() : pages_.frame(index);
        if (Status read = load(number, MutBytes(page, pages_.page_size())); !read) {
            return read.error();
        }
        if (!is_spare) pages_.assign(index, number);
        return static_cast<const byte*>(page);
    }

    Result<size_t> writable_page(uint64_t number) {
        size_t index = pages_.find(number);
        if (index != pages_.none) return index;
        index = clean_victim(number);
        if (index == pages_.none) {
            if (Status flushed = write_back(); !flushed) return flushed.error();
            index = clean_victim(number);
        }
        const MutBytes page(pages_.frame(index), pages_.page_size());
        if (Status read = load(number, page); !read) return read.error();
        pages_.assign(index, number);
        return index;
    }

    // An entry that lies in two pages, of a table that is not 8-aligned in the file.
    Result<Bytes> straddling(uint64_t at) const {
        for (size_t i = 0; i < split_.size(); ++i) {
            const auto page = read_page((at + i) >> pages_.page_bits());
            if (!page) return page.error();
            split_[i] = (*page)[in_page(at + i)];
        }
        return Bytes(split_);
    }

    // All changes to the storage, each stage durable before the next; the last need not be yet.
    Status write_back() {
        for (size_t stage = 0; stage < stages; ++stage) {
            if (dirty_[stage] == 0) continue;
            // What this stage relies on: lower stages and, for all but claims, guest data.
            if (stage > 0) {
                if (Status durable = barrier(); !durable) return durable;
            }
            if (Status written = write_stage(static_cast<Stage>(stage)); !written) return written;
        }
        return {};
    }

    Status barrier() {
        if (data_ && data_pending_) {
            if (Status flushed = data_->flush(); !flushed) return flushed;
            data_pending_ = false;
        }
        if (!data_pending_ && !unflushed_) return {};
        if (Status flushed = storage_.flush(); !flushed) return flushed;
        data_pending_ = unflushed_ = false;
        return {};
    }

    Status write_stage(Stage stage) {
        for (size_t index = 0; index < pages_.count() && dirty_[size_t(stage)] > 0; ++index) {
            if (!pages_.is_used(index)) continue;
            for (size_t sector = 0; sector < sectors();) {
                size_t end = sector;
                while (end < sectors() && mark(index, end) == mark_of(stage)) ++end;
                if (end == sector) {
                    ++sector;
                    continue;
                }
                if (Status written = write_sectors(index, sector, end); !written) return written;
                for (; sector < end; ++sector) {
                    mark(index, sector) = clean;
                    --dirty_[size_t(stage)];
                }
            }
        }
        return {};
    }

    Status write_sectors(size_t index, size_t first, size_t end) {
        const uint64_t at =
            (pages_.number(index) << pages_.page_bits()) + uint64_t{first} * sector_size;
        const uint64_t rest = storage_.size() - at;
        size_t length = (end - first) * sector_size;
        if (length > rest) length = static_cast<size_t>(rest);
        unflushed_ = true;
        return storage_.write(at, Bytes(pages_.frame(index) + first * sector_size, length));
    }

    S storage_;
    std::optional<S> data_;  ///< where guest data lies, if not in storage_
    metadata::Pages<A> pages_;
    Buffer<A> marks_;  ///< a byte per sector of every frame: clean, or its stage + 1
    Buffer<A> spare_;  ///< one page, for reading when all frames hold changes
    std::array<size_t, stages> dirty_{};  ///< sectors that wait, by stage
    bool data_pending_ = false;           ///< guest data that may not be durable
    bool unflushed_ = false;              ///< table sectors that may not be durable
    mutable std::array<byte, metadata::entry_size> split_{};
};

}  // namespace vdisk
