// SPDX-License-Identifier: BSL-1.0
#include "hostile/run.hpp"

#include "hostile/look.hpp"

namespace vdisk::test {

template <class Format>
Findings examine(const File& file, OpenOptions options, std::string_view snapshot) {
    using namespace hostile;
    static Scratch scratch;
    constexpr CacheShape large{.page_bits = 12, .count_bits = 6};
    const auto reads = [&](CacheShape cache) {
        return [&, cache](auto storage, Arena memory) {
            options.cache = cache;
            return read_all(Format::open(std::move(storage), options, memory, SystemCodecs{}),
                            snapshot);
        };
    };
    const auto writes = [&](CacheShape cache) {
        return [&, cache](auto storage, Arena memory) {
            options.cache = cache;
            return read_all(
                Format::open_writer(std::move(storage), options, memory, SystemCodecs{}));
        };
    };
    const char* const path = scratch.holding(file);
    GrowableMemory memory(file), other(file);
    const Verdict first = take_look<Format>("memory", Borrowed(memory), May::read, reads({}));
    const Verdict others[] = {
        take_look<Format>("one page", PagedGrowable(memory), May::read, reads(tiny_cache)),
        take_look<Format>("pread", value_of(PreadStorage::open(path, Access::write)), May::read,
                          reads(large)),
        take_look<Format>("mmap", value_of(MmapStorage::open(path)), May::read, reads({})),
    };
    for (const Verdict& verdict : others) {
        INFO(rule(verdict));
        CHECK(first.agrees(verdict));
    }

    // A qcow writer makes the file end with a cluster, and so hides that a stream was cut short.
    constexpr May may = std::same_as<Format, Qcow> ? May::grow : May::read;
    const bool hides = may == May::grow && file.size() % sector != 0;
    const Verdict written = take_look<Format>("writer", Borrowed(memory), may, writes(large));
    CHECK(written.agrees(
        take_look<Format>("writer, one page", PagedGrowable(other), may, writes(tiny_cache))));
    const bool plain = snapshot.empty();
    if (plain && options.purpose == Purpose::data && !hides) {
        if (!written.error) CHECK(written.agrees(first));
        if (first.error && !is_one_of(rules_of_writers, written))
            CHECK(rule(written) == rule(first));
    }
    if constexpr (Checked<Format>) {
        const bool refused = plain && first.error && !is_one_of(not_checked, first);
        check_and_repair<Format>(file, refused);
    }
    Tally& all = tally<Format>();
    const size_t hash =
        std::hash<std::string_view>{}({reinterpret_cast<const char*>(file.data()), file.size()});
    if (!all.images.insert(hash).second) return {first, rule(written)};
    if (first.error) all.refused.insert(hash);
    all.refusals += refuse_reading([&](Failing room) {
        return Format::open(PagedGrowable(memory), options, room, SystemCodecs{});
    });
    all.refusals += refuse_reading([&](Failing room) {
        return Format::open_writer(PagedGrowable(other), options, room, SystemCodecs{});
    });
    const bool same = memory.size() == file.size() && std::ranges::equal(memory.bytes(), file);
    CHECK((may == May::grow || same));
    return {first, rule(written)};
}

template Findings examine<Raw>(const File&, OpenOptions, std::string_view);
template Findings examine<Qcow>(const File&, OpenOptions, std::string_view);
template Findings examine<Qcow2>(const File&, OpenOptions, std::string_view);
template Findings examine<Vhd>(const File&, OpenOptions, std::string_view);
template Findings examine<Vhdx>(const File&, OpenOptions, std::string_view);

}  // namespace vdisk::test
