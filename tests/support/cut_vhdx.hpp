// SPDX-License-Identifier: BSL-1.0
// VHDX images at work, and power cuts under them.
#pragma once

#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/vhdx/check.hpp>
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
    static constexpr uint64_t goes_on = 32;      ///< one state of so many is worked on,
    static constexpr uint64_t recoveries = 512;  ///< and cut again

    template <class S, class T = vhdx::LoggedTables<S, Heap>>
    static Result<Writer<S, T>> open(S storage, CacheShape cache) {
        return Writer<S, T>::open(std::move(storage), {.cache = cache}, Heap{}, SeededIds(3));
    }
    template <class S>
    static Result<File> read(S storage, ParentDisk below) {
        const auto image = vhdx::Image<S, Heap>::open(std::move(storage));
        if (!image) return image.error();
        return whole_disk(*image, below);
    }
    static Result<File> read(const File& file, ParentDisk below) {
        return read(MemoryStorage(file), below);
    }
    static Result<CutFiles::Ids> look(const OverFile& file, ParentDisk below) {
        const auto image = open_to_look(file);
        if (!image) return image.error();
        return sector_ids(*image, file, below);
    }
    template <class S>
    static Status recover(S& storage) {
        return vhdx::replay(storage, Heap{}, SeededIds(4));
    }
    /// A log that was replayed is empty, and no two blocks are one.
    static Result<CutFiles::Ids> judge(const OverFile& file, ParentDisk below) {
        const auto image = open_to_look(file);
        if (!image) return image.error();
        if (image->log().entries != 0) return corrupt("judge: the log stays after a replay");
        std::vector<uint64_t> places;
        const vhdx::Layout& layout = image->layout();
        for (uint64_t at = layout.bat_at; at < layout.bat_at + layout.bat_length; at += sector) {
            if (file.id(at / sector) == 0) continue;
            std::array<byte, sector> entries;
            if (Status got = file.read(at, entries); !got) return got.error();
            for (size_t i = 0; i < sector; i += 8) {
                const uint64_t e = load_le64(&entries[i]);
                if ((e & vhdx::entry::state_mask) >= 6) places.push_back(e >> 20);
            }
        }
        std::sort(places.begin(), places.end());
        const bool twice = std::adjacent_find(places.begin(), places.end()) != places.end();
        if (twice) return corrupt("judge: two blocks are one");
        return sector_ids(*image, file, below);
    }
    /// As the format's own check sees it, which takes longer. A header may be lost where it was
    /// torn finer than a medium tears; the next writer makes it anew.
    static Status check(const OverFile& file) {
        OverFile copy = file;
        if (Status recovered = recover(copy); !recovered) return recovered;
        const char* what = nullptr;
        const auto report = vhdx::check_image(copy, Heap{}, [&](const Problem& p) {
            if (std::string_view(p.what) != "vhdx: a copy of the header is lost") what = p.what;
        });
        if (!report) return report.error();
        return what == nullptr ? Status{} : Status(corrupt(what));
    }

    static auto open_to_look(const OverFile& file)
        -> Result<vhdx::Image<Borrowed<const OverFile>, Heap>> {
        return vhdx::Image<Borrowed<const OverFile>, Heap>::open(Borrowed(file),
                                                                 {.cache = {12, 2}});
    }
};

/// A kind of workload: cases are made of it by seed.
struct VhdxCutKind {
    const char* name;
    vhdx::CreateOptions options;
    Mix mix;
    unsigned ops = 16;
    unsigned before = 0;      ///< operations done, and flushed, before the recording begins
    bool at_log_end = false;  ///< the log stands a few sectors before its end
};

inline std::vector<VhdxCutKind> vhdx_cut_kinds() {
    // In whole sectors: the medium tears no finer.
    const Mix writes{.zero = 0, .discard = 0, .pack = 0, .flush = 2, .most = 9000, .align = sector};
    const Mix usual{.pack = 0, .flush = 2, .reopen = 1, .most = 9000, .align = sector};
    const Mix blocks{
        .write = 3, .zero = 4, .discard = 4, .pack = 0, .flush = 2, .most = 3_MiB, .align = 1_MiB};
    const Mix trims{.zero = 1,
                    .discard = 4,
                    .pack = 0,
                    .flush = 3,
                    .most = 9000,
                    .align = sector,
                    .trim_align = 1_MiB};
    const Mix large{.pack = 0, .flush = 2, .reopen = 1, .most = 20000, .align = 4096};
    const Mix reopens{.write = 4, .zero = 1, .pack = 0, .reopen = 4, .most = 4000, .align = sector};
    const Mix small{.zero = 1, .discard = 1, .pack = 0, .flush = 5, .most = 4000, .align = sector};
    constexpr uint64_t size = 3_MiB + 16 * sector;
    const auto base = vhdx_options(size), child = vhdx_options(size, true);
    auto fixed = base, base_4k = base, child_4k = child;
    fixed.fixed = true;
    base_4k.sector_bits = child_4k.sector_bits = 12;
    return {
        {"allocating writes", base, writes},
        {"all sorts", base, usual, 20, 3},
        {"whole blocks", base, blocks, 24, 2},
        {"trims, writes again", base, trims, 24, 4},
        {"child, allocating", child, writes},
        {"child, all sorts", child, usual, 20, 3},
        {"child, whole blocks", child, blocks, 24, 2},
        {"child, trims, writes again", child, trims, 24, 4},
        {"child, the log wraps", child, small, 24, 0, true},
        {"opened again and again", base, reopens, 20},
        {"child, opened again and again", child, reopens, 20},
        {"sectors of 4096", base_4k, large, 20},
        {"child, sectors of 4096", child_4k, large, 20, 2},
        {"fixed", fixed, usual, 20},
    };
}

/// Disks so large that one entry of the log does not take all tables that wait.
inline std::vector<VhdxCutKind> vhdx_large_cut_kinds() {
    const Mix apart{.zero = 0, .discard = 0, .pack = 0, .most = 4000, .align = sector};
    const Mix trims{.zero = 1,
                    .discard = 2,
                    .pack = 0,
                    .reopen = 1,
                    .most = 4000,
                    .align = sector,
                    .trim_align = 1_MiB};
    return {
        {"large child", vhdx_options(60_MiB, true), apart, 30, 4},
        {"large child, trims", vhdx_options(60_MiB, true), trims, 30, 8},
    };
}

/// Work that brings the log of a child to its last sectors: an entry of two sectors per flush.
inline std::vector<Op> fill_log(uint64_t seed) {
    std::vector<Op> ops;
    for (uint64_t i = 0; i < 121 + seed % 6; ++i) {
        ops.push_back(Op::write(2 * i * sector, sector, 100));
        ops.push_back(Op::flush());
    }
    return ops;
}

/// Case number `seed` of a kind.
inline ImageCutWork make_cut(const VhdxCutKind& kind, uint64_t seed) {
    constexpr CacheShape caches[] = {{12, 0}, {12, 3}, {12, 6}};
    ImageCutWork work;
    work.below.exists = kind.options.is_child;
    work.cache = caches[seed % 3];
    work.options.seed = seed;
    work.options.fine = 192 << 10;
    if (kind.at_log_end) work.before = fill_log(seed);
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

/// Runs and judges one workload, counting its states in all of `tallies`.
template <class S = PowerCutStorage, class Tables = vhdx::LoggedTables<S, Heap>>
Status cut(const ImageCutWork& work, std::initializer_list<CutTally*> tallies) {
    return cut_image<VhdxSubject, S, Tables>(work, tallies);
}

}  // namespace vdisk::test
