// SPDX-License-Identifier: BSL-1.0
// A file as it will be once its log is replayed, without a write: what the log says lies over it.
#pragma once

#include <vdisk/format/vhdx/log.hpp>
#include <vdisk/format/vhdx/patches.hpp>

namespace vdisk::vhdx {

/// More updates than so many, 64 MiB of data, are not held in memory: such a log has to be
/// replayed.
inline constexpr uint64_t max_updates = 16384;

/// A handle: the patches, which are sorted, belong to an Overlay, which outlives it.
template <Storage S>
class Overlaid {
public:
    Overlaid(S base, std::span<const Patch> patches, uint64_t size)
        : base_(std::move(base)), patches_(patches), size_(size) {}

    [[nodiscard]] const S& base() const { return base_; }
    [[nodiscard]] bool is_plain() const { return patches_.empty() && size_ == 0; }
    [[nodiscard]] uint64_t size() const {
        const uint64_t size = base_.size();
        return size_ > size ? size_ : size;
    }

    Status read(uint64_t at, MutBytes out) const {
        if (patches_.empty() && size_ == 0) [[likely]]
            return base_.read(at, out);
        if (!fits(at, out.size(), size())) return invalid("vhdx: read past the end");
        const uint64_t stored = base_.size();
        const uint64_t rest = at < stored ? stored - at : 0;
        const size_t inside = rest < out.size() ? static_cast<size_t>(rest) : out.size();
        if (inside > 0) {
            if (Status got = base_.read(at, out.first(inside)); !got) return got;
        }
        std::memset(out.data() + inside, 0, out.size() - inside);
        for (size_t i = first_patch(patches_, at); i < patches_.size(); ++i) {
            if (patches_[i].at >= at + out.size()) break;
            lay(patches_[i], at, out);
        }
        return {};
    }

    /// Not across the edge of a sector of 4096 bytes where there are patches.
    [[nodiscard]] Result<Bytes> view(uint64_t at,
                                     uint64_t length) const requires ViewableStorage<S> {
        const size_t index = first_patch(patches_, at);
        if (index < patches_.size() && patches_[index].at < at + length) {
            const Patch& patch = patches_[index];
            const uint64_t skip = (at - patch.at) & (log_sector - 1);
            if (at < patch.at || !fits(skip, length, log_sector)) {
                return invalid("vhdx: view across the edge of a logged sector");
            }
            const Bytes sector(patch.data == nullptr ? zeros.data() : patch.data, log_sector);
            return sector.subspan(static_cast<size_t>(skip), static_cast<size_t>(length));
        }
        // What the replay adds.
        if (at >= base_.size() && length <= log_sector && fits(at, length, size())) {
            return Bytes(zeros).first(static_cast<size_t>(length));
        }
        return base_.view(at, length);
    }

    [[nodiscard]] Result<Hole> hole(uint64_t at, uint64_t length) const requires SparseStorage<S> {
        if (is_plain()) return base_.hole(at, length);
        return Hole{false, length};
    }

private:
    static constexpr std::array<byte, log_sector> zeros{};

    static void lay(const Patch& patch, uint64_t at, MutBytes out) {
        const uint64_t from = at > patch.at ? at : patch.at;
        const uint64_t end = at + out.size(), patch_end = patch.at + patch.length;
        const auto length = static_cast<size_t>((end < patch_end ? end : patch_end) - from);
        byte* const to = out.data() + (from - at);
        if (patch.data == nullptr) std::memset(to, 0, length);
        else std::memcpy(to, patch.data + (from - patch.at), length);
    }

    S base_;
    std::span<const Patch> patches_;
    uint64_t size_;  ///< that of the file after the replay; 0: as it is
};

/// What a replay would change, held in memory.
template <Allocation A>
class Overlay {
public:
    explicit Overlay(A allocation) : patches_(allocation), data_(std::move(allocation)) {}

    /// Reads the active entries.
    template <Storage S>
    Status load(const S& storage, const Log& log, const ActiveLog& active) {
        active_ = active;
        const uint64_t stored = storage.size();
        const bool grows = active.last_file_offset > stored && !is_aligned(stored, log_sector_bits);
        uint64_t data = grows ? log_sector : 0;
        Status counted = each_update(storage, log, active, [&](const Update& update) -> Status {
            data += update.is_zero ? 0 : log_sector;
            if (++updates_ <= max_updates) return {};
            return fail(Errc::limit, "vhdx: log is too large to be read without replaying it");
        });
        if (!counted) return counted;
        Buffer<A> in_order(patches_.allocation());
        auto patches = in_order.reserve((updates_ + 1) * sizeof(Patch));
        if (!patches) return patches.error();
        auto bytes = data_.reserve(static_cast<size_t>(data) + 1);
        if (!bytes) return bytes.error();
        size_t n = 0;
        byte* to = bytes->data();
        const auto keep = [&](const Patch& patch) {
            std::memcpy(patches->data() + n++ * sizeof patch, &patch, sizeof patch);
        };
        if (grows) {
            // So that no sector that is lent has an end of its own.
            const uint64_t at = align_down(stored, log_sector_bits);
            const auto length = static_cast<size_t>(stored - at);
            if (Status got = storage.read(at, MutBytes(to, length)); !got) return got;
            std::memset(to + length, 0, log_sector - length);
            keep({at, log_sector, to});
            to += log_sector;
        }
        Status read = each_update(storage, log, active, [&](const Update& update) -> Status {
            Patch patch{update.at, update.length, nullptr};
            if (!update.is_zero) {
                if (Status got = load_update(storage, log, update, MutBytes(to, log_sector));
                    !got) {
                    return got;
                }
                patch.data = to;
                to += log_sector;
            }
            keep(patch);
            return {};
        });
        if (!read) return read;
        auto sorted = patches_.reserve(2 * n * sizeof(Patch) + 1);
        if (!sorted) return sorted.error();
        const auto count = Flattening<A>(patches_.allocation())
                               .run({reinterpret_cast<const Patch*>(patches->data()), n},
                                    {reinterpret_cast<Patch*>(sorted->data()), 2 * n});
        if (!count) return count.error();
        count_ = *count;
        return {};
    }

    /// The file with the log over it.
    template <Storage S>
    [[nodiscard]] Overlaid<S> over(S storage) const {
        const auto* first = reinterpret_cast<const Patch*>(patches_.bytes().data());
        return Overlaid<S>(std::move(storage), {first, count_}, active_.last_file_offset);
    }

    [[nodiscard]] const ActiveLog& active() const { return active_; }
    [[nodiscard]] size_t updates() const { return updates_; }

private:
    Buffer<A> patches_;
    Buffer<A> data_;
    size_t count_ = 0;    ///< of the patches
    size_t updates_ = 0;  ///< as the log has them
    ActiveLog active_;
};

}  // namespace vdisk::vhdx
