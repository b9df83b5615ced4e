// SPDX-License-Identifier: BSL-1.0
// What the fuzz targets share. An image is opened twice: over memory, where tables are read in
// place, and over a storage that lends nothing, with a cache of one 512-byte page. Both must agree
// in every answer, every byte and every error, and use no more memory than the ration.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/allocation/limited.hpp>
#include <vdisk/codec/system.hpp>
#include <vdisk/io/read.hpp>
#include <vdisk/storage/memory.hpp>

#include "mutate.hpp"
#include "require.hpp"

namespace fuzz {

/// The memory of all images of one run.
inline Budget ration{.ceiling = 4_MiB};

struct Rationed : Limited<Heap> {
    Rationed() : Limited(ration) {}
};

/// The same bytes as MemoryStorage, but only to be read, as from a file.
struct FileLike {
    MemoryStorage bytes;

    [[nodiscard]] uint64_t size() const { return bytes.size(); }
    Status read(uint64_t at, MutBytes out) const { return bytes.read(at, out); }
};

inline constexpr CacheShape one_small_page{.page_bits = 9, .count_bits = 0};

template <class L, class R>
bool agree(const Result<L>& left, const Result<R>& right) {
    require(bool(left) == bool(right), "one way fails, the other does not");
    if (left) return true;
    const Error& l = left.error();
    const Error& r = right.error();
    require(l.code == r.code && std::strcmp(l.what, r.what) == 0 && l.value == r.value,
            "the two ways fail for different reasons");
    require(*l.what != '\0', "an error without words");
    return false;
}

/// Adds a text of the image to the first few.
template <Storage S>
Status keep(std::vector<std::string>& texts, const S& storage, Text text) {
    std::array<char, 64> buffer{};
    const auto read = read_text(storage, text, buffer);
    if (read && texts.size() < 4) texts.emplace_back(*read);
    return {};
}

/// One image, opened in two storages.
template <class Format, Storage L = MemoryStorage, Storage R = FileLike>
struct Both {
    Result<typename Format::template Image<L, Rationed, SystemCodecs>> memory;
    Result<typename Format::template Image<R, Rationed, SystemCodecs>> file;

    Both(Bytes input, Purpose purpose) : Both(input, options(purpose)) {}
    Both(Bytes input, const OpenOptions& with)
        : Both(MemoryStorage(input), FileLike{MemoryStorage(input)}, with) {}
    Both(L left, R right, const OpenOptions& with)
        : memory(Format::open(std::move(left), with, Rationed{}, SystemCodecs{})),
          file(Format::open(std::move(right), with, Rationed{}, SystemCodecs{})) {}

    explicit operator bool() const { return agree(memory, file); }

    /// Calls `act` with either image; both must succeed, or fail alike.
    template <class Act>
    bool both(Act act) {
        return agree(act(*memory), act(*file));
    }

    static OpenOptions options(Purpose purpose) {
        return {.purpose = purpose, .cache = one_small_page};
    }
};

/// Looks at the beginning, the middle and the end of a disk both ways: extents, and the bytes at
/// their edges. Bounded, however large the disk claims to be.
template <Mapped L, Mapped R>
class Walk {
public:
    Walk(const L& left, const R& right) : left_(left), right_(right), size_(left.size()) {
        require(size_ == right.size(), "sizes differ");
        const uint64_t last = size_ - std::min(size_, window);
        if (size_ > 0) static_cast<void>(lookup(0, size_));
        for (const uint64_t start : {uint64_t{0}, size_ / 2, last}) step_from(start);
        compare_bytes(0, most);
        compare_bytes(size_ - std::min(size_, most), most);
    }

private:
    static constexpr uint64_t window = 1_MiB;  ///< of most lookups: every cluster in it is visited
    static constexpr uint64_t most = 8_KiB;    ///< of bytes that are compared at once
    static constexpr unsigned steps = 32;

    void step_from(uint64_t at) {
        for (unsigned step = 0; step < steps && at < size_; ++step) {
            const uint64_t length = std::min(window, size_ - at);
            const Result<Extent> extent = lookup(at, length);
            if (!extent) {
                compare_bytes(at, 512);
                at += uint64_t{512} << (step % 12);
                continue;
            }
            check(*extent, at, length);
            compare_bytes(at - std::min<uint64_t>(at, 100), 1000);
            at += extent->length;
        }
    }

    Result<Extent> lookup(uint64_t at, uint64_t length) const {
        const Result<Extent> extent = left_.lookup(at, length);
        const Result<Extent> other = right_.lookup(at, length);
        if (agree(extent, other)) require(*extent == *other, "extents differ");
        return extent;
    }

    void check(const Extent& extent, uint64_t at, uint64_t length) const {
        require(extent.length > 0 && extent.length <= length, "extent of a wrong length");
        if (extent.kind == Kind::compressed) {
            const Extent::Packed& packed = extent.packed;
            require(fits(packed.skip, extent.length, packed.unit), "extent leaves its block");
        }
        const uint64_t half = extent.length / 2;
        const Result<Extent> rest = left_.lookup(at + half, extent.length - half);
        require(rest && rest->kind == extent.kind && rest->length == extent.length - half,
                "an extent is something else from its middle on");
        require(rest->kind != Kind::data || rest->at == extent.at + half, "data moved");
    }

    void compare_bytes(uint64_t at, uint64_t length) {
        length = std::min(length, size_ - at);
        // A byte of a compressed block costs the whole block.
        const Result<Extent> first = length == 0 ? Extent{} : left_.lookup(at, length);
        const uint64_t cost = first ? length + first->packed.unit : length;
        if (length == 0 || cost > allowance_) return;
        allowance_ -= cost;
        std::vector<byte> left(static_cast<size_t>(length), byte{0x55});  // exact, for the
        std::vector<byte> right(left.size(), byte{0xAA});                 // sanitizer
        if (!agree(read(left_, at, left), read(right_, at, right))) return;
        require(left == right, "bytes differ");
    }

    const L& left_;
    const R& right_;
    uint64_t size_;
    uint64_t allowance_ = 6_MiB;
};

}  // namespace fuzz
