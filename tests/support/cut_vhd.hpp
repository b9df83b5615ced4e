// SPDX-License-Identifier: BSL-1.0
// Power cuts under a VHD image.
#pragma once

#include "support/cut_image.hpp"
#include "support/vhd_work.hpp"

namespace vdisk::test {

/// What CutImage asks of VHD.
struct VhdSubject {
    template <class S, class T = StagedMetadata<S, Heap>>
    using Writer = VhdWriter<S, T>;
    static constexpr uint64_t goes_on = 1;      ///< one state of so many is worked on,
    static constexpr uint64_t recoveries = 64;  ///< and cut again

    template <class S, class T = StagedMetadata<S, Heap>>
    static Result<Writer<S, T>> open(S storage, CacheShape cache) {
        return Writer<S, T>::open(std::move(storage), {.cache = cache});
    }
    template <class S>
    static Result<File> read(const S& storage, ParentDisk below) {
        const auto image = vhd::Image<S, Heap>::open(storage, {.cache = {12, 2}});
        if (!image) return image.error();
        return whole_disk(*image, below);
    }
    static Result<File> read(const File& file, ParentDisk below) { return read_vhd(file, below); }
    static Result<CutFiles::Ids> look(const OverFile& file, ParentDisk below) {
        if (Status ends = ends_with_footer(file); !ends) return ends.error();
        const auto image =
            vhd::Image<Borrowed<const OverFile>, Heap>::open(Borrowed(file), {.cache = {12, 2}});
        if (!image) return image.error();
        return sector_ids(*image, file, below);
    }
    template <class S>
    static Status recover(S& storage) {
        return vhd::recover(storage, Heap{});
    }
    static Result<CutFiles::Ids> judge(const OverFile& file, ParentDisk below) {
        if (Status well = check(file); !well) return well.error();
        return look(file, below);
    }
    static Status check(const OverFile& file) { return at_most_leaks_in_vhd(file); }

    // Behind what is linked there is a footer at all times, though the file may be longer.
    static Status ends_with_footer(const OverFile& file) {
        const Borrowed storage(file);
        const auto image = vhd::open_closed(storage, Heap{});
        if (!image) return image.error();
        if (image->layout.is_fixed()) return {};
        const auto end = vhd::end_of_data(*image);
        if (!end) return end.error();
        const auto footer = load<vhd::Footer>(storage, *end);
        if (!footer) return footer.error();
        const bool right = vhd::has_cookie(*footer) && vhd::footer::checksum_right(*footer);
        return right ? Status{} : Status(corrupt("judge: no footer behind the last block"));
    }
};

/// A kind of workload: cases are made of it by seed.
struct VhdCutKind {
    const char* name;
    vhd::CreateOptions options;
    Mix mix;
    unsigned ops = 8;
    unsigned before = 0;  ///< operations done, and flushed, before the recording begins
};

inline std::vector<VhdCutKind> vhd_cut_kinds() {
    using enum vhd::Type;
    // In whole sectors: the medium tears no finer.
    const Mix writes{.zero = 0, .discard = 0, .pack = 0, .flush = 2, .most = 9000, .align = sector};
    const Mix usual{.pack = 0, .flush = 2, .reopen = 1, .most = 9000, .align = sector};
    const Mix small{.pack = 0, .flush = 2, .most = 2000, .align = sector};
    return {
        {"allocating writes", vhd_options(160 * sector, 12), writes},
        {"allocating writes, 512 bytes", vhd_options(60 * sector, 9), small},
        {"rewrites", vhd_options(60 * sector, 13), usual, 10, 20},
        {"all sorts", vhd_options(160 * sector, 12), usual, 10, 6},
        {"child, allocating", vhd_options(160 * sector, 12, differencing), writes},
        {"child, rewrites", vhd_options(60 * sector, 13, differencing), usual, 10, 12},
        {"child, all sorts", vhd_options(160 * sector, 14, differencing), usual, 10, 3},
        {"fixed", vhd_options(60 * sector, 12, fixed), usual},
    };
}

/// Case number `seed` of a kind.
inline ImageCutWork make_cut(const VhdCutKind& kind, uint64_t seed) {
    constexpr CacheShape caches[] = {{9, 0}, {9, 2}, {12, 8}};
    ImageCutWork work;
    work.below.exists = kind.options.type == vhd::Type::differencing;
    work.cache = caches[seed % 3];
    work.options.seed = seed;
    GrowableMemory memory(new_vhd(kind.options));
    if (kind.before > 0) {
        auto writer = value_of(VhdWriter<Borrowed<GrowableMemory>>::open(Borrowed(memory)));
        File model = value_of(whole_disk(writer, work.below));
        RandomWork random(kind.options.size, kind.mix, seed + 1000);
        for (unsigned i = 0; i < kind.before; ++i) {
            const Status done = perform(writer, random.next(), model, work.below);
            if (!done) throw std::runtime_error(done.error().what);
        }
        if (!writer.flush()) throw std::runtime_error("flush");
    }
    work.start = bytes_of(memory);
    RandomWork random(kind.options.size, kind.mix, seed * 31 + kind.options.block_bits);
    for (unsigned i = 0; i < kind.ops; ++i) work.ops.push_back(random.next());
    work.ops.push_back(Op::flush());
    return work;
}

/// Runs and judges one workload.
template <class S = PowerCutStorage, class Tables = StagedMetadata<S, Heap>>
Status cut(const ImageCutWork& work, CutTally& tally) {
    return cut_image<VhdSubject, S, Tables>(work, {&tally});
}

}  // namespace vdisk::test
