// SPDX-License-Identifier: BSL-1.0
// A disk that is written: the top image changes, what it stands on is only read.
#pragma once

#include <optional>

#include <vdisk/disk/any_writer.hpp>
#include <vdisk/disk/open.hpp>
#include <vdisk/disk/recover.hpp>

namespace vdisk {

/// A writer on the top image, and the chain below it. Mapped. One thread at a time.
///
/// Nothing is written but the top image's file and its external data file. Durable after
/// `top().flush()`.
template <class W, class I, class From>
class WritableDisk {
public:
    using Origin = From;
    using Parents = Chain<I, Origin>;

    WritableDisk(W top, Origin origin, std::optional<Parents> parents)
        : top_(std::move(top)), origin_(std::move(origin)), parents_(std::move(parents)) {}

    /// Bytes the guest sees: the size of the top image.
    [[nodiscard]] uint64_t size() const { return top_.size(); }
    [[nodiscard]] W& top() { return top_; }
    [[nodiscard]] const W& top() const { return top_; }
    [[nodiscard]] const Origin& origin() const { return origin_; }
    /// What the top image stands on, if anything.
    [[nodiscard]] const std::optional<Parents>& parents() const { return parents_; }

    /// Extent::depth says which layer answered; Kind::absent means none did.
    Result<Extent> lookup(uint64_t at, uint64_t length) const {
        return find(at, length, [](const auto& disk, uint64_t from, uint64_t n) {
            return disk.lookup(from, n);
        });
    }
    Result<Extent> survey(uint64_t at, uint64_t length) const {
        return find(at, length, [](const auto& disk, uint64_t from, uint64_t n) {
            return vdisk::survey(disk, from, n);
        });
    }

    /// Reads what the top image hides or leaves open; past the end of the parents there are zeros.
    Status read_below(uint64_t at, MutBytes out) const {
        if (!parents_) return Zeros{}(at, out);
        return parents_->read_from(0, at, out);
    }

private:
    template <class Ask>
    Result<Extent> find(uint64_t at, uint64_t length, Ask ask) const {
        Result<Extent> extent = ask(top_, at, length);
        if (!extent || extent->kind != Kind::absent || !parents_) return extent;
        if (at >= parents_->size()) {
            return Extent{.kind = Kind::zero, .length = extent->length, .depth = 1};
        }
        const uint64_t rest = parents_->size() - at;
        Result<Extent> found = ask(*parents_, at, extent->length < rest ? extent->length : rest);
        if (found) ++found->depth;
        return found;
    }

    W top_;
    Origin origin_;
    std::optional<Parents> parents_;
};

/// Fills `out` with the guest bytes from `at`.
template <class W, class I, class Origin>
Status read(const WritableDisk<W, I, Origin>& disk, uint64_t at, MutBytes out) {
    const auto below = [&](uint64_t from, MutBytes piece) { return disk.read_below(from, piece); };
    return read(disk.top(), at, out, below);
}

/// As write of one image.
template <class W, class I, class Origin>
Status write(WritableDisk<W, I, Origin>& disk, uint64_t at, Bytes in, MutBytes scratch) {
    const auto below = [&](uint64_t from, MutBytes piece) { return disk.read_below(from, piece); };
    return write(disk.top(), at, in, scratch, below);
}

/// As zero of one image.
template <class W, class I, class Origin>
Status zero(WritableDisk<W, I, Origin>& disk, uint64_t at, uint64_t length, MutBytes scratch) {
    if (!disk.parents()) return zero(disk.top(), at, length, scratch);
    const auto below = [&](uint64_t from, MutBytes piece) { return disk.read_below(from, piece); };
    return zero(disk.top(), at, length, scratch, below);
}

/// AnyWriter with every format and codec this build has, and memory from the heap.
template <WritableStorage S>
using SystemWriter = AnyWriter<AllFormats, S, Heap, SystemCodecs>;

/// Opens `top` to be written, and the chain it stands on to be read, as open_chain does. The gate
/// is asked for an external data file with Use::write. `top.storage` must be open for writing. An
/// image marked dirty is repaired first; one marked corrupt is refused. Bitmaps that record say
/// "written" of the whole disk from then on.
template <class W, class I, class Origin, class S, Gate<S> G, class... A>
Result<WritableDisk<W, I, Origin>> open_writable(Opened<S, Origin> top, G& gate,
                                                 const ChainOptions& options,
                                                 const A&... allocation) {
    const Result<std::string_view> format = format_of<typename W::List>(top.storage, options);
    if (!format) return format.error();
    if (!options.snapshot.empty()) return invalid("open: snapshots are not written");
    if (Status sound = chain::recover(*format, top.storage); !sound) return sound.error();
    if (Status kept = chain::keep_bitmaps(*format, top.storage); !kept) return kept.error();
    auto writer = W::open(*format, std::move(top.storage), options.open, allocation...);
    if (!writer) return writer.error();
    const Status data = chain::attach_data_file(*writer, gate, top.origin, Reference::Use::write);
    if (!data) return data.error();
    std::optional<Chain<I, Origin>> parents;
    if (writer->has_parent()) {
        std::array<char, chain::max_name> buffer{};
        auto below = chain::open_below<S, I>(*writer, top.origin, gate, options, buffer);
        if (!below) return below.error();
        auto opened =
            chain::open_layers<I>(*std::move(below), &top.origin, gate, options, allocation...);
        if (!opened) return opened.error();
        parents.emplace(*std::move(opened));
    }
    return WritableDisk<W, I, Origin>(*std::move(writer), std::move(top.origin),
                                      std::move(parents));
}

}  // namespace vdisk
