// SPDX-License-Identifier: BSL-1.0
// VHD without enough memory, and on a storage that fails.
#include <vdisk/format/vhd/change.hpp>
#include <vdisk/format/vhd/compact.hpp>
#include <vdisk/format/vhd/resize.hpp>

#include "faults/everywhere.hpp"
#include "support/vhd_work.hpp"

namespace vdisk::test {

namespace {

using namespace everywhere;

struct VhdSubject {
    static Status recover(GrowableMemory& file) { return vhd::recover(file, Heap{}); }
    static Status sound(const File& file) { return at_most_leaks_in_vhd(file); }
    static Result<File> seen(const File& file) { return read_vhd(file, {}); }
};

File lively(const vhd::CreateOptions& options, uint64_t seed) {
    const ParentDisk below{options.type == vhd::Type::differencing};
    GrowableMemory memory(new_vhd(options));
    auto writer = value_of(VhdWriter<Borrowed<GrowableMemory>>::open(Borrowed(memory)));
    File model = value_of(whole_disk(writer, below));
    RandomWork random(options.size, {.pack = 0, .most = 6000}, seed);
    for (int i = 0; i < 12; ++i) REQUIRE(perform(writer, random.next(), model, below));
    REQUIRE(writer.drop(options.size / 2 / sector * sector, options.size / 4));
    REQUIRE(writer.flush());
    return bytes_of(memory);
}

}  // namespace

TEST_CASE("vhd: faults anywhere in any operation", "[vhd][fault]") {
    using enum Does;
    using enum vhd::Type;
    Injected faults;
    for (uint32_t seed = 1; seed <= of_share(24); ++seed) {
        for (const uint8_t bits : {uint8_t{9}, uint8_t{12}, uint8_t{15}}) {
            for (const auto type : {vhd::Type::dynamic, differencing}) {
                CAPTURE(seed, bits, type == differencing);
                const uint64_t size = (101 + seed) * sector;
                const File image = lively(vhd_options(size, bits, type), seed);
                const File seen = value_of(VhdSubject::seen(image));
                const auto each = [&](Does does, auto operation) {
                    faults.everywhere<VhdSubject>(image, operation, does,
                                                  seed == 1 ? IoFaults::share : IoFaults::none);
                };
                for (const CacheShape cache : shapes) {
                    each(nothing, [=, &seen](auto& s, auto m) {
                        return read_all(
                            vhd::Image<Medium, decltype(m)>::open(s, {.cache = cache}, m), seen);
                    });
                    each(many_steps, [=](auto& s, auto m) -> Status {
                        auto writer =
                            vhd::Writer<Medium, decltype(m)>::open(s, {.cache = cache}, m);
                        return writer ? work(*writer, size, seed) : Status(writer.error());
                    });
                }
                each(nothing, [](auto& s, auto m) { return found_sound(vhd::check_image(s, m)); });
                each(many_steps,
                     [](auto& s, auto m) { return repaired(vhd::repair(s, Repair::all, m)); });
                each(many_steps, [=](auto& s, auto m) {
                    const bool child = type == differencing;
                    const auto what = child ? Compaction::move_only : Compaction::drop;
                    return told(vhd::compact(s, m, what));
                });
                each(one_step, [=](auto& s, auto m) { return vhd::grow(s, 3 * size, m); });
                each(one_step, [=](auto& s, auto m) { return vhd::shrink(s, 50 * sector, m); });
                each(one_step, [](auto& s, auto m) { return vhd::set_unique_id(s, guid(7), m); });
                each(one_step, [](auto& s, auto m) { return vhd::set_geometry(s, {9, 4, 17}, m); });
                if (type != differencing) continue;
                each(one_step,
                     [](auto& s, auto m) { return vhd::set_parent_id(s, guid(7), 5, m); });
                each(one_step, [](auto& s, auto m) {
                    return vhd::set_parent(s, {.unique_id = guid(7), .relative_path = "other.vhd"},
                                           m);
                });
            }
        }
    }
    faults.tell("vhd operations");
    CHECK(faults.memory > 2000 / (share() * share()));
    CHECK(faults.io > 1000 / share());
}

TEST_CASE("vhd: I/O errors while an image is made", "[vhd][fault]") {
    uint64_t faults = 0;
    for (const auto type : {vhd::Type::fixed, vhd::Type::dynamic, vhd::Type::differencing}) {
        auto options = vhd_options(8_MiB, 15, type);
        options.parent.absolute_path = "/there/parent.vhd";
        faults += fail_creation([&](auto& s) { return vhd::create(s, options); });
    }
    tell_faults("I/O, vhd creation", faults);
    CHECK(faults > 20);
}

}  // namespace vdisk::test
