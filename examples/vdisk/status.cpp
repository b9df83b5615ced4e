// SPDX-License-Identifier: BSL-1.0
#include "status.hpp"

#include <algorithm>
#include <array>

#include <sys/stat.h>

namespace tool {

using namespace vdisk;

namespace {

/// Counts the clusters of a qcow2 file that have a refcount, up to `enough`.
class UsedClusters {
public:
    UsedClusters(const Storage& file, const qcow2::Layout& layout) : file_(file), layout_(layout) {}

    Result<uint64_t> count(uint64_t enough) {
        const unsigned block_bits = layout_.cluster_bits + 3u - layout_.refcount_order;
        const uint64_t clusters = blocks(file_.size(), layout_.cluster_bits);
        const uint64_t tables = blocks(clusters, block_bits);
        const uint64_t entries = layout_.refcount_table_bytes / 8;
        uint64_t used = 0;
        for (uint64_t i = 0; i < tables && i < entries && used < enough; ++i) {
            std::array<byte, 8> raw{};
            const uint64_t entry_at = layout_.refcount_table_at + i * 8;
            if (const vdisk::Status read = file_.read(entry_at, raw); !read) return read.error();
            const uint64_t block = load_be64(raw.data()) & ~uint64_t{511};
            if (block == 0) continue;
            const uint64_t left = clusters - (i << block_bits);
            const auto in_block = count_block(block, std::min(left, uint64_t{1} << block_bits));
            if (!in_block) return in_block;
            used += *in_block;
        }
        return used;
    }

private:
    // A bound against tables that say the same again and again; 256 MiB of them describe 8 TiB.
    static constexpr uint64_t max_read = 256_MiB;

    Result<uint64_t> count_block(uint64_t at, uint64_t clusters) {
        const unsigned bits = 1u << layout_.refcount_order;
        uint64_t used = 0;
        for (uint64_t left = (clusters * bits + 7) / 8; left > 0;) {
            const size_t length = static_cast<size_t>(std::min<uint64_t>(left, piece_.size()));
            read_ += length;
            if (read_ > max_read) return fail(Errc::limit, "qcow2: too many refcounts");
            const auto piece = std::span(piece_).first(length);
            if (const vdisk::Status read = file_.read(at, piece); !read) return read.error();
            used += bits < 8 ? count_bits(piece, bits) : count_bytes(piece, bits / 8);
            at += length;
            left -= length;
        }
        return used;
    }
    static uint64_t count_bits(Bytes piece, unsigned bits) {
        uint64_t used = 0;
        for (const byte b : piece) {
            for (unsigned i = 0; i < 8; i += bits) {
                used += (static_cast<unsigned>(b) >> i & ((1u << bits) - 1)) != 0 ? 1 : 0;
            }
        }
        return used;
    }
    static uint64_t count_bytes(Bytes piece, size_t width) {
        uint64_t used = 0;
        for (size_t i = 0; i + width <= piece.size(); i += width) {
            bool any = false;
            for (size_t k = 0; k < width; ++k) any = any || piece[i + k] != byte{0};
            used += any ? 1 : 0;
        }
        return used;
    }

    const Storage& file_;
    const qcow2::Layout& layout_;
    std::array<byte, 4096> piece_{};
    uint64_t read_ = 0;
};

/// As qcow2_detect_metadata_preallocation: more clusters in use than the file system has given
/// the file. An image that cannot be judged is taken as it says.
bool detect_preallocation(const Storage& file, const qcow2::Layout& layout) {
    const uint64_t real = allocated_size(file) >> layout.cluster_bits;
    const uint64_t enough = std::max(real + real / 9, real + 2);
    if (blocks(file.size(), layout.cluster_bits) < enough) return false;
    const auto used = UsedClusters(file, layout).count(enough);
    return used && *used >= enough;
}

void set_offset(BlockStatus& status, uint64_t offset) {
    status.has_offset = true;
    status.offset = offset;
}

/// True if the bytes of the run have a place of their own in the file.
bool has_home(const Extent& extent) {
    return extent.kind == Kind::data || (extent.kind != Kind::compressed && extent.at != 0);
}

}  // namespace

uint64_t allocated_size(const Storage& storage) {
    struct stat info = {};
    if (::fstat(storage.descriptor(), &info) != 0) return 0;
    return static_cast<uint64_t>(info.st_blocks) * 512;
}

Survey::Survey(const Disk& disk) : disk_(&disk) {
    for (const auto& layer : disk.layers()) {
        Known known{.raw = layer.image.format() == Raw::name,
                    .whole = hides_all_below(layer.image)};
        layer.image.visit([&](const auto& image) {
            if constexpr (requires { image.layout().is_fixed(); }) {
                known.checked = known.preallocated = image.layout().is_fixed();
            } else if constexpr (requires { image.layout().leaves_allocated; }) {
                // Blocks are so large that holes in them tell more. What lies over them is no hole.
                known.checked = true;
                known.preallocated = image.storage().is_plain();
            }
        });
        known_.push_back(known);
    }
}

bool Survey::is_preallocated(uint32_t depth) {
    Known& known = known_[depth];
    if (known.checked) return known.preallocated;
    known.checked = true;
    known.preallocated = disk_->layers()[depth].image.visit([](const auto& image) {
        if constexpr (requires { image.layout().refcount_order; }) {
            return detect_preallocation(image.file(), image.layout());
        } else {
            return false;
        }
    });
    return known.preallocated;
}

Result<Extent> Survey::extent(uint32_t depth, uint64_t at, uint64_t length) const {
    const AnyImage& image = disk_->layers()[depth].image;
    return known_[depth].raw ? image.survey(at, length) : image.lookup(at, length);
}

Result<BlockStatus> Survey::at(uint64_t at, uint64_t length) {
    const auto layers = disk_->layers();
    for (uint32_t depth = 0;; ++depth) {
        const Result<Extent> found = extent(depth, at, length);
        if (!found) return found.error();
        BlockStatus out{.length = found->length, .depth = depth, .present = true};
        if (known_[depth].raw) set_offset(out, at);
        else if (has_home(*found)) set_offset(out, found->at);
        switch (found->kind) {
            case Kind::zero: out.zero = true; return out;
            case Kind::compressed: out.data = out.compressed = true; return out;
            case Kind::data:
                out.data = true;
                if (!known_[depth].raw && is_preallocated(depth)) {
                    const auto hole = layers[depth].image.storage().hole(found->at, found->length);
                    if (!hole) return out;
                    out.zero = hole->is_hole;
                    out.length = hole->length;
                }
                return out;
            case Kind::absent: break;
        }
        if (known_[depth].whole) {
            out.zero = true;
            return out;
        }
        // Nobody says anything: zeros, because there is no image below or it is too short.
        const bool is_last = depth + 1 == layers.size();
        if (is_last || at >= layers[depth + 1].image.size()) {
            out.present = false;
            out.zero = true;
            return out;
        }
        length = std::min(found->length, layers[depth + 1].image.size() - at);
    }
}

}  // namespace tool
