// SPDX-License-Identifier: BSL-1.0
// How the bitmaps of a closed image change: what is new is built in free clusters, the extension in
// the header switches to it, and then what is old is released.
#pragma once

#include <optional>

#include <vdisk/format/qcow2/bitmap_bits.hpp>
#include <vdisk/format/qcow2/clusters.hpp>
#include <vdisk/format/qcow2/header.hpp>
#include <vdisk/format/qcow2/plan.hpp>
#include <vdisk/format/qcow2/snapshot.hpp>
#include <vdisk/format/qcow2/stream.hpp>
#include <vdisk/storage/borrowed.hpp>

namespace vdisk::qcow2 {

/// A bitmap, and its entry of the directory.
struct BitmapPlace {
    uint64_t at = 0;
    Bitmap bitmap;
};

/// What becomes of a directory. An entry at `changed_at` gets a new header, or goes; `added` comes
/// behind the last one.
struct DirectoryChange {
    uint64_t changed_at = 0;                  ///< 0: none
    std::optional<BitmapHeader> header = {};  ///< of the changed one; without: it goes
    std::optional<BitmapHeader> added = {};
    std::string_view added_name = {};
};

/// Access to an image for the operations in bitmaps.hpp. After a failure some clusters may be in
/// use by nobody.
template <WritableStorage S, Allocation A>
class BitmapEditor {
    using Tables = StagedMetadata<Borrowed<S>, A>;

public:
    static constexpr CacheShape cache{.page_bits = 12, .count_bits = 4};

    /// Opens an image that can have bitmaps; one in which check_image() finds more than leaks is
    /// refused. Those that a writer did not keep up to date are lost:
    /// they are not found, and their clusters stay in use until the image is repaired.
    static Result<BitmapEditor> open(S& storage, A allocation) {
        auto first = FirstCluster<A>::load(storage, allocation);
        if (!first) return first.error();
        const Layout& layout = first->layout();
        if (layout.version < 3) return unsupported("qcow2: version 2 has no bitmaps");
        if (layout.is_corrupt()) {
            return corrupt("qcow2: the image is marked corrupt: repair it first");
        }
        if (layout.is_dirty()) {
            return invalid("qcow2: refcounts lag behind: repair the image first");
        }
        if ((layout.autoclear & ~(autoclear::bitmaps | autoclear::data_file_raw)) != 0) {
            // Whatever they vouch for, it must not outlive the first change.
            if (Status cleared = first->store(storage, {}); !cleared) return cleared.error();
            return open(storage, std::move(allocation));
        }
        // What the refcounts call free must be free.
        const auto image = open_closed(storage, allocation);
        if (!image) return image.error();
        Status sound = rewriting::refuse_unsound(*image, same_state(image->layout), allocation);
        if (!sound) return sound.error();
        auto tables = Tables::make(Borrowed<S>(storage), cache, allocation);
        if (!tables) return tables.error();
        BitmapEditor out(storage, layout, *std::move(tables), std::move(allocation));
        if (bitmaps_valid(layout)) {
            const auto directory = load_bitmap_directory(storage, layout);
            if (!directory) return directory.error();
            out.directory_ = *directory;
        }
        return out;
    }

    [[nodiscard]] const Layout& layout() const { return layout_; }
    [[nodiscard]] const BitmapDirectory& directory() const { return directory_; }
    [[nodiscard]] S& storage() { return *storage_; }
    [[nodiscard]] A allocation() const { return allocation_; }

    /// Calls `visit(place) -> Status` for every bitmap.
    template <class Visit>
    Status each(Visit&& visit) const {
        uint64_t at = directory_.at;
        const uint64_t end = directory_.at + directory_.size;
        for (uint32_t i = 0; i < directory_.bitmaps; ++i) {
            const auto bitmap = load_bitmap(*storage_, layout_, at, end);
            if (!bitmap) return bitmap.error();
            if (Status visited = visit(BitmapPlace{at, *bitmap}); !visited) return visited;
            at = bitmap->end;
        }
        if (at == end) return {};
        return corrupt("qcow2: bitmap directory has a wrong size", {directory_.size});
    }

    /// The bitmap with this name; Errc::not_found if there is none.
    Result<BitmapPlace> find(std::string_view name) const {
        BitmapPlace found;
        const Status walked = each([&](const BitmapPlace& place) -> Status {
            const auto same = snapshot::equals(*storage_, place.bitmap.name, name);
            if (!same) return same.error();
            if (*same) found = place;
            return {};
        });
        if (!walked) return walked.error();
        if (found.at == 0) return fail(Errc::not_found, "qcow2: no such bitmap");
        return found;
    }

    /// As find(), for a bitmap whose bits matter.
    Result<BitmapPlace> find_usable(std::string_view name) const {
        auto found = find(name);
        if (found && (found->bitmap.flags & bitmap_flag::in_use) != 0) {
            return invalid("qcow2: bitmap was not saved cleanly: it can only be removed",
                           {Error::none, found->at});
        }
        return found;
    }

    /// Room for a table of so many bytes; its contents are for the caller to write.
    Result<uint64_t> allocate(uint64_t bytes) {
        const auto run = clusters().allocate_table(blocks(bytes, layout_.cluster_bits));
        if (!run) return run.error();
        tables_.wrote_data();
        return run->first << layout_.cluster_bits;
    }

    /// Gives a table's clusters back; nothing durable leads to them.
    Status release(uint64_t at, uint64_t bytes) {
        if (bytes == 0) return {};
        const uint64_t count = blocks(bytes, layout_.cluster_bits);
        return clusters().dereference({at >> layout_.cluster_bits, count});
    }

    /// Gives back the clusters of a bitmap and its table, but those that the table at `kept` has at
    /// the same place too (0: there is none).
    Status release_bitmap(const Bitmap& old, uint64_t kept) {
        for (uint64_t i = 0; i < old.table_entries; ++i) {
            const auto e = bitmap_entry(*storage_, layout_, old, i);
            if (!e) return e.error();
            if (*e <= entry::all_dirty) continue;
            if (kept != 0) {
                const auto now = load<be64>(*storage_, kept + i * 8);
                if (!now) return now.error();
                if (now->value() == *e) continue;
            }
            if (Status given = release(*e, layout_.cluster_size()); !given) return given;
        }
        return release(old.table_at, uint64_t{old.table_entries} * 8);
    }

    /// Writes a directory with this change and switches to it; durable when it succeeds. What is
    /// written, and claimed, before is durable before. The old directory is released.
    Status change(const DirectoryChange& change) {
        const auto next = write(change);
        if (!next) return next.error();
        tables_.wrote_data();
        if (Status durable = tables_.flush(); !durable) return durable;
        auto first = FirstCluster<A>::load(*storage_, allocation_);
        if (!first) return first.error();
        const uint64_t autoclear = first->header.autoclear_features.value() & ~autoclear::bitmaps;
        first->header.autoclear_features =
            next->bitmaps > 0 ? autoclear | autoclear::bitmaps : autoclear;
        const Status switched = first->store(*storage_, {.bitmaps = *next});
        if (!switched) {
            if (switched.error().code != Errc::no_space) return switched;
            if (Status given = release(next->at, next->size); !given) return given;
            if (Status durable = tables_.flush(); !durable) return durable;
            return switched;
        }
        const BitmapDirectory old = std::exchange(directory_, *next);
        return release(old.at, old.size);
    }

    /// Writes a directory like the present one, but for what `change(bitmap, header) -> Status`
    /// does to each header. Nothing leads to it yet.
    template <class Change>
    Result<BitmapDirectory> copy_directory(const Change& change) {
        const auto at = allocate(directory_.size);
        if (!at) return at.error();
        Stream<S> stream(*storage_, *at);
        Status written = each([&](const BitmapPlace& place) -> Status {
            auto header = load<BitmapHeader>(*storage_, place.at);
            if (!header) return header.error();
            if (Status changed = change(place.bitmap, *header); !changed) return changed;
            if (Status put = stream.put(as_bytes(*header)); !put) return put;
            return copy(stream, place.at + sizeof(BitmapHeader), place.bitmap.end);
        });
        if (written) written = stream.finish();
        if (!written) return written.error();
        return BitmapDirectory{*at, directory_.size, directory_.bitmaps};
    }

    /// Makes what was released durable.
    Status finish() { return tables_.flush(); }

private:
    BitmapEditor(S& storage, const Layout& layout, Tables tables, A allocation)
        : storage_(&storage),
          layout_(layout),
          tables_(std::move(tables)),
          allocation_(std::move(allocation)) {}

    Clusters<Tables> clusters() { return {tables_, layout_, space_}; }

    static uint64_t entry_size(size_t name) { return blocks(sizeof(BitmapHeader) + name, 3) << 3; }

    // What the new directory will be, but for its place.
    Result<BitmapDirectory> measure(const DirectoryChange& change) const {
        BitmapDirectory out = directory_;
        const Status walked = each([&](const BitmapPlace& place) -> Status {
            if (place.at != change.changed_at || change.header) return {};
            out.size -= place.bitmap.end - place.at;
            --out.bitmaps;
            return {};
        });
        if (!walked) return walked.error();
        if (change.added) {
            out.size += entry_size(change.added_name.size());
            ++out.bitmaps;
        }
        if (out.bitmaps > max_bitmaps || out.size > max_bitmap_directory_bytes) {
            return fail(Errc::limit, "qcow2: too many bitmaps", {out.bitmaps});
        }
        return out;
    }

    Result<BitmapDirectory> write(const DirectoryChange& change) {
        auto out = measure(change);
        if (!out) return out.error();
        if (out->bitmaps == 0) return BitmapDirectory{};
        const auto at = allocate(out->size);
        if (!at) return at.error();
        out->at = *at;
        Stream<S> stream(*storage_, *at);
        Status written = each([&](const BitmapPlace& place) -> Status {
            uint64_t from = place.at;
            if (place.at == change.changed_at) {
                if (!change.header) return {};
                if (Status put = stream.put(as_bytes(*change.header)); !put) return put;
                from += sizeof(BitmapHeader);
            }
            return copy(stream, from, place.bitmap.end);
        });
        if (!written) return written.error();
        if (change.added) {
            const size_t name = change.added_name.size();
            written = stream.put(as_bytes(*change.added));
            if (written) written = stream.put(std::as_bytes(std::span(change.added_name)));
            if (written) {
                written = stream.zeros(entry_size(name) - sizeof(BitmapHeader) - name);
            }
            if (!written) return written.error();
        }
        if (Status put = stream.finish(); !put) return put.error();
        return out;
    }

    static Bytes as_bytes(const BitmapHeader& header) {
        return std::as_bytes(std::span(&header, 1));
    }

    Status copy(Stream<S>& stream, uint64_t from, uint64_t end) const {
        std::array<byte, 512> piece;
        while (from < end) {
            const uint64_t length = end - from < piece.size() ? end - from : piece.size();
            const MutBytes part(piece.data(), static_cast<size_t>(length));
            if (Status read = storage_->read(from, part); !read) return read;
            if (Status put = stream.put(part); !put) return put;
            from += length;
        }
        return {};
    }

    S* storage_;
    Layout layout_;
    Tables tables_;
    Space space_;
    BitmapDirectory directory_;
    A allocation_;
};

}  // namespace vdisk::qcow2
