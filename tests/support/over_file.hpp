// SPDX-License-Identifier: BSL-1.0
// A file over another that stays as it is: what is written is kept in pages of its own.
#pragma once

#include <unordered_map>

#include <vdisk/storage/power_cut_files.hpp>

#include "support/storages.hpp"
#include "support/workload.hpp"

namespace vdisk::test {

/// Copies share what is below and nothing else. That outlives it, with the numbers of its units.
class OverFile {
public:
    OverFile(const File& base, const CutFiles::Ids& ids)
        : base_(base), ids_(ids), size_(base.size()), shown_(base.size()) {}

    [[nodiscard]] uint64_t size() const { return size_; }

    Status read(uint64_t at, MutBytes out) const {
        if (!fits(at, out.size(), size_)) return invalid("over: read past the end");
        const uint64_t rest = at < shown_ ? shown_ - at : 0;
        const size_t below = std::min<size_t>(out.size(), rest);
        if (below > 0) std::memcpy(out.data(), base_.data() + at, below);
        std::ranges::fill(out.subspan(below), byte{0});
        if (pages_.empty()) return {};
        each(at, out.size(), [&](uint64_t number, size_t into, size_t done, size_t length) {
            const auto page = pages_.find(number);
            if (page != pages_.end()) std::memcpy(&out[done], &page->second[into], length);
        });
        return {};
    }
    Status write(uint64_t at, Bytes in) {
        if (!fits(at, in.size(), size_)) return invalid("over: write past the end");
        each(at, in.size(), [&](uint64_t number, size_t into, size_t done, size_t length) {
            std::memcpy(&page_of(number)[into], &in[done], length);
        });
        return {};
    }
    Status resize(uint64_t size) {
        if (size < size_) {
            shown_ = std::min(shown_, size);
            std::erase_if(pages_, [&](const auto& page) { return page.first * page_size >= size; });
            const size_t kept = size % page_size;
            const auto last = pages_.find(size / page_size);
            if (last != pages_.end()) {
                std::ranges::fill(MutBytes(last->second).subspan(kept), byte{0});
            }
        }
        size_ = size;
        return {};
    }
    Status flush() { return {}; }

    /// By which a unit is known, as CutFiles does.
    [[nodiscard]] uint64_t id(uint64_t unit) const {
        const uint64_t at = unit * CutFiles::unit;
        const auto page = pages_.find(at / page_size);
        if (page != pages_.end()) {
            return CutFiles::id_of(Bytes(page->second).subspan(at % page_size, CutFiles::unit));
        }
        if (at + CutFiles::unit <= shown_ || shown_ == base_.size()) {
            return at < shown_ ? ids_[unit] : 0;
        }
        return at < shown_ ? CutFiles::id_of(Bytes(base_).subspan(at, shown_ - at)) : 0;
    }

private:
    static constexpr size_t page_size = 4096;
    using Page = std::array<byte, page_size>;

    template <class Visit>
    static void each(uint64_t at, size_t length, const Visit& visit) {
        for (size_t done = 0; done < length;) {
            const size_t into = (at + done) % page_size;
            const size_t piece = std::min(page_size - into, length - done);
            visit((at + done) / page_size, into, done, piece);
            done += piece;
        }
    }

    Page& page_of(uint64_t number) {
        const auto [page, is_new] = pages_.try_emplace(number);
        if (!is_new) return page->second;
        const uint64_t at = number * page_size;
        const uint64_t rest = at < shown_ ? std::min<uint64_t>(page_size, shown_ - at) : 0;
        page->second = {};
        if (rest > 0) std::memcpy(page->second.data(), base_.data() + at, rest);
        return page->second;
    }

    const File& base_;
    const CutFiles::Ids& ids_;
    uint64_t size_;
    uint64_t shown_;  ///< so much of the base shows
    std::unordered_map<uint64_t, Page> pages_;
};

static_assert(WritableStorage<OverFile>);

/// The numbers of the sectors of what is below; of disks of up to 64 MiB.
inline const CutFiles::Ids& parent_ids() {
    static const CutFiles::Ids ids = [] {
        CutFiles::Ids out(64_MiB / sector);
        std::array<byte, sector> bytes;
        for (size_t i = 0; i < out.size(); ++i) {
            fill(i * sector, bytes, 0);
            out[i] = CutFiles::id_of(bytes);
        }
        return out;
    }();
    return ids;
}

/// What a guest sees of the first `size` bytes, a number per sector. Nothing is read but tables:
/// what is stored is known.
template <class I>
Result<CutFiles::Ids> sector_ids(const I& image, const OverFile& file, ParentDisk below,
                                 uint64_t size) {
    CutFiles::Ids out(size / sector);
    for (uint64_t at = 0; at < size;) {
        const auto piece = image.lookup(at, size - at);
        if (!piece) return piece.error();
        const uint64_t length = std::min(piece->length, size - at);
        if (length == 0 || length % sector != 0) return corrupt("judge: no whole sectors");
        for (uint64_t done = 0; done < length; done += sector) {
            uint64_t& id = out[(at + done) / sector];
            if (piece->kind == Kind::absent && below.exists)
                id = parent_ids()[(at + done) / sector];
            if (piece->kind == Kind::data) id = file.id((piece->at + done) / sector);
        }
        at += length;
    }
    return out;
}
template <class I>
Result<CutFiles::Ids> sector_ids(const I& image, const OverFile& file, ParentDisk below) {
    return sector_ids(image, file, below, image.size());
}

}  // namespace vdisk::test
