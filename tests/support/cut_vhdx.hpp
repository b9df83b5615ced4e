// SPDX-License-Identifier: BSL-1.0
// VHDX images at work, and power cuts under them.
#pragma once

#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/vhdx/create.hpp>
#include <vdisk/format/vhdx/writer.hpp>

#include "support/cut_image.hpp"
#include "support/places.hpp"

namespace vdisk::test {

template <class S, class T = vhdx::LoggedTables<S, Heap>>
using VhdxWriter = vhdx::Writer<S, Heap, SeededIds, T>;
using VhdxReader = vhdx::Image<MemoryStorage, Heap>;

inline vhdx::CreateOptions vhdx_options(uint64_t size, bool is_child = false) {
    vhdx::CreateOptions options{.size = size, .block_bits = 20, .is_child = is_child};
    if (is_child) {
        options.parent = {.data_write_guid = SeededIds(9)(), .relative_path = "parent.vhdx"};
    }
    return options;
}

inline File new_vhdx(const vhdx::CreateOptions& options) {
    GrowableMemory memory;
    const Status made = vhdx::create(memory, options, SeededIds(1));
    if (!made) throw std::runtime_error(made.error().what);
    return bytes_of(memory);
}

/// What CutImage asks of VHDX.
struct VhdxSubject {
    template <class S, class T = vhdx::LoggedTables<S, Heap>>
    using Writer = VhdxWriter<S, T>;
    static constexpr uint64_t recoveries = 256;

    template <class S, class T = vhdx::LoggedTables<S, Heap>>
    static Result<Writer<S, T>> open(S storage, CacheShape cache) {
        return Writer<S, T>::open(std::move(storage), {.cache = cache}, Heap{}, SeededIds(3));
    }
    static Result<File> read(const File& file, ParentDisk below) {
        const auto image = VhdxReader::open(MemoryStorage(file));
        if (!image) return image.error();
        return whole_disk(*image, below);
    }
    template <class S>
    static Status recover(S& storage) {
        return vhdx::replay(storage, Heap{}, SeededIds(4));
    }
    /// A log that was replayed is empty, and no two blocks are one.
    static Status judge(const File& file) {
        GrowableMemory memory(file);
        if (Status done = recover(memory); !done) return done;
        const auto image = VhdxReader::open(MemoryStorage(memory.bytes()));
        if (!image) return image.error();
        if (image->log().entries != 0) return corrupt("judge: the log stays after a replay");
        std::vector<uint64_t> places;
        const vhdx::Layout& layout = image->layout();
        for (uint64_t i = 0; i < layout.bat_entries(); ++i) {
            const uint64_t e = load_le64(memory.bytes().data() + layout.bat_at + i * 8);
            if ((e & vhdx::entry::state_mask) >= 6) places.push_back(e >> 20);
        }
        std::sort(places.begin(), places.end());
        const bool twice = std::adjacent_find(places.begin(), places.end()) != places.end();
        return twice ? Status(corrupt("judge: two blocks are one")) : Status{};
    }
};

/// A kind of workload: cases are made of it by seed.
struct VhdxCutKind {
    const char* name;
    vhdx::CreateOptions options;
    Mix mix;
    unsigned ops = 8;
    unsigned before = 0;  ///< operations done, and flushed, before the recording begins
};

inline std::vector<VhdxCutKind> vhdx_cut_kinds() {
    // In whole sectors: the medium tears no finer.
    const Mix writes{.zero = 0, .discard = 0, .pack = 0, .flush = 2, .most = 9000, .align = sector};
    const Mix usual{.pack = 0, .flush = 2, .reopen = 1, .most = 9000, .align = sector};
    const Mix blocks{
        .write = 3, .zero = 4, .discard = 4, .pack = 0, .flush = 2, .most = 3_MiB, .align = 1_MiB};
    constexpr uint64_t size = 3_MiB + 16 * sector;
    vhdx::CreateOptions large_sectors = vhdx_options(size);
    large_sectors.sector_bits = 12;
    return {
        {"allocating writes", vhdx_options(size), writes},
        {"all sorts", vhdx_options(size), usual, 10, 3},
        {"whole blocks", vhdx_options(size), blocks, 8, 2},
        {"child, allocating", vhdx_options(size, true), writes},
        {"child, all sorts", vhdx_options(size, true), usual, 10, 3},
        {"child, whole blocks", vhdx_options(size, true), blocks, 8, 2},
        {"sectors of 4096",
         large_sectors,
         {.pack = 0, .flush = 2, .reopen = 1, .most = 20000, .align = 4096}},
    };
}

/// Case number `seed` of a kind.
inline ImageCutWork make_cut(const VhdxCutKind& kind, uint64_t seed) {
    constexpr CacheShape caches[] = {{12, 0}, {12, 3}, {12, 6}};
    ImageCutWork work;
    work.below.exists = kind.options.is_child;
    work.cache = caches[seed % 3];
    work.options.seed = seed;
    GrowableMemory memory(new_vhdx(kind.options));
    if (kind.before > 0) {
        auto writer = value_of(VhdxSubject::open(Borrowed(memory), {12, 6}));
        File model = value_of(whole_disk(writer, work.below));
        RandomWork random(model.size(), kind.mix, seed + 1000);
        for (unsigned i = 0; i < kind.before; ++i) {
            const Status done = perform(writer, random.next(), model, work.below);
            if (!done) throw std::runtime_error(done.error().what);
        }
        if (!writer.close()) throw std::runtime_error("close");
    }
    work.start = bytes_of(memory);
    RandomWork random(kind.options.size, kind.mix, seed * 31 + kind.options.sector_bits);
    for (unsigned i = 0; i < kind.ops; ++i) work.ops.push_back(random.next());
    work.ops.push_back(Op::flush());
    return work;
}

/// Runs and judges one workload.
template <class S = PowerCutStorage, class Tables = vhdx::LoggedTables<S, Heap>>
Status cut(const ImageCutWork& work, CutTally& tally) {
    return cut_image<VhdxSubject, S, Tables>(work, tally);
}

}  // namespace vdisk::test
