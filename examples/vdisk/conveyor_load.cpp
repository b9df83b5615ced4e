// SPDX-License-Identifier: BSL-1.0
// What becomes of each cluster of a piece: any number of workers at a time.
#include <algorithm>
#include <cstring>

#include <vdisk/core/zero.hpp>
#include <vdisk/io/pack.hpp>

#include "conveyor_parts.hpp"

namespace tool {

using namespace vdisk;

Status Conveyor::load(Worker& worker, const Piece& piece) const {
    if (Status known = classify(worker, piece); !known) return known;
    if (Status got = read_data(worker, piece); !got) return got;
    return options_.compressed ? pack(worker, piece) : Status{};
}

// By what the tables say alone: clusters that are kept or zeros as a whole, and others.
Status Conveyor::classify(Worker& worker, const Piece& piece) const {
    const size_t count = clusters_of(piece);
    if (options_.sparse == 0 || piece.kind == Kind::data) {
        std::fill_n(worker.what.begin(), count, What::data);
        return {};
    }
    const auto as = [](Kind kind) {
        return kind == Kind::absent ? What::kept : kind == Kind::zero ? What::zero : What::data;
    };
    uint64_t at = piece.at;
    const uint64_t end = piece.at + piece.length;
    uint64_t next = 0;  // the first cluster nothing is known of
    while (at < end) {
        const auto run = worker.source->lookup(at, end - at);
        if (!run) return run.error();
        const What what = as(run->kind);
        const uint64_t first = (at - piece.at) / unit_;
        const uint64_t past = (at - piece.at + run->length + unit_ - 1) / unit_;
        for (uint64_t i = first; i < past; ++i) {
            What& now = worker.what[static_cast<size_t>(i)];
            now = i < next && now != what ? What::data : what;
        }
        next = past;
        at += run->length;
    }
    return {};
}

Status Conveyor::read_data(Worker& worker, const Piece& piece) const {
    const size_t count = clusters_of(piece);
    const MutBytes data = worker.data.bytes();
    for (size_t first = 0, end = 0; first < count; first = end) {
        end = first + 1;
        if (worker.what[first] != What::data && worker.backing == nullptr) continue;
        if (worker.what[first] == What::kept) continue;
        const bool zeros = worker.what[first] == What::zero;
        while (end < count && worker.what[end] == worker.what[first]) ++end;
        const size_t from = static_cast<size_t>(first * unit_);
        const size_t to = static_cast<size_t>(std::min(end * unit_, piece.length));
        const MutBytes part = data.subspan(from, to - from);
        if (zeros) {
            std::memset(part.data(), 0, part.size());
        } else if (Status got = worker.source->read(piece.at + from, part); !got) {
            return got;
        }
        if (worker.backing == nullptr) continue;
        if (Status same = compare(worker, piece, first, end); !same) return same;
    }
    // The rest of the last cluster.
    const size_t length = static_cast<size_t>(piece.length);
    const size_t whole = static_cast<size_t>(count * unit_);
    std::memset(data.data() + length, 0, whole - length);
    if (options_.sparse != 0) find_zeros(worker, piece);
    return {};
}

// Clusters that are as the backing file shows them are kept.
Status Conveyor::compare(Worker& worker, const Piece& piece, size_t first, size_t end) const {
    const size_t from = static_cast<size_t>(first * unit_);
    const size_t to = static_cast<size_t>(std::min(end * unit_, piece.length));
    const MutBytes other = worker.other.bytes().first(to - from);
    if (Status got = worker.backing->read_from(0, piece.at + from, other); !got) return got;
    for (size_t i = first; i < end; ++i) {
        const size_t skip = static_cast<size_t>(i * unit_) - from;
        const size_t length = std::min(static_cast<size_t>(unit_), other.size() - skip);
        const byte* const ours = worker.data.bytes().data() + from + skip;
        if (std::memcmp(ours, other.data() + skip, length) == 0) worker.what[i] = What::kept;
    }
    return {};
}

void Conveyor::find_zeros(Worker& worker, const Piece& piece) const {
    const size_t count = clusters_of(piece);
    const size_t steps = static_cast<size_t>(unit_ / step_);
    for (size_t i = 0; i < count; ++i) {
        if (worker.what[i] != What::data) continue;
        bool all = true;
        for (size_t k = i * steps; k < (i + 1) * steps; ++k) {
            const bool zero = is_zero(Bytes(worker.data.bytes()).subspan(k * step_, step_));
            worker.zeros[k] = zero;
            all = all && zero;
        }
        if (all) worker.what[i] = What::zero;
    }
}

// The packed clusters stand one behind the other.
Status Conveyor::pack(Worker& worker, const Piece& piece) const {
    const size_t unit = static_cast<size_t>(unit_);
    const Packing packing = target_.writer().packing();
    size_t used = 0;
    for (size_t i = 0; i < clusters_of(piece); ++i) {
        worker.packed_size[i] = 0;
        if (worker.what[i] != What::data) continue;
        const auto stored =
            pack_block(worker.codec, packing, worker.data.bytes().subspan(i * unit, unit),
                       worker.packed.bytes().subspan(used));
        if (!stored) return stored.error();
        worker.packed_size[i] = *stored;
        used += *stored;
    }
    return {};
}

}  // namespace tool
