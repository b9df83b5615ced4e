// SPDX-License-Identifier: BSL-1.0
// VHDX without enough memory, and on a storage that fails.
#include <vdisk/format/vhdx/change.hpp>
#include <vdisk/format/vhdx/compact.hpp>
#include <vdisk/format/vhdx/repair.hpp>
#include <vdisk/format/vhdx/resize.hpp>

#include "faults/everywhere.hpp"
#include "support/cut_vhdx.hpp"

namespace vdisk::test {

namespace {

using namespace everywhere;

struct Subject {
    static Status recover(GrowableMemory& file) { return vhdx::replay(file, Heap{}, SeededIds(4)); }
    static Status sound(const File& file) {
        GrowableMemory memory(file);
        if (Status replayed = vhdx::replay(memory, Heap{}, SeededIds(4)); !replayed)
            return replayed;
        const char* what = nullptr;
        const auto report = vhdx::check_image(memory, Heap{}, [&](const Problem& p) {
            if (p.flaw != Flaw::leak) what = p.what;
        });
        if (!report) return report.error();
        return what == nullptr ? Status{} : Status(corrupt(what));
    }
    static Result<File> seen(const File& file) { return VhdxSubject::read(file, {}); }
};

File lively(const vhdx::CreateOptions& options, uint64_t seed) {
    const ParentDisk below{options.is_child};
    GrowableMemory memory(new_vhdx(options));
    auto writer = value_of(VhdxSubject::open(Borrowed(memory), {12, 6}));
    File model = value_of(whole_disk(writer, below));
    RandomWork random(options.size, {.pack = 0, .flush = 2, .most = 9000, .align = sector}, seed);
    for (int i = 0; i < 10; ++i) REQUIRE(perform(writer, random.next(), model, below));
    REQUIRE(writer.drop(seed % 3 * 1_MiB, 1_MiB));
    REQUIRE(writer.close());
    return bytes_of(memory);
}

}  // namespace

TEST_CASE("vhdx: faults anywhere in any operation", "[vhdx][fault]") {
    using enum Does;
    Injected faults;
    for (uint32_t seed = 1; seed <= of_share(5); ++seed) {
        for (const bool is_child : {false, true}) {
            CAPTURE(seed, is_child);
            const uint64_t size = 3_MiB + seed * 8 * sector;
            const File image = lively(vhdx_options(size, is_child), seed);
            const File seen = value_of(Subject::seen(image));
            const auto each = [&](Does does, auto operation) {
                faults.everywhere<Subject>(image, operation, does,
                                           seed == 1 && is_child ? IoFaults::share : IoFaults::none,
                                           Need::most);
            };
            const SeededIds ids(5);
            for (const CacheShape cache : shapes) {
                each(nothing, [=, &seen](auto& s, auto m) {
                    return read_all(vhdx::Image<Medium, decltype(m)>::open(s, {.cache = cache}, m),
                                    seen);
                });
                each(many_steps, [=](auto& s, auto m) -> Status {
                    auto writer = vhdx::Writer<Medium, decltype(m), SeededIds>::open(
                        s, {.cache = cache}, m, ids);
                    if (!writer) return writer.error();
                    if (Status done = work(*writer, size, seed); !done) return done;
                    return writer->close();
                });
            }
            each(nothing, [](auto& s, auto m) { return found_sound(vhdx::check_image(s, m)); });
            each(many_steps,
                 [=](auto& s, auto m) { return repaired(vhdx::repair(s, Repair::all, m, ids)); });
            each(many_steps, [=](auto& s, auto m) {
                const auto what = is_child ? Compaction::move_only : Compaction::drop;
                return told(vhdx::compact(s, m, ids, what));
            });
            each(one_step, [=](auto& s, auto m) { return vhdx::grow(s, 7_MiB, m, ids); });
            each(one_step, [=](auto& s, auto m) { return vhdx::shrink(s, 2_MiB, m, ids); });
            each(one_step,
                 [=](auto& s, auto m) { return vhdx::set_identity(s, SeededIds(11)(), m, ids); });
            each(one_step, [=](auto& s, auto m) {
                return vhdx::set_virtual_disk_id(s, SeededIds(12)(), m, ids);
            });
            if (!is_child) continue;
            const Guid parent = SeededIds(13)();
            each(one_step,
                 [=](auto& s, auto m) { return vhdx::set_parent_id(s, parent, {}, m, ids); });
            each(one_step, [=](auto& s, auto m) {
                const vhdx::ParentLink link{.data_write_guid = parent,
                                            .relative_path = "other.vhdx"};
                return vhdx::set_parent(s, link, m, ids);
            });
        }
    }
    faults.tell("vhdx operations");
    CHECK(faults.memory > 300 / (share() * share()));
    CHECK(faults.io > 1000 / share());
}

TEST_CASE("vhdx: I/O errors while an image is made", "[vhdx][fault]") {
    uint64_t faults = 0;
    for (const bool is_child : {false, true}) {
        for (const bool fixed : {false, true}) {
            if (is_child && fixed) continue;
            auto options = vhdx_options(3_MiB, is_child);
            options.fixed = fixed;
            faults +=
                fail_creation([&](auto& s) { return vhdx::create(s, options, SeededIds(1)); });
        }
    }
    tell_faults("I/O, vhdx creation", faults);
    CHECK(faults > 20);
}

}  // namespace vdisk::test
