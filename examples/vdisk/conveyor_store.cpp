// SPDX-License-Identifier: BSL-1.0
// Where each cluster of a piece goes: one worker at a time gives places, all write.
#include <algorithm>

#include "conveyor_parts.hpp"

namespace tool {

using namespace vdisk;

Status Conveyor::place(Worker& worker, const Piece& piece) {
    const size_t count = clusters_of(piece);
    for (size_t first = 0, end = 0; first < count; first = end) {
        end = first + 1;
        const What what = worker.what[first];
        if (what == What::data && options_.compressed && worker.packed_size[first] != 0) {
            if (Status put = place_packed(worker, piece, first); !put) return put;
            continue;
        }
        const bool plain = !options_.compressed;
        while (end < count && worker.what[end] == what &&
               (plain || what != What::data || worker.packed_size[end] == 0)) {
            ++end;
        }
        if (what == What::data) {
            if (Status put = place_data(worker, piece, first, end); !put) return put;
        } else if (what == What::zero && !options_.zeros_there) {
            const uint64_t from = piece.at + first * unit_;
            const uint64_t to = std::min(piece.at + end * unit_, size_);
            if (Status put = place_zeros(from, to - from); !put) return put;
        }
    }
    return {};
}

Status Conveyor::place_zeros(uint64_t at, uint64_t length) {
    auto& writer = target_.writer();
    std::array<byte, 4096> scratch;
    if (!target_.has_backing()) return vdisk::zero(writer, at, length, scratch);
    // Where they have to be written, they fill whole clusters in the end: what they are filled up
    // with until then does not matter.
    const auto below = [](uint64_t from, MutBytes out) { return Zeros{}(from, out); };
    return vdisk::zero(writer, at, length, scratch, below);
}

Status Conveyor::place_data(Worker& worker, const Piece& piece, size_t first, size_t end) {
    auto& writer = target_.writer();
    uint64_t at = piece.at + first * unit_;
    const uint64_t to = std::min(piece.at + end * unit_, size_);
    while (at < to) {
        const uint64_t before = writer.storage().size();
        const auto placement = writer.place(at, to - at);
        if (!placement) return placement.error();
        if (placement->head != 0) return invalid("convert: a cluster is written in part");
        // What a new image has from the start is a hole, or zeros.
        const bool hole =
            !placement->fresh || target_.has_new_data_file() || placement->at >= before;
        worker.homes.push_back(
            {.at = at,
             .placement = *placement,
             .bytes = Bytes(worker.data.bytes())
                          .subspan(static_cast<size_t>(at - piece.at),
                                   static_cast<size_t>(placement->length + placement->tail)),
             .is_hole = target_.is_new() && hole});
        at += placement->length;
    }
    return {};
}

Status Conveyor::place_packed(Worker& worker, const Piece& piece, size_t index) {
    size_t from = 0;
    for (size_t i = 0; i < index; ++i) {
        if (worker.what[i] == What::data) from += worker.packed_size[i];
    }
    const uint64_t stored = worker.packed_size[index];
    const auto home = target_.writer().place_packed(stored);
    if (!home) return home.error();
    worker.homes.push_back({.at = piece.at + index * unit_,
                            .placement = {.at = *home},
                            .bytes = Bytes(worker.packed.bytes()).subspan(from, stored),
                            .packed = stored});
    return {};
}

// --- the data, while others have their turn ---

// What lies side by side in memory and in the file is written at once.
Status Conveyor::write(Worker& worker) const {
    auto& homes = worker.homes;
    for (size_t i = 0; i < homes.size();) {
        Home all = homes[i];
        for (++i; i < homes.size(); ++i) {
            const Home& next = homes[i];
            const bool joins = next.bytes.data() == all.bytes.data() + all.bytes.size() &&
                               next.placement.at == all.placement.at + all.bytes.size() &&
                               next.is_hole == all.is_hole;
            if (!joins) break;
            all.bytes = Bytes(all.bytes.data(), all.bytes.size() + next.bytes.size());
        }
        if (Status put = write_home(worker, all); !put) return put;
    }
    return {};
}

Status Conveyor::write_home(Worker& worker, const Home& home) const {
    DraftFile& file = *worker.file;
    const uint64_t at = home.placement.at;
    if (!home.is_hole || options_.sparse == 0) return file.write(at, home.bytes);
    // Zeros were found before; here only their edges matter.
    const size_t first =
        static_cast<size_t>(home.bytes.data() - worker.data.bytes().data()) / step_;
    const size_t count = (home.bytes.size() + step_ - 1) / step_;
    size_t start = 0;
    for (size_t i = 0; i < count;) {
        size_t zeros = 0;
        while (i + zeros < count && worker.zeros[first + i + zeros] != 0) ++zeros;
        if (zeros == 0) {
            ++i;
            continue;
        }
        if (zeros * step_ >= options_.sparse || i + zeros == count || start == i) {
            const size_t end = i * step_;
            const size_t from = start * step_;
            if (end > from) {
                if (Status put = file.write(at + from, home.bytes.subspan(from, end - from));
                    !put) {
                    return put;
                }
            }
            start = i + zeros;
        }
        i += zeros;
    }
    const size_t from = start * step_;
    if (from >= home.bytes.size()) return {};
    return file.write(at + from, home.bytes.subspan(from));
}

Status Conveyor::commit(Worker& worker) {
    auto& writer = target_.writer();
    for (const Home& home : worker.homes) {
        Status shown = home.packed != 0
                           ? writer.commit_packed(home.at, home.placement.at, home.packed)
                           : writer.commit(home.at, home.placement);
        if (!shown) return shown;
    }
    return {};
}

}  // namespace tool
