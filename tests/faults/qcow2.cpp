// SPDX-License-Identifier: BSL-1.0
// qcow and qcow2 without enough memory, and on a storage that fails.
#include <vdisk/format/qcow/create.hpp>
#include <vdisk/format/qcow/format.hpp>
#include <vdisk/format/qcow2/amend.hpp>
#include <vdisk/format/qcow2/downgrade.hpp>
#include <vdisk/format/qcow2/resize.hpp>
#include <vdisk/format/qcow2/snapshots.hpp>

#include "faults/everywhere.hpp"
#include "format/qcow2/bitmap_steps.hpp"
#include "support/operations.hpp"
#include "support/qcow2_damage.hpp"

namespace vdisk::test {

namespace {

using namespace everywhere;

struct NeedsNoRecovery {
    static Status recover(GrowableMemory&) { return {}; }
};
struct Qcow2Subject : NeedsNoRecovery {
    static Status sound(const File& file) { return at_most_leaks(file); }
    static Result<Contents> seen(const File& file) { return contents(file); }
};
struct BitmapSubject : NeedsNoRecovery {
    static Status sound(const File& file) { return at_most_leaks(file); }
    static Result<bitmaps::AllSeen> seen(const File& file) { return bitmaps::all_of(file); }
};
struct QcowSubject : NeedsNoRecovery {
    static Status sound(const File& file) { return told(seen(file)); }
    static Result<File> seen(const File& file) {
        const auto image = Qcow::open(MemoryStorage(file), OpenOptions{}, Heap{}, SystemCodecs{});
        if (!image) return image.error();
        File disk(static_cast<size_t>(image->size()));
        if (Status got = read(*image, 0, disk); !got) return got.error();
        return disk;
    }
};

/// Clusters of all kinds, two snapshots.
Qcow2Spec lively(unsigned cluster_bits, uint32_t version, uint32_t seed) {
    const uint64_t count = 60 + seed % 40;
    std::vector<Fill> ways{Fill::data, Fill::packed};
    if (version == 3) ways.insert(ways.end(), {Fill::zero, Fill::zero_kept});
    return {.size = (count << cluster_bits) + 1024,
            .cluster_bits = cluster_bits,
            .version = version,
            .clusters = mixture(count, seed, ways),
            .snapshots = {{"1", "first", mixture(count, seed + 100, ways)},
                          {"7", "second", mixture(count, seed + 200, {Fill::data})}}};
}

template <class Format>
auto reading(CacheShape cache, const File& seen) {
    return [=, &seen](auto& s, auto m) {
        return read_all(Format::open(s, OpenOptions{.cache = cache}, m, SystemCodecs{}), seen);
    };
}
template <class Format>
auto writing(CacheShape cache, uint64_t size, uint32_t seed) {
    return [=](auto& s, auto m) -> Status {
        auto writer = Format::open_writer(s, OpenOptions{.cache = cache}, m, SystemCodecs{});
        return writer ? work(*writer, size, seed) : Status(writer.error());
    };
}

template <class Each>
void operations(const Each& each) {
    using enum Does;
    each(nothing, [](auto& s, auto m) { return found_sound(qcow2::check_image(s, m)); });
    each(many_steps, [](auto& s, auto m) { return repaired(qcow2::repair(s, Repair::all, m)); });
    each(one_step, [](auto& s, auto m) { return qcow2::take_snapshot(s, {.name = "new"}, m); });
    each(one_step, [](auto& s, auto m) { return qcow2::apply_snapshot(s, "first", m); });
    each(one_step, [](auto& s, auto m) { return qcow2::delete_snapshot(s, "1", m); });
    each(one_step, [](auto& s, auto m) { return qcow2::set_backing(s, "base", "raw", m); });
    each(one_step, [](auto& s, auto m) { return qcow2::upgrade(s, m); });
}
template <class Each>
void operations_of_version_3(const Each& each, uint64_t size) {
    using enum Does;
    using qcow2::RefcountUpdates;
    each(one_step, [=](auto& s, auto m) { return qcow2::grow(s, size + 8 * sector, 0, m); });
    each(one_step, [=](auto& s, auto m) { return qcow2::grow(s, 5 * size, 0, m); });
    each(one_step, [=](auto& s, auto m) { return qcow2::shrink(s, align_down(size / 2, 12), m); });
    each(one_step,
         [](auto& s, auto m) { return qcow2::set_refcount_updates(s, RefcountUpdates::lazy, m); });
    each(one_step, [](auto& s, auto m) {
        auto image = qcow2::open_closed(s, m);
        if (!image) return Status(image.error());
        auto state = qcow2::same_state(image->layout);
        state.refcount_order = 5;
        return qcow2::rewrite(s, state, m);
    });
}

}  // namespace

TEST_CASE("qcow2: faults anywhere in any operation", "[qcow2][fault]") {
    Injected faults;
    for (uint32_t seed = 1; seed <= of_share(12); ++seed) {
        for (const unsigned bits : {9u, 10u, 12u}) {
            for (const uint32_t version : {2u, 3u}) {
                CAPTURE(seed, bits, version);
                const Qcow2Spec spec = lively(bits, version, seed);
                const Built built = build(spec);
                const File& image = built.file;
                const auto each = [&](Does does, auto operation) {
                    const auto io = seed > 1    ? IoFaults::none
                                    : bits == 9 ? IoFaults::all
                                                : IoFaults::share;
                    faults.everywhere<Qcow2Subject>(image, operation, does, io);
                };
                for (const CacheShape cache : shapes) {
                    each(Does::nothing, reading<Qcow2>(cache, built.guest.bytes));
                    each(Does::many_steps, writing<Qcow2>(cache, spec.size, seed));
                }
                operations(each);
                if (version == 3) operations_of_version_3(each, spec.size);
            }
        }
    }
    faults.tell("qcow2 operations");
    CHECK(faults.memory > 5000 / (share() * share()));
    CHECK(faults.io > 5000 / share());
}

TEST_CASE("qcow2: faults anywhere with extended L2 entries", "[qcow2][fault]") {
    Injected faults;
    Qcow2Spec spec = test::lively(14, 3, true);
    spec.size = (30 << 14) + 1024;
    std::erase_if(spec.clusters, [](const Cluster& c) { return c.index > 30; });
    for (SnapshotSpec& s : spec.snapshots) {
        std::erase_if(s.clusters, [](const Cluster& c) { return c.index > 30; });
    }
    spec.clusters.push_back({3, Fill::data, 5, 0x0F0F'FF00, 0xF0F0'0000});
    std::erase_if(spec.clusters, [](const Cluster& c) { return c.index == 3 && c.seed != 5; });
    const Built built = build(spec);
    const File& image = built.file;
    const auto each = [&](Does does, auto operation) {
        faults.everywhere<Qcow2Subject>(image, operation, does, IoFaults::all);
    };
    each(Does::nothing, reading<Qcow2>({9, 3}, built.guest.bytes));
    each(Does::many_steps, writing<Qcow2>({9, 3}, spec.size, 1));
    operations(each);
    operations_of_version_3(each, spec.size);
    faults.tell("qcow2 extended L2");
    CHECK(faults.memory > 50 / share());
    CHECK(faults.io > 500 / share());
}

TEST_CASE("qcow2: faults anywhere on the way to version 2", "[qcow2][fault]") {
    Injected faults;
    Qcow2Spec spec = test::lively(9);
    spec.snapshots.clear();
    const File image = build(spec).file;
    faults.everywhere<Qcow2Subject>(
        image, [](auto& s, auto m) { return qcow2::downgrade(s, m); }, Does::many_steps,
        IoFaults::all);
    faults.tell("qcow2 downgrade");
    CHECK(faults.io > 50);
}

TEST_CASE("qcow2: faults anywhere in work on bitmaps", "[qcow2][bitmaps][fault]") {
    using enum Does;
    Injected faults;
    for (const unsigned bits : {9u, 12u}) {
        GrowableMemory memory(bitmaps::with_bits(bits));
        bitmaps::scatter(memory, "b9", 1, 30);
        bitmaps::scatter(memory, "b16", 2, 5);
        const File image = bytes_of(memory);
        const auto each = [&](auto operation) {
            CAPTURE(bits);
            faults.everywhere<BitmapSubject>(image, operation, one_step, IoFaults::all);
        };
        using bitmaps::Do;
        for (const bitmaps::Step& step :
             std::initializer_list<bitmaps::Step>{{Do::add, "new"},
                                                  {Do::remove, "b9"},
                                                  {Do::clear, "b9"},
                                                  {Do::disable, "e"},
                                                  {Do::merge, "b9", "b16"},
                                                  {Do::merge, "b16", "b9"}}) {
            each([&](auto& s, auto m) { return bitmaps::run(s, step, m); });
        }
        each([](auto& s, auto m) { return qcow2::grow(s, 40_MiB, 0, m); });
        each([](auto& s, auto m) { return qcow2::shrink(s, 1_MiB, m); });
        faults.everywhere<BitmapSubject>(
            image, [](auto& s, auto m) { return qcow2::mark_recording_dirty(s, m); }, many_steps,
            IoFaults::all);
    }
    faults.tell("qcow2 bitmaps");
    CHECK(faults.memory > 50 / share());
    CHECK(faults.io > 500 / share());
}

TEST_CASE("qcow2: faults anywhere in a repair", "[qcow2][repair][fault]") {
    Injected faults;
    const Built image = build(test::lively(9));
    for (const Qcow2Damage& damage : qcow2_damages) {
        CAPTURE(damage.name);
        File file = image.file;
        damage.inflict(file, image);
        faults.everywhere<Qcow2Subject>(
            file, [](auto& s, auto m) { return repaired(qcow2::repair(s, Repair::all, m)); },
            Does::mends, IoFaults::all);
    }
    faults.tell("qcow2 repair");
    CHECK(faults.memory > 50 / share());
    CHECK(faults.io > 500 / share());
}

TEST_CASE("qcow2: no memory while refcounts are built anew", "[qcow2][fault]") {
    uint64_t refusals = 0;
    for (uint32_t seed = 1; seed <= of_share(20); ++seed) {
        for (const unsigned bits : {9u, 10u, 12u}) {
            CAPTURE(seed, bits);
            File image = build(lively(bits, 3, seed)).file;
            const uint64_t table = get_be64(image, 48);
            set_be64(image, table, get_be64(image, table) + seed);  // unaligned
            GrowableMemory file;
            const auto mend = [&](auto memory) {
                PagedGrowable storage(file);
                return told(qcow2::repair(storage, Repair::all, memory));
            };
            const auto attempt = [&](Failing memory) {
                file = GrowableMemory(image);
                return mend(memory);
            };
            refusals += refuse_each(attempt, [&](const Status&) {
                REQUIRE(mend(Heap{}));
                REQUIRE(is_clean(bytes_of(file)));
            });
        }
    }
    tell_faults("memory, qcow2 refcounts", refusals);
    CHECK(refusals > 1500 / (share() * share()));
}

TEST_CASE("qcow: faults anywhere", "[qcow][fault]") {
    Injected faults;
    for (uint32_t seed = 1; seed <= of_share(12); ++seed) {
        for (const unsigned bits : {9u, 12u}) {
            CAPTURE(seed, bits);
            const uint64_t count = 60 + seed;
            const Built built =
                build(QcowSpec{.size = count << bits,
                               .cluster_bits = bits,
                               .l2_bits = 6,
                               .clusters = mixture(count, seed, {Fill::data, Fill::packed})});
            const File& image = built.file;
            for (const CacheShape cache : shapes) {
                faults.everywhere<QcowSubject>(image, reading<Qcow>(cache, built.guest.bytes),
                                               Does::nothing,
                                               seed < 3 ? IoFaults::share : IoFaults::none);
                faults.everywhere<QcowSubject>(image, writing<Qcow>(cache, count << bits, seed),
                                               Does::many_steps,
                                               seed < 3 ? IoFaults::share : IoFaults::none);
            }
        }
    }
    faults.tell("qcow");
    CHECK(faults.memory > 600 / (share() * share()));
    CHECK(faults.io > 600 / share());
}

TEST_CASE("qcow, qcow2: I/O errors while an image is made", "[qcow][qcow2][fault]") {
    using enum qcow2::Preallocation;
    uint64_t faults = 0;
    for (const auto preallocation : {off, metadata, falloc, full}) {
        for (const bool extended : {false, true}) {
            const qcow2::CreateOptions options{.size = 2_MiB,
                                               .cluster_bits = 14,
                                               .extended_l2 = extended,
                                               .preallocation = preallocation};
            faults += fail_creation([&](auto& s) { return qcow2::create(s, options); });
        }
    }
    const qcow2::CreateOptions outside{.size = 256_KiB, .data_file = "data", .preallocation = full};
    faults += fail_creation([&](auto& s) { return qcow2::create_data_file(s, outside); });
    const qcow::CreateOptions child{.size = 1_MiB, .backing_file = "base"};
    faults += fail_creation([&](auto& s) { return qcow::create(s, child); });
    tell_faults("I/O, qcow and qcow2 creation", faults);
    CHECK(faults > 50);
}

}  // namespace vdisk::test
