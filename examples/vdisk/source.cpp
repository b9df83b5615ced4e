// SPDX-License-Identifier: BSL-1.0
#include "source.hpp"

namespace tool {

using namespace vdisk;

void Source::set_backing(const Disk& backing) {
    const auto& base = backing.layers()[0];
    // Behind another disk, or before one, nothing is at its own place.
    if (parts_.size() != 1) return;
    Part& part = parts_[0];
    for (uint32_t depth = 1; depth < part.disk.layers().size(); ++depth) {
        const auto& layer = part.disk.layers()[depth];
        if (layer.origin == base.origin && layer.image.format() == base.image.format()) {
            part.common = depth;
            return;
        }
    }
}

size_t Source::index_of(uint64_t at) const {
    size_t index = 0;
    while (parts_[index].end <= at) ++index;
    return index;
}

Result<Extent> Source::lookup(uint64_t at, uint64_t length) const {
    const size_t index = index_of(at);
    const Part& part = parts_[index];
    if (length > part.end - at) length = part.end - at;
    auto extent = part.disk.survey(at - start_of(index), length);
    if (!extent && salvage_ != nullptr) return Salvage::unknown(at, length);
    if (!extent) return extent;
    if (extent->depth >= part.common) extent->kind = Kind::absent;
    else if (extent->kind == Kind::absent) extent->kind = Kind::zero;
    return extent;
}

Status Source::read(uint64_t at, MutBytes out) const {
    while (!out.empty()) {
        const size_t index = index_of(at);
        const uint64_t rest = parts_[index].end - at;
        const MutBytes piece =
            out.first(rest < out.size() ? static_cast<size_t>(rest) : out.size());
        const auto get = [&](uint64_t from, MutBytes bytes) {
            return vdisk::read(parts_[index].disk, from - start_of(index), bytes);
        };
        Status got = get(at, piece);
        if (!got && salvage_ != nullptr) got = salvage_->read(at, piece, get);
        if (!got) return got;
        at += piece.size();
        out = out.subspan(piece.size());
    }
    return {};
}

}  // namespace tool
