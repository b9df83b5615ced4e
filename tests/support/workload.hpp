// SPDX-License-Identifier: BSL-1.0
// What a guest does to a disk, and a plain vector that says what it has to see then.
#pragma once

#include <algorithm>
#include <random>
#include <vector>

#include <vdisk/io/write.hpp>
#include <vdisk/io/zero.hpp>

#include "support/image_builder.hpp"

namespace vdisk::test {

/// One thing a guest, or the host on its behalf, asks for.
struct Op {
    enum class Kind : uint8_t { write, zero, discard, pack, flush, reopen };
    Kind kind = Kind::write;
    uint64_t at = 0;
    uint64_t length = 0;
    uint32_t tag = 1;  ///< of what is written

    static Op write(uint64_t at, uint64_t length, uint32_t tag) {
        return {Kind::write, at, length, tag};
    }
    static Op zero(uint64_t at, uint64_t length) { return {Kind::zero, at, length, 0}; }
    static Op discard(uint64_t at, uint64_t length) { return {Kind::discard, at, length, 0}; }
    static Op pack(uint64_t at, uint64_t length, uint32_t tag) {
        return {Kind::pack, at, length, tag};
    }
    static Op flush() { return {Kind::flush, 0, 0, 0}; }
    static Op reopen() { return {Kind::reopen, 0, 0, 0}; }
};

/// Contents that tell where they belong and who wrote them: each sector differs from all others.
/// They compress to a few bytes.
inline byte content(uint64_t at, uint32_t tag) {
    const uint64_t sector_number = at / sector;
    const uint64_t mixed = (sector_number * 2654435761u + tag * 40503u + 1) >> (at % 4 * 5 + 3);
    return at % sector < 24 ? byte(mixed | 1) : byte(tag * 16 + 1);
}

inline void fill(uint64_t at, MutBytes out, uint32_t tag) {
    std::ranges::fill(out, byte(tag * 16 + 1));
    for (uint64_t s = at / sector * sector; s < at + out.size(); s += sector) {
        for (uint64_t i = std::max(s, at); i < std::min(s + 24, at + out.size()); ++i) {
            out[i - at] = content(i, tag);
        }
    }
}

inline File contents(uint64_t at, uint64_t length, uint32_t tag) {
    File bytes(static_cast<size_t>(length));
    fill(at, bytes, tag);
    return bytes;
}

/// What is below the image: a parent whose sectors all differ, or nothing.
struct ParentDisk {
    bool exists = false;
    Status operator()(uint64_t at, MutBytes out) const {
        if (exists) fill(at, out, 0);
        else std::ranges::fill(out, byte{0});
        return {};
    }
};

template <class I>
Result<File> whole_disk(const I& image, ParentDisk below) {
    File disk(static_cast<size_t>(image.size()));
    if (Status got = read(image, 0, disk, below); !got) return got.error();
    return disk;
}

template <class W>
Status pack_cluster(W& writer, uint64_t at, const File& bytes) {
    const File stream = pack(bytes, writer.packing());
    const auto home = writer.place_packed(stream.size());
    if (!home) return home.error();
    if (Status put = writer.storage().write(*home, stream); !put) return put;
    return writer.commit_packed(at, *home, stream.size());
}

/// Does `op` to the image and, where it succeeds, to `model`. A discard may leave bytes as they are
/// or make them zeros: the model learns which. `reopen` is the caller's.
template <class W>
Status perform(W& writer, const Op& op, File& model, ParentDisk below, size_t scratch_size = 1024) {
    File scratch(scratch_size);
    Status done;
    const bool brings = op.kind == Op::Kind::write || op.kind == Op::Kind::pack;
    File bytes = brings ? contents(op.at, op.length, op.tag) : File(op.length);
    switch (op.kind) {
        case Op::Kind::write: done = write(writer, op.at, bytes, scratch, below); break;
        case Op::Kind::zero: done = zero(writer, op.at, op.length, scratch, below); break;
        case Op::Kind::discard: done = discard(writer, op.at, op.length); break;
        case Op::Kind::pack:
            if constexpr (requires { writer.pack_unit(); }) {
                done = pack_cluster(writer, op.at, bytes);
            }
            break;
        case Op::Kind::flush: return writer.flush();
        case Op::Kind::reopen:
            if constexpr (requires { writer.close(); }) return writer.close();
            else return writer.flush();
    }
    if (!done) return done;
    const auto home = model.begin() + static_cast<std::ptrdiff_t>(op.at);
    if (op.kind == Op::Kind::discard) {
        if (Status got = read(writer, op.at, bytes, below); !got) return got;
        for (size_t i = is_zero(bytes) ? bytes.size() : 0; i < bytes.size(); ++i) {
            if (bytes[i] != byte{0} && bytes[i] != home[static_cast<std::ptrdiff_t>(i)]) {
                return corrupt("discard: neither old nor zero", {op.at + i});
            }
        }
    }
    std::copy(bytes.begin(), bytes.end(), home);
    return {};
}

/// How often each kind of work is drawn, and how it is cut.
struct Mix {
    unsigned write = 6, zero = 2, discard = 2, pack = 1, flush = 1, reopen = 0;
    uint64_t most = 8192;      ///< bytes of one piece
    uint64_t align = 1;        ///< where pieces begin and end
    uint64_t pack_unit = 512;  ///< bytes of what is packed
    uint64_t trim_align = 1;   ///< zeros and discards grow to whole pieces of so many
};

class RandomWork {
public:
    RandomWork(uint64_t size, Mix mix, uint64_t seed) : size_(size), mix_(mix), random_(seed) {}

    Op next() {
        const unsigned all =
            mix_.write + mix_.zero + mix_.discard + mix_.pack + mix_.flush + mix_.reopen;
        auto draw = static_cast<unsigned>(random_() % all);
        const auto is = [&](unsigned weight) {
            if (draw < weight) return true;
            draw -= weight;
            return false;
        };
        const uint64_t at = random_() % size_ / mix_.align * mix_.align;
        const uint64_t most = std::min(size_ - at, std::max(mix_.align, random_() % mix_.most + 1));
        const uint64_t drawn = 1 + random_() % most;
        const uint64_t length =
            std::min(size_ - at, (drawn + mix_.align - 1) / mix_.align * mix_.align);
        const auto tag = ++tag_;
        if (is(mix_.write)) return Op::write(at, length, tag);
        if (is(mix_.zero)) return trim(Op::zero(at, length));
        if (is(mix_.discard)) return trim(Op::discard(at, length));
        if (is(mix_.pack)) {
            const uint64_t unit = at / mix_.pack_unit * mix_.pack_unit;
            if (size_ - unit < mix_.pack_unit) return Op::write(at, length, tag);
            return Op::pack(unit, mix_.pack_unit, tag);
        }
        return is(mix_.flush) ? Op::flush() : Op::reopen();
    }

private:
    [[nodiscard]] Op trim(Op op) const {
        const uint64_t end = (op.at + op.length + mix_.trim_align - 1) / mix_.trim_align;
        op.at = op.at / mix_.trim_align * mix_.trim_align;
        op.length = std::min(size_, end * mix_.trim_align) - op.at;
        return op;
    }

    uint64_t size_;
    Mix mix_;
    std::mt19937_64 random_;
    uint32_t tag_ = 0;
};

}  // namespace vdisk::test
