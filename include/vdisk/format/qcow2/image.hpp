// SPDX-License-Identifier: BSL-1.0
// A qcow2 image (versions 2 and 3), read side.
#pragma once

#include <optional>

#include <vdisk/format/coalesce.hpp>
#include <vdisk/format/qcow2/extensions.hpp>
#include <vdisk/format/qcow2/lookup.hpp>
#include <vdisk/format/qcow2/snapshot.hpp>
#include <vdisk/format/unpacker.hpp>

namespace vdisk::qcow2 {

/// Reads the header; the file may end before all of it is there.
template <Storage S>
Result<Header> load_header(const S& storage) {
    Header header{};
    const MutBytes raw = std::as_writable_bytes(std::span(&header, 1));
    const uint64_t size = storage.size();
    const size_t length = size < raw.size() ? static_cast<size_t>(size) : raw.size();
    if (const Status read = storage.read(0, raw.first(length)); !read) return read.error();
    return header;
}

/// `T` is how tables are reached: Metadata to read, StagedMetadata beneath a Writer.
template <Storage S, Allocation A, Codec C, class T = Metadata<S, A>>
class Image {
public:
    using Tables = T;
    static constexpr bool in_place = Tables::in_place;

    /// Opens the image; reads the header and its extensions, no table. An external data file is
    /// attached afterwards (attach_data_file); a snapshot is chosen afterwards (select_snapshot).
    static Result<Image> open(S storage, OpenOptions options = {}, A allocation = A{},
                              C codec = C{}) {
        const auto header = load_header(storage);
        if (!header) return header.error();
        auto layout = check(*header, storage.size());
        if (!layout) return layout.error();
        auto tables = Tables::make(std::move(storage), options.cache, allocation);
        if (!tables) return tables.error();
        if (Status found = find_extensions(*tables, *layout); !found) return found.error();
        if (layout->crypt_method == 2 && layout->encryption.at == 0) {
            return corrupt("qcow2: LUKS encryption without its header extension");
        }
        if (options.purpose == Purpose::data) {
            if (Status readable = check_readable(*layout); !readable) return readable.error();
        }
        return Result<Image>(std::in_place, *layout, *std::move(tables), std::move(allocation),
                             std::move(codec));
    }

    /// Bytes the guest sees: of the active state, or of the selected snapshot.
    [[nodiscard]] uint64_t size() const { return size_; }
    [[nodiscard]] const Layout& layout() const { return layout_; }
    /// The image file itself.
    [[nodiscard]] const S& file() const { return tables_.storage(); }
    /// Where data extents point into: the external data file if there is one, or the image file.
    [[nodiscard]] const S& storage() const {
        if constexpr (stages_data) return tables_.data();
        else return data_file_ ? *data_file_ : file();
    }

    [[nodiscard]] Text backing_file() const { return layout_.backing_file; }
    [[nodiscard]] Text backing_format() const { return layout_.backing_format; }

    /// Gives an image with an external data file that file. Without it data cannot be read.
    Status attach_data_file(S storage) {
        if (!layout_.has_data_file) return invalid("qcow2: the image has no external data file");
        if constexpr (stages_data) tables_.attach_data(std::move(storage));
        else data_file_.emplace(std::move(storage));
        has_data_ = true;
        return {};
    }

    /// Makes the image show the snapshot with this id or, failing that, name.
    Status select_snapshot(std::string_view id_or_name) {
        const auto snapshot = find_snapshot(file(), layout_, id_or_name);
        if (!snapshot) return snapshot.error();
        if (snapshot->disk_size >> 63 != 0) return corrupt("qcow2: snapshot of 2^63 bytes or more");
        Status checked = check_l1(layout_, snapshot->l1, snapshot->disk_size, file().size());
        if (!checked) return checked;
        l1_ = snapshot->l1;
        size_ = snapshot->disk_size;
        return {};
    }

    Result<Extent> lookup(uint64_t at, uint64_t length) const {
        if (layout_.crypt_method != 0) [[unlikely]]
            return encrypted();
        if (layout_.has_data_file && !has_data_) [[unlikely]] {
            return fail(Errc::not_found, "qcow2: the external data file is not attached");
        }
        return coalesce(at, length,
                        [this](uint64_t from, uint64_t rest) { return piece(from, rest); });
    }

    /// Fills `out` with the bytes of a compressed extent. Not for several threads at once.
    Status unpack(const Extent& extent, MutBytes out) const {
        return unpacker_.unpack(file(), extent, out);
    }
    /// True if `unpack` has taken memory; `release` gives it back until the next block.
    [[nodiscard]] bool holds_memory() const { return unpacker_.in_use(); }
    void release() const { unpacker_.release(); }

protected:
    [[nodiscard]] Tables& tables() { return tables_; }
    [[nodiscard]] const Tables& tables() const { return tables_; }
    void forget_unpacked() { unpacker_.forget(); }
    /// A writer moves tables.
    [[nodiscard]] Layout& layout_mut() { return layout_; }

private:
    friend Result<Image>;

    // Where guest data has to be durable before tables, those look after its file.
    static constexpr bool stages_data = !std::same_as<T, Metadata<S, A>>;

    Image(const Layout& layout, Tables&& tables, A allocation, C codec)
        : layout_(layout),
          l1_(layout.l1),
          size_(layout.size),
          tables_(std::move(tables)),
          unpacker_(std::move(allocation), std::move(codec)) {}

    static Status check_readable(const Layout& layout) {
        if (layout.crypt_method != 0) return encrypted();
        if constexpr (requires { C::handles(layout.packing); }) {
            if (layout.packing != Packing::deflate && !C::handles(layout.packing)) {
                return unsupported("qcow2: clusters are packed with zstd, which this build lacks");
            }
        }
        return {};
    }

    static Error encrypted() {
        return fail(Errc::encrypted, "qcow2: the image is encrypted (AES or LUKS)");
    }

    // What the tables say about `at`, up to the end of its cluster or, where there is no L2 table,
    // of the whole stretch that table would map.
    Result<Extent> piece(uint64_t at, uint64_t length) const {
        const Where where{layout_, l1_, file().size(), storage().size()};
        const unsigned shift = layout_.l1_shift();
        const uint64_t l1_entry_at = l1_.at + (at >> shift) * 8;
        const auto l1_entry = tables_.be64(l1_entry_at);
        if (!l1_entry) return l1_entry.error();
        const auto table = lookup::l2_table(where, *l1_entry, l1_entry_at);
        if (!table) return table.error();
        if (*table == 0) {
            const uint64_t stretch = power_of_two(shift);
            return Extent{.kind = Kind::absent, .length = stretch - (at & (stretch - 1))};
        }
        const uint64_t index = (at >> layout_.cluster_bits) & (power_of_two(layout_.l2_bits()) - 1);
        const uint64_t entry_at = *table + (index << (layout_.extended_l2 ? 4 : 3));
        const auto entry = tables_.be64(entry_at);
        if (!entry) return entry.error();
        if (layout_.extended_l2) return subclusters(where, *entry, at, entry_at);
        if (*entry == 0) [[unlikely]]
            return empty_entries(at, length, entry_at);
        return lookup::cluster(where, *entry, at, entry_at);
    }

    // Apart from the above, so that standard entries are not slower for it.
    [[gnu::noinline]] Result<Extent> subclusters(const Where& where, uint64_t entry, uint64_t at,
                                                 uint64_t entry_at) const {
        const auto bitmap = tables_.be64(entry_at + 8);
        if (!bitmap) return bitmap.error();
        return lookup::subclusters(where, entry, *bitmap, at, entry_at);
    }

    // Entries of 0 are read many at a time, a sector of them at most: a sparse disk is made of
    // them. L2 tables begin and end with a sector.
    [[gnu::noinline]] Result<Extent> empty_entries(uint64_t at, uint64_t length,
                                                   uint64_t entry_at) const {
        const uint64_t in_cluster = at & (layout_.cluster_size() - 1);
        uint64_t bytes = 512 - (entry_at & 511);
        const uint64_t wanted = blocks(in_cluster + length, layout_.cluster_bits) * 8;
        if (bytes > wanted) bytes = wanted;
        const auto run = tables_.entries(entry_at, bytes);
        if (!run) return run.error();
        uint64_t empty = 1;
        while ((empty + 1) * 8 <= run->size() && load_be64(run->data() + empty * 8) == 0) ++empty;
        return Extent{.kind = Kind::absent, .length = (empty << layout_.cluster_bits) - in_cluster};
    }

    Layout layout_;
    L1 l1_;
    uint64_t size_;
    Tables tables_;
    std::optional<S> data_file_;
    bool has_data_ = false;
    mutable Unpacker<A, C> unpacker_;
};

}  // namespace vdisk::qcow2
