// SPDX-License-Identifier: BSL-1.0
// Replaces the first cluster of a qcow2 image so that a power cut, which tears writes between
// sectors of 512 bytes, leaves the old contents or the new.
//
// Only the first sector can be switched at once. What it leads to behind itself must be there
// before, and must not lie where the old contents still are. Where both would lie at one place,
// the new ones are put behind everything first, the first sector leads there over a spacer, and
// then they move to their place.
#pragma once

#include <vdisk/format/qcow2/header_builder.hpp>

namespace vdisk::qcow2 {

/// Holds the place of extensions that stand further back while they are moved. A program that does
/// not know it passes over it, as over any other.
inline constexpr uint32_t spacer_extension = extension::spacer;

/// A first cluster in memory; `used` bytes of it mean something.
struct Composed {
    MutBytes bytes;
    uint64_t used = 0;
};

namespace header_switch {

inline constexpr uint64_t sector = 512;

/// Sectors that differ, [first, end); both 0: none.
struct Difference {
    uint64_t first = 0, end = 0;
    [[nodiscard]] bool any() const { return end != 0; }
};

/// From byte `from` on; `from` and the sizes are multiples of a sector, the sizes equal.
inline Difference difference(Bytes a, Bytes b, uint64_t from) {
    Difference out;
    for (uint64_t at = from; at < a.size(); at += sector) {
        if (std::memcmp(a.data() + at, b.data() + at, sector) == 0) continue;
        if (!out.any()) out.first = at;
        out.end = at + sector;
    }
    return out;
}

/// Writes bytes [from, to) of `bytes` to the same place; durable when it returns.
template <WritableStorage S>
Status put(S& storage, Bytes bytes, uint64_t from, uint64_t to) {
    const Bytes piece = bytes.subspan(static_cast<size_t>(from), static_cast<size_t>(to - from));
    if (Status written = storage.write(from, piece); !written) return written;
    return storage.flush();
}

/// The first sector while extensions and name stand `shift` bytes behind their place.
inline void spaced_sector(Bytes fresh, uint32_t header_bytes, uint64_t shift, MutBytes out) {
    std::memcpy(out.data(), fresh.data(), header_bytes);
    auto header = load<Header>(fresh);
    if (header.backing_file_offset.value() != 0) {
        header.backing_file_offset = header.backing_file_offset.value() + shift;
    }
    constexpr size_t version_2_part = v2_header_length;
    std::memcpy(out.data(), &header, version_2_part);
    ExtensionHeader spacer;
    spacer.type = spacer_extension;
    spacer.length = static_cast<uint32_t>(shift - sizeof(ExtensionHeader));
    std::memcpy(out.data() + header_bytes, &spacer, sizeof(spacer));
}

/// By way of a copy of all that follows the header, behind old and new.
template <WritableStorage S>
Status by_detour(S& storage, const Composed& old, const Composed& fresh, uint32_t header_bytes,
                 Difference tail) {
    const uint64_t longer = old.used > fresh.used ? old.used : fresh.used;
    const uint64_t home = blocks(longer, 9) << 9;
    const uint64_t moved = fresh.used - header_bytes;
    if (header_bytes + sizeof(ExtensionHeader) > sector || !fits(home, moved, fresh.bytes.size())) {
        return fail(Errc::no_space, "qcow2: no space is left to rewrite the first cluster safely",
                    {home + moved});
    }
    std::array<byte, sector> first{};
    spaced_sector(fresh.bytes, header_bytes, home - header_bytes, first);
    const Bytes copy = Bytes(fresh.bytes).subspan(header_bytes, static_cast<size_t>(moved));
    Status done = storage.write(home, copy);
    if (done) done = storage.flush();
    if (done) done = put(storage, first, 0, sector);
    if (done) done = put(storage, fresh.bytes, sector, home);
    if (done) done = put(storage, fresh.bytes, 0, sector);
    // Nothing leads to the copy any more; the new contents are zeros there.
    const uint64_t copied = blocks(home + moved, 9) << 9;
    if (done) done = put(storage, fresh.bytes, home, tail.end > copied ? tail.end : copied);
    return done;
}

}  // namespace header_switch

/// Puts `fresh` where `old` is; both have the same size, a multiple of 512, and `header_bytes` is
/// the length of the new header. Fails with Errc::no_space, and changes nothing, where there is no
/// safe way.
template <WritableStorage S>
Status switch_header(S& storage, const Composed& old, const Composed& fresh,
                     uint32_t header_bytes) {
    using namespace header_switch;
    const Difference all = difference(old.bytes, fresh.bytes, 0);
    if (!all.any()) return {};
    if (all.end - all.first == sector) return put(storage, fresh.bytes, all.first, all.end);
    const Difference tail = difference(old.bytes, fresh.bytes, sector);
    if (tail.first >= old.used) {
        // The old contents end before.
        if (Status put_tail = put(storage, fresh.bytes, tail.first, tail.end); !put_tail) {
            return put_tail;
        }
        if (all.first != 0) return {};
        return put(storage, fresh.bytes, 0, sector);
    }
    if (all.first == 0 && tail.first >= fresh.used) {
        // The new contents end before.
        if (Status switched = put(storage, fresh.bytes, 0, sector); !switched) return switched;
        return put(storage, fresh.bytes, tail.first, tail.end);
    }
    return by_detour(storage, old, fresh, header_bytes, tail);
}

}  // namespace vdisk::qcow2
