// SPDX-License-Identifier: BSL-1.0
// VHD images at work: what tests of writing, faults and power cuts have in common.
#pragma once

#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/vhd/create.hpp>
#include <vdisk/format/vhd/repair.hpp>
#include <vdisk/format/vhd/writer.hpp>

#include "support/places.hpp"
#include "support/workload.hpp"

namespace vdisk::test {

template <class S, class T = StagedMetadata<S, Heap>>
using VhdWriter = vhd::Writer<S, Heap, T>;
using VhdReader = vhd::Image<MemoryStorage, Heap>;

/// An id that is not nil.
constexpr Guid guid(uint8_t seed) { return Guid::from_random({byte{seed}, byte{1}}); }

/// Options of an image of small blocks. A differencing one has a parent of id 2.
inline vhd::CreateOptions vhd_options(uint64_t size, uint8_t block_bits,
                                      vhd::Type type = vhd::Type::dynamic) {
    vhd::CreateOptions options{
        .size = size, .type = type, .block_bits = block_bits, .unique_id = guid(1)};
    if (type == vhd::Type::differencing) {
        options.parent = {.unique_id = guid(2), .relative_path = "parent.vhd"};
    }
    return options;
}

inline File new_vhd(const vhd::CreateOptions& options) {
    GrowableMemory memory;
    const Status made = vhd::create(memory, options);
    if (!made) throw std::runtime_error(made.error().what);
    return bytes_of(memory);
}

/// The disk as a reader sees it that has never seen the writer.
inline Result<File> read_vhd(const File& file, ParentDisk below) {
    const auto image = VhdReader::open(MemoryStorage(file));
    if (!image) return image.error();
    return whole_disk(*image, below);
}

inline Result<vhd::CheckReport> check_vhd(const File& file) {
    MemoryStorage storage(file);
    return vhd::check_image(storage, Heap{});
}

/// Nothing is wrong but what leaks, once it is recovered.
template <class S>
Status at_most_leaks_in_vhd(S storage) {
    if (Status recovered = vhd::recover(storage, Heap{}); !recovered) return recovered;
    const char* what = nullptr;
    const auto report = vhd::check_image(storage, Heap{}, [&](const Problem& p) {
        if (p.flaw != Flaw::leak) what = p.what;
    });
    if (!report) return report.error();
    return what == nullptr ? Status{} : Status(corrupt(what));
}
inline Status at_most_leaks_in_vhd(const File& file) {
    return at_most_leaks_in_vhd(GrowableMemory(file));
}

}  // namespace vdisk::test
