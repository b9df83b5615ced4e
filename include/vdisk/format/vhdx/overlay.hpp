// SPDX-License-Identifier: BSL-1.0
// A file as it will be once its log is replayed, without a write: what the log says lies over it.
#pragma once

#include <vdisk/format/vhdx/log.hpp>

namespace vdisk::vhdx {

/// More updates than so many, 64 MiB of data, are not held in memory: such a log has to be
/// replayed.
inline constexpr uint64_t max_updates = 16384;

namespace overlay {

/// Later ones hide earlier ones.
struct Patch {
    uint64_t at;
    uint64_t length;
    const byte* data;  ///< log_sector bytes; nullptr: zeros
};

}  // namespace overlay

/// A handle: the patches belong to an Overlay, which outlives it.
template <Storage S>
class Overlaid {
public:
    Overlaid(S base, std::span<const overlay::Patch> patches, uint64_t size)
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
        for (const overlay::Patch& patch : patches_) lay(patch, at, out);
        return {};
    }

    /// Not across the edge of a sector of 4096 bytes where there are patches.
    [[nodiscard]] Result<Bytes> view(uint64_t at,
                                     uint64_t length) const requires ViewableStorage<S> {
        for (size_t i = patches_.size(); i-- > 0;) {
            const overlay::Patch& patch = patches_[i];
            if (!overlaps(at, length, patch.at, patch.length)) continue;
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

    static void lay(const overlay::Patch& patch, uint64_t at, MutBytes out) {
        if (!overlaps(at, out.size(), patch.at, patch.length)) return;
        const uint64_t from = at > patch.at ? at : patch.at;
        const uint64_t end = at + out.size(), patch_end = patch.at + patch.length;
        const auto length = static_cast<size_t>((end < patch_end ? end : patch_end) - from);
        byte* const to = out.data() + (from - at);
        if (patch.data == nullptr) std::memset(to, 0, length);
        else std::memcpy(to, patch.data + (from - patch.at), length);
    }

    S base_;
    std::span<const overlay::Patch> patches_;
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
        grows_ = active.last_file_offset > stored && !is_aligned(stored, log_sector_bits);
        uint64_t data = grows_ ? log_sector : 0;
        count_ = grows_ ? 1 : 0;
        Status counted = each_update(storage, log, active, [&](const Update& update) -> Status {
            data += update.is_zero ? 0 : log_sector;
            if (++count_ <= max_updates) return {};
            return fail(Errc::limit, "vhdx: log is too large to be read without replaying it");
        });
        if (!counted) return counted;
        auto patches = patches_.reserve(count_ * sizeof(overlay::Patch) + 1);
        if (!patches) return patches.error();
        auto bytes = data_.reserve(static_cast<size_t>(data) + 1);
        if (!bytes) return bytes.error();
        size_t n = 0;
        byte* to = bytes->data();
        const auto keep = [&](const overlay::Patch& patch) {
            std::memcpy(patches_.bytes().data() + n++ * sizeof patch, &patch, sizeof patch);
        };
        if (grows_) {
            // So that no sector that is lent has an end of its own.
            const uint64_t at = align_down(stored, log_sector_bits);
            const auto length = static_cast<size_t>(stored - at);
            if (Status got = storage.read(at, MutBytes(to, length)); !got) return got;
            std::memset(to + length, 0, log_sector - length);
            keep({at, log_sector, to});
            to += log_sector;
        }
        return each_update(storage, log, active, [&](const Update& update) -> Status {
            overlay::Patch patch{update.at, update.length, nullptr};
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
    }

    /// The file with the log over it.
    template <Storage S>
    [[nodiscard]] Overlaid<S> over(S storage) const {
        const auto* first = reinterpret_cast<const overlay::Patch*>(patches_.bytes().data());
        return Overlaid<S>(std::move(storage), {first, count_}, active_.last_file_offset);
    }

    [[nodiscard]] const ActiveLog& active() const { return active_; }
    [[nodiscard]] size_t updates() const { return count_ - (grows_ ? 1 : 0); }

private:
    Buffer<A> patches_;
    Buffer<A> data_;
    size_t count_ = 0;    ///< of the patches
    bool grows_ = false;  ///< the first of them is the last sector of the file as it is
    ActiveLog active_;
};

}  // namespace vdisk::vhdx
