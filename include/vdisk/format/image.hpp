// SPDX-License-Identifier: BSL-1.0
// What a format must answer. A format says where bytes are; it never moves guest data.
//
// Threads: an image locks nothing. `lookup` and `read` may run in several threads at once where
// its tables are read in place (Image::in_place), no block is compressed and the storage may be
// read by several threads (its header says so); in all other cases give each thread an image of
// its own (they are small, and share the storage handle).
#pragma once

#include <concepts>
#include <string_view>

#include <vdisk/core/extent.hpp>
#include <vdisk/core/result.hpp>
#include <vdisk/metadata/metadata.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// Something with a size that can tell where its bytes are: one image, or a chain of them.
///
/// `lookup(at, length)` wants 0 < length and at + length <= size(). It answers with the longest
/// run from `at`, at most `length`, that has one kind and is contiguous in the file. The work of
/// one call is bounded: after max_run_blocks answers the run ends, and its neighbour may be alike.
template <class M>
concept Mapped = requires(const M& m, uint64_t at, uint64_t length) {
    { m.size() } -> std::same_as<uint64_t>;
    { m.lookup(at, length) } -> std::same_as<Result<Extent>>;
};

/// One image: Mapped, and the storage its data extents point into.
template <class I>
concept Image = Mapped<I> && Storage<std::remove_cvref_t<decltype(std::declval<I>().storage())>>;

/// An image that may hold compressed blocks; `unpack` fills `out` (extent.length bytes).
template <class I>
concept PackedImage = Image<I> && requires(const I& i, const Extent& extent, MutBytes out) {
    { i.unpack(extent, out) } -> std::same_as<Status>;
};

/// `survey` is `lookup` for those who look at the whole disk: it may spend a system call to tell
/// the holes of a sparse file (as Kind::zero) from data.
template <class M>
concept SurveyedMapped = Mapped<M> && requires(const M& m, uint64_t at, uint64_t length) {
    { m.survey(at, length) } -> std::same_as<Result<Extent>>;
};

/// An answer of lookup, with holes of a sparse file as zeros: what `survey` is for most formats.
template <Storage S>
Result<Extent> survey_holes(const S& storage, Result<Extent> extent) {
    if constexpr (SparseStorage<S>) {
        if (extent && extent->kind == Kind::data) {
            const auto hole = storage.hole(extent->at, extent->length);
            if (!hole) return hole.error();
            if (hole->is_hole) extent->kind = Kind::zero;
            extent->length = hole->length;
        }
    }
    return extent;
}

/// A home in the file for guest bytes. Where it is fresh, the guest cannot see it until `commit`:
/// a cut before that loses the new bytes and space, and nothing else.
struct Placement {
    uint64_t at = 0;      ///< offset in the file of the first guest byte
    uint64_t length = 0;  ///< guest bytes that have their home here, contiguous
    uint64_t head = 0;    ///< fresh: bytes of the first block before them, to be filled in
    uint64_t tail = 0;    ///< fresh: bytes of the last block after them, to be filled in
    bool fresh = false;   ///< needs commit; otherwise the bytes are overwritten in place
    bool blank = false;   ///< fresh, and its blocks read as zeros in the file
};

/// An image that can be written, one thread at a time.
///
/// `place(at, length)` gives at most `length` bytes a home; `commit(at, placement)` makes a fresh
/// one visible and is told of every other once its bytes are written. `flush` makes all of it
/// durable. An image may have `cancel(at, placement)`, which takes a fresh one back instead.
template <class I>
concept WritableImage = Image<I> &&
    requires(I& i, uint64_t at, uint64_t length, const Placement& placement) {
    { i.place(at, length) } -> std::same_as<Result<Placement>>;
    { i.commit(at, placement) } -> std::same_as<Status>;
    { i.flush() } -> std::same_as<Status>;
    requires WritableStorage<std::remove_cvref_t<decltype(i.storage())>>;
};

/// A WritableImage that can show zeros without storing them.
///
/// `zero(at, length)`: whole blocks of block_size() bytes from `at` on read as zeros afterwards; it
/// says how many bytes it did, 0 where they have to be written. `at` begins a block, and so does
/// `at + length` unless it is the end of the disk. `discard(at, length)` takes any range: what is
/// inside it may read as zeros afterwards and need no space, or stay as it is; says how far it
/// came, one byte at least.
template <class I>
concept ErasableImage = WritableImage<I> && requires(I& i, uint64_t at, uint64_t length) {
    { i.block_size() } -> std::same_as<uint64_t>;
    { i.zero(at, length) } -> std::same_as<Result<uint64_t>>;
    { i.discard(at, length) } -> std::same_as<Result<uint64_t>>;
};

/// What an image is opened for.
enum class Purpose : uint8_t {
    data,      ///< to read the guest's bytes: refused at once if that can never work
    metadata,  ///< to look at it: encrypted images and missing codecs are no obstacle
};

/// What becomes of a header whose checksum is wrong, in formats that have checksums.
enum class Checksums : uint8_t {
    required,  ///< the image is refused
    ignored,   ///< it is read all the same, and not written
};

/// Which size counts where a format states more than one (VHD: bytes and geometry).
enum class SizeRule : uint8_t {
    bytes,     ///< the size in bytes
    geometry,  ///< cylinders x heads x sectors
    creator,   ///< whichever the program counts by that made the image, as QEMU does
};

struct OpenOptions {
    Purpose purpose = Purpose::data;
    Checksums checksums = Checksums::required;
    SizeRule size_rule = SizeRule::bytes;
    CacheShape cache = {};
};

/// A piece of text inside an image file, such as the name of its backing file. Not trusted.
struct Text {
    uint64_t at = 0;
    uint32_t length = 0;  ///< bytes; 0 = there is none
};

/// Copies `text` into `out`; fails where it does not fit or holds a NUL.
template <Storage S>
Result<std::string_view> read_text(const S& storage, Text text, std::span<char> out) {
    if (text.length > out.size()) {
        return fail(Errc::limit, "name: longer than allowed", {text.length, text.at});
    }
    out = out.first(text.length);
    const Status read = storage.read(text.at, std::as_writable_bytes(out));
    if (!read) return read.error();
    const std::string_view name(out.data(), out.size());
    if (name.find('\0') != std::string_view::npos) {
        return corrupt("name: holds a NUL", {Error::none, text.at});
    }
    return name;
}

}  // namespace vdisk
