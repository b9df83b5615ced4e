// SPDX-License-Identifier: BSL-1.0
// An image that nobody has open: what check, repair and the operations on whole tables work on.
#pragma once

#include <vdisk/format/qcow2/extensions.hpp>
#include <vdisk/format/qcow2/image.hpp>
#include <vdisk/format/qcow2/refcount.hpp>
#include <vdisk/storage/borrowed.hpp>

namespace vdisk::qcow2 {

/// The layout of an image and access to its tables. `S` may be const. What is read through `tables`
/// may be remembered: whoever writes to the storage opens the image again.
template <Storage S, Allocation A>
struct Closed {
    Layout layout;
    Metadata<Borrowed<S>, A> tables;
    uint64_t size_at_open;

    /// That of the image as it was opened, whatever is put behind it.
    [[nodiscard]] uint64_t file_size() const { return size_at_open; }
    [[nodiscard]] uint64_t file_clusters() const {
        return blocks(file_size(), layout.cluster_bits);
    }
    /// Whether `length` bytes from `at` are in clusters that the file has, the last perhaps in
    /// part.
    [[nodiscard]] bool has(uint64_t at, uint64_t length) const {
        return fits(at, length, file_clusters() << layout.cluster_bits);
    }
    /// What check counts: as above, but it lack less than a cluster, aligned or not.
    [[nodiscard]] bool inside(uint64_t at, uint64_t length) const {
        return fits(at, length, file_size() + layout.cluster_size() - 1);
    }
};

/// Tables are read from front to back, in long pieces.
inline constexpr CacheShape closed_cache{.page_bits = 16, .count_bits = 5};

/// Opens an image with this header, which the caller may have mended.
template <Storage S, Allocation A>
Result<Closed<S, A>> open_closed(S& storage, const Header& header, A allocation) {
    auto layout = check(header, storage.size());
    if (!layout) return layout.error();
    auto tables =
        Metadata<Borrowed<S>, A>::make(Borrowed<S>(storage), closed_cache, std::move(allocation));
    if (!tables) return tables.error();
    if (Status found = find_extensions(*tables, *layout); !found) return found.error();
    if (layout->crypt_method == 2 && layout->encryption.at == 0) {
        return corrupt("qcow2: LUKS encryption without its header extension");
    }
    return Closed<S, A>{*layout, *std::move(tables), storage.size()};
}

template <Storage S, Allocation A>
Result<Closed<S, A>> open_closed(S& storage, A allocation) {
    const auto header = load_header(storage);
    if (!header) return header.error();
    return open_closed(storage, *header, std::move(allocation));
}

/// Copies table bytes, a multiple of 8; past the end of the file they are zeros. Whoever reads
/// other tables between two entries needs a copy.
template <class Tables>
Status copy_entries(const Tables& tables, uint64_t at, MutBytes out) {
    while (!out.empty()) {
        const auto piece = tables.entries(at, out.size());
        if (!piece) return piece.error();
        const size_t length = piece->size() & ~size_t{7};
        std::memcpy(out.data(), piece->data(), length);
        out = out.subspan(length);
        at += length;
    }
    return {};
}

/// Whether `at` can be where a refcount block begins; the file may end before it.
[[nodiscard]] inline bool is_refcount_block(const Layout& layout, uint64_t at) {
    return is_aligned(at, layout.cluster_bits) && at >> 63 == 0;
}

/// A stored refcount. It has none where the pointer to its block cannot be one.
struct StoredRefcount {
    bool readable = true;
    uint64_t value = 0;

    [[nodiscard]] bool is(uint64_t wanted) const { return readable && value == wanted; }
};

namespace entry {
inline constexpr uint64_t reserved_refcount = 0x1FF;  ///< of refcount table entries
inline constexpr uint64_t reserved_l1 = 0x7F000000000001FF;
inline constexpr uint64_t reserved_l2 = 0x3F000000000001FE;  ///< of standard L2 entries
}  // namespace entry

/// Where refcount block number `index` begins; 0 if there is none.
template <class Tables>
Result<uint64_t> refcount_block(const Tables& tables, const Layout& layout, uint64_t index) {
    if (index >= layout.refcount_table_bytes / 8) return uint64_t{0};
    const auto entry = tables.be64(layout.refcount_table_at + index * 8);
    if (!entry) return entry.error();
    return *entry & ~entry::reserved_refcount;
}

/// The refcount that the image has for `cluster`.
template <class Tables>
Result<StoredRefcount> stored_refcount(const Tables& tables, const Layout& layout,
                                       uint64_t cluster) {
    const unsigned order = layout.refcount_order;
    const unsigned block_bits = refcount_block_bits(layout.cluster_bits, order);
    const auto block = refcount_block(tables, layout, cluster >> block_bits);
    if (!block) return block.error();
    if (*block == 0) return StoredRefcount{};
    if (!is_refcount_block(layout, *block)) return StoredRefcount{false, 0};
    const uint64_t index = cluster & ((uint64_t{1} << block_bits) - 1);
    const unsigned per_word = 6 - order;  // log2 of the refcounts in 8 bytes
    const auto word = tables.entries(*block + (index >> per_word << 3), 8);
    if (!word) return word.error();
    const uint64_t in_word = index & ((uint64_t{1} << per_word) - 1);
    return StoredRefcount{true, load_refcount(word->data(), in_word, order)};
}

}  // namespace vdisk::qcow2
