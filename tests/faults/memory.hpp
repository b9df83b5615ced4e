// SPDX-License-Identifier: BSL-1.0
// Operations that run out of memory, at each request in turn: what is left is sound, the old or the
// new where the operation is one step, nothing leaks, and the next try makes it the new.
#pragma once

#include <vdisk/io/write.hpp>
#include <vdisk/io/zero.hpp>

#include "support/bytes.hpp"
#include "support/paged_growable.hpp"
#include "support/places.hpp"
#include "support/refusals.hpp"

namespace vdisk::test::memory_faults {

/// What an operation does to the file.
enum class Does : uint8_t {
    nothing,
    one_step,    ///< the guest sees the old state or the new one
    many_steps,  ///< each leaves it sound
};

/// What a test knows of a format: `sound(file)` gives a Status, `seen(file)` what a guest sees.
template <class Subject, class Operation>
uint64_t refuse(const File& before, const Operation& operation, Does does, Need need = Need::all) {
    GrowableMemory file(before);
    const auto run = [&](auto memory) {
        PagedGrowable storage(file);
        return operation(storage, memory);
    };
    const auto succeed = [&] {
        const Status done = run(Heap{});
        INFO(done.error().what);
        REQUIRE(done);
        REQUIRE(Subject::sound(bytes_of(file)));
        return value_of(Subject::seen(bytes_of(file)));
    };
    const auto old = value_of(Subject::seen(before));
    const auto fresh = succeed();
    return refuse_each(
        [&](Failing memory) {
            file = GrowableMemory(before);
            return run(memory);
        },
        [&] {
            const File half = bytes_of(file);
            if (half == before) return;  // from here it works, as seen above
            REQUIRE(does != Does::nothing);
            const Status sound = Subject::sound(half);
            INFO(sound.error().what);
            REQUIRE(sound);
            const auto seen = value_of(Subject::seen(half));
            const bool whole = seen == old || seen == fresh;
            if (does == Does::one_step) REQUIRE(whole);
            if (does == Does::one_step && seen != old) return;
            const bool same = succeed() == fresh;
            REQUIRE(same);
        },
        need);
}

/// What a guest does to a disk of so many bytes.
template <class W>
Status work(W& writer, uint64_t size, uint32_t seed) {
    std::vector<byte> scratch(4096);
    const File bytes = noise(3000, seed);
    for (uint64_t at = seed * 512 % 4096; at + 6000 < size; at += size / 7) {
        if (Status put = write(writer, at + 100, bytes, scratch); !put) return put;
        if (Status put = zero(writer, at + 2000, 900, scratch); !put) return put;
    }
    if (Status gone = discard(writer, 0, size / 9); !gone) return gone;
    return writer.flush();
}

/// Reads all of it.
template <class I>
Status read_all(const Result<I>& image) {
    if (!image) return image.error();
    File disk(static_cast<size_t>(std::min<uint64_t>(image->size(), 4_MiB)));
    return read(*image, 0, disk);
}

/// Sizes of the cache of tables.
inline constexpr CacheShape shapes[] = {{9, 0}, {9, 3}, {12, 1}, {12, 5}};

template <class R>
Status told(const R& report) {
    return report ? Status{} : Status(report.error());
}

}  // namespace vdisk::test::memory_faults
