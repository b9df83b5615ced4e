// SPDX-License-Identifier: BSL-1.0
// Operations on persistent bitmaps under power cuts, faults and damage.
#include <vdisk/storage/faulty.hpp>

#include "bitmap_steps.hpp"
#include "support/cut.hpp"
#include "support/refusals.hpp"

using namespace vdisk;
using namespace vdisk::test;
using namespace vdisk::test::bitmaps;

namespace {

struct BitmapTrial {
    Status done;
    bool good = true;
    uint64_t states = 0;
};

// Refcounts of all that bitmaps use, by the image itself; nothing in use has 0.
Status claimed(const File& file) {
    const auto image = value_of(open_file(file));
    const qcow2::Layout& layout = image.layout();
    const MemoryStorage storage(file);
    const auto check = [&](uint64_t at, uint64_t bytes) -> Status {
        const unsigned bits =
            qcow2::refcount_block_bits(layout.cluster_bits, layout.refcount_order);
        for (uint64_t c = at >> layout.cluster_bits; c < blocks(at + bytes, layout.cluster_bits);
             ++c) {
            const uint64_t block = load_be64(&file[layout.refcount_table_at + (c >> bits) * 8]);
            const uint64_t index = c & ((uint64_t{1} << bits) - 1);
            if (block == 0 ||
                qcow2::load_refcount(&file[block], index, layout.refcount_order) != 1) {
                return corrupt("in use, but free", {c});
            }
        }
        return {};
    };
    const auto directory = qcow2::load_bitmap_directory(storage, layout);
    if (!directory) return directory.error();
    if (Status s = check(directory->at, directory->size); !s) return s;
    return qcow2::each_bitmap(storage, layout, [&](const qcow2::Bitmap& b) -> Status {
        if (Status s = check(b.table_at, b.table_entries * 8ull); !s) return s;
        for (uint64_t i = 0; i < b.table_entries; ++i) {
            const auto e = qcow2::bitmap_entry(storage, layout, b, i);
            if (!e) return e.error();
            if (*e < 2) continue;
            if (Status s = check(*e, layout.cluster_size()); !s) return s;
        }
        return {};
    });
}

BitmapTrial cut(const File& before, const Step& step, unsigned forgotten) {
    CutLog log;
    File file = before;
    ForgetfulStorage storage(log, file, forgotten);
    BitmapTrial out{run(storage, step)};
    const AllSeen old = value_of(all_of(before)), fresh = value_of(all_of(file));
    CutReplay replay(log, {.exhaustive = 10, .random = 100});
    out.good = static_cast<bool>(replay.run([&](const CutState& state) -> Status {
        const auto now = all_of(state.files[0]);
        if (!now) return now.error();
        if (*now != old && *now != fresh) return corrupt("neither the old bitmaps nor the new");
        return claimed(state.files[0]);
    }));
    out.states = replay.states();
    return out;
}

const Step bitmap_changes[] = {
    {Do::add, "new"},         {Do::add, longest.substr(0, 300)},
    {Do::remove, "b9"},       {Do::clear, "b9"},
    {Do::disable, "b11"},     {Do::merge, "b11", "b9"},
    {Do::merge, "b9", "b16"}, {Do::merge, "e", "b16"},
    {Do::remove, "b16"},
};

File scattered(unsigned cluster_bits) {
    Memory memory(with_bits(cluster_bits));
    scatter(memory, "b9", 1, 40);
    scatter(memory, "b16", 3, 5);
    return bytes_of(memory);
}

}  // namespace

TEST_CASE("qcow2: a power cut leaves the old bitmaps or the new", "[qcow2][bitmaps][power_cut]") {
    uint64_t states = 0;
    for (const unsigned cluster_bits : {9u, 10u, 12u, 16u}) {
        const File before = scattered(cluster_bits);
        REQUIRE(claimed(before));
        for (const Step& step : bitmap_changes) {
            CAPTURE(cluster_bits, as_command(step));
            const BitmapTrial trial = cut(before, step, 0);
            REQUIRE(trial.done);
            CHECK(trial.good);
            states += trial.states;
        }
    }
    CHECK(states > 700);
    const File before = scattered(9);
    for (const unsigned forgotten : {1u, 2u}) {
        unsigned caught = 0;
        for (const Step& step : bitmap_changes) caught += !cut(before, step, forgotten).good;
        CAPTURE(forgotten);
        CHECK(caught > 0);
    }
}

TEST_CASE("qcow2: an I/O error while bitmaps change", "[qcow2][bitmaps][fault]") {
    const File before = scattered(9);
    const AllSeen old = value_of(all_of(before));
    uint64_t faults = 0;
    for (const Step& step : bitmap_changes) {
        Memory whole(before);
        REQUIRE(run(whole, step));
        const AllSeen fresh = value_of(all_of(bytes_of(whole)));
        for (uint64_t n = 1;; ++n) {
            CAPTURE(as_command(step), n);
            REQUIRE(n < 2000);
            Memory memory(before);
            Fault fault{.countdown = n};
            FaultyStorage<Borrowed<Memory>> storage{Borrowed(memory), fault};
            const Status done = run(storage, step);
            if (!fault.fired) {
                REQUIRE(done);
                break;
            }
            REQUIRE(!done);
            ++faults;
            const AllSeen now = value_of(all_of(bytes_of(memory)));
            REQUIRE((now == old || now == fresh));
            REQUIRE(claimed(bytes_of(memory)));
        }
    }
    tell_faults("I/O, qcow2 bitmaps", faults);
    CHECK(faults > 200);
}

TEST_CASE("qcow2: bitmaps of a damaged image", "[qcow2][bitmaps][hostile]") {
    const File before = scattered(9);
    const auto layout = value_of(open_file(before)).layout();
    const auto directory = value_of(qcow2::load_bitmap_directory(MemoryStorage(before), layout));
    std::mt19937 random(7);
    unsigned refused = 0;
    for (unsigned n = 0; n < 3000; ++n) {
        File file = before;
        const uint64_t parts[] = {72 + random() % 200, directory.at + random() % directory.size,
                                  random() % file.size()};
        for (auto k = random() % 3 + 1; k > 0; --k) {
            file[parts[random() % 3]] = static_cast<byte>(random());
        }
        Memory memory(std::move(file));
        const Step& step = bitmap_changes[random() % std::size(bitmap_changes)];
        CAPTURE(n, as_command(step));
        const Status done = run(memory, step);
        refused += !done;
        CHECK(memory.size() < 4_MiB);
    }
    CHECK(refused > 300);
}
