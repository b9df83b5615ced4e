// SPDX-License-Identifier: BSL-1.0
// What an image says of itself, changed as qemu-img amend and rebase -u change it.
#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/system.hpp>
#include <vdisk/format/qcow2/amend.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/format/qcow2/downgrade.hpp>
#include <vdisk/format/qcow2/image.hpp>
#include <vdisk/format/qcow2/repair.hpp>
#include <vdisk/io/read.hpp>
#include <vdisk/storage/growable.hpp>
#include <vdisk/storage/power_cut_replay.hpp>

#include "support/places.hpp"
#include "support/qemu.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

using qcow2::RefcountUpdates;
using Memory = GrowableMemory;
using Amend = Status (*)(Memory&);

Status to_v2(Memory& m) { return qcow2::downgrade(m, Heap{}); }
Status to_v3(Memory& m) { return qcow2::upgrade(m, Heap{}); }
Status lazy(Memory& m) { return qcow2::set_refcount_updates(m, RefcountUpdates::lazy, Heap{}); }
Status eager(Memory& m) { return qcow2::set_refcount_updates(m, RefcountUpdates::at_once, Heap{}); }
Status not_raw(Memory& m) { return qcow2::clear_data_file_raw(m, Heap{}); }
Status other_data(Memory& m) { return qcow2::set_data_file(m, "other", Heap{}); }
Status base(Memory& m) { return qcow2::set_backing(m, "base", "raw", Heap{}); }
Status base2(Memory& m) { return qcow2::set_backing(m, "base2", "qcow2", Heap{}); }
Status no_base(Memory& m) { return qcow2::set_backing(m, "", "", Heap{}); }

struct Amendment {
    const char* options;  ///< of qemu-img create
    const char* work;     ///< commands that fill the image "x"
    const char* theirs;   ///< the change by qemu-img
    Amend ours;
    const char* refusal = "";  ///< the rule we name; "" if it is done
    bool both = true;          ///< qemu-img does the same
};

const char scribble[] = "qemu-io -f qcow2 -c 'write -P 1 0 100k' -c 'write -P 2 600k 3k' x >log";
const char zeros[] =
    "qemu-io -f qcow2 -c 'write -P 1 0 300k' -c 'write -z 64k 64k' -c 'write -zu 128k 64k' "
    "-c 'write -z 512k 128k' x >log";
const char snapshot[] =
    "qemu-io -f qcow2 -c 'write -P 1 0 300k' -c 'write -zu 128k 64k' x >log; "
    "qemu-img snapshot -c s x; qemu-io -f qcow2 -c 'write -P 2 64k 70k' x >log";
const char shared_zeros[] =
    "qemu-io -f qcow2 -c 'write -P 1 0 300k' -c 'write -z 128k 64k' x >log; "
    "qemu-img snapshot -c s x";
const char other_size[] = "qemu-img snapshot -c s x; qemu-img resize -q x 2M";
const char bitmaps[] = "qemu-img bitmap --add x b";
const char dirty[] = "qemu-io -f qcow2 -c 'write 0 300k' -c flush -c 'sigraise 9' x >log 2>&1";

const Amendment amendments[] = {
    {"compat=1.1", "", "amend -o compat=0.10", to_v2},
    {"compat=1.1", scribble, "amend -o compat=0.10", to_v2},
    {"compat=1.1,lazy_refcounts=on", scribble, "amend -o compat=0.10", to_v2},
    {"cluster_size=512", scribble, "amend -o compat=0.10", to_v2},
    {"cluster_size=2M", scribble, "amend -o compat=0.10", to_v2},
    {"compat=1.1", zeros, "amend -o compat=0.10", to_v2},
    {"cluster_size=4k", zeros, "amend -o compat=0.10", to_v2},
    {"compat=1.1", snapshot, "amend -o compat=0.10", to_v2},
    {"backing_file=base,backing_fmt=raw", scribble, "amend -o compat=0.10", to_v2},
    {"compat=0.10", scribble, "amend -o compat=0.10", to_v2},
    {"compat=0.10", scribble, "amend -o compat=1.1", to_v3},
    {"compat=0.10,cluster_size=512", scribble, "amend -o compat=1.1", to_v3},
    {"compat=0.10,backing_file=base,backing_fmt=raw", scribble, "amend -o compat=1.1", to_v3},
    {"compat=1.1", scribble, "amend -o compat=1.1", to_v3},
    {"compat=1.1", scribble, "amend -o lazy_refcounts=on", lazy},
    {"lazy_refcounts=on", scribble, "amend -o lazy_refcounts=off", eager},
    {"data_file=data,data_file_raw=on", scribble, "amend -o data_file_raw=off", not_raw},
    {"data_file=data", scribble, "amend -o data_file=other", other_data},
    {"compat=1.1", scribble, "rebase -u -b base -F raw", base},
    {"compat=0.10", scribble, "rebase -u -b base -F raw", base},
    {"backing_file=base,backing_fmt=raw", scribble, "rebase -u -b base2 -F qcow2", base2},
    {"backing_file=base,backing_fmt=raw", scribble, "rebase -u -b ''", no_base},

    {"refcount_bits=8", "", "amend -o compat=0.10", to_v2,
     "qcow2: version 2 has refcounts of 16 bits"},
    {"extended_l2=on", "", "amend -o compat=0.10", to_v2,
     "qcow2: version 2 has no extended L2 entries"},
    {"data_file=data", "", "amend -o compat=0.10", to_v2,
     "qcow2: version 2 has no external data file"},
    {"compat=1.1", other_size, "amend -o compat=0.10", to_v2,
     "qcow2: version 2 has snapshots of the size of the disk only"},
    {"compat=0.10", "", "amend -o lazy_refcounts=on", lazy,
     "qcow2: version 2 has no lazy refcounts"},
    {"compat=1.1", "", "amend -o data_file=other", other_data,
     "qcow2: the image has no external data file"},
    {"data_file=data,data_file_raw=on", "", "rebase -u -b base -F raw", base,
     "qcow2: a raw data file and a backing file exclude each other"},
    // qemu-img goes on where we do not.
    {"compression_type=zstd", "", "", to_v2, "qcow2: version 2 is packed with deflate", false},
    {"compat=1.1", bitmaps, "", to_v2, "qcow2: version 2 has no bitmaps: remove them first", false},
    {"lazy_refcounts=on", dirty, "", to_v2, "qcow2: refcounts lag behind: repair the image first",
     false},
    {"lazy_refcounts=on", dirty, "", eager, "qcow2: refcounts lag behind: repair the image first",
     false},
    {"backing_file=base,backing_fmt=raw", zeros, "", to_v2,
     "qcow2: zero clusters over a backing file: version 2 has none", false},
    {"compat=1.1", shared_zeros, "", to_v2,
     "qcow2: zero clusters that are shared: version 2 has none", false},
};

}  // namespace

TEST_CASE("qcow2: amended as qemu-img amends", "[qcow2][amend][qemu]") {
    if (!has_qemu()) return;
    const TempDir folder;
    const std::string ours = folder / "ours", theirs = folder / "theirs";
    REQUIRE(run("mkdir " + ours + " " + theirs).ok);
    for (const Amendment& c : amendments) {
        CAPTURE(c.options, c.work, c.theirs, c.refusal);
        for (const std::string& home : {ours, theirs}) {
            const Ran made = run_in(home, std::string("rm -f *; truncate -s 1M base other; "
                                                      "qemu-img create -q -f qcow2 base2 1M; "
                                                      "qemu-img create -q -f qcow2 -o ") +
                                              c.options + " x 1M\n" + c.work + "\ntrue");
            CAPTURE(made.output);
            REQUIRE(made.ok);
        }
        const File before = saved(ours + "/x");
        Memory memory(before);
        const Status amended = c.ours(memory);
        CHECK(std::string(amended ? "" : amended.error().what) == c.refusal);
        if (c.both) {
            const Ran ran = run_in(theirs, std::string("qemu-img ") + c.theirs + " x");
            CAPTURE(ran.output);
            CHECK(ran.ok == static_cast<bool>(amended));
        }
        if (!amended) {
            CHECK(bytes_of(memory) == before);
            continue;
        }
        save(bytes_of(memory), ours + "/x");
        const Ran checked = run_in(ours, "qemu-img check -f qcow2 x");
        CAPTURE(checked.output);
        CHECK(checked.ok);
        CHECK(without(qemu_info(ours, "x"), "date-") == without(qemu_info(theirs, "x"), "date-"));
        if (std::string_view(c.options).find("data_file=") != std::string_view::npos) continue;
        CHECK(run("qemu-img compare -f qcow2 -F qcow2 " + ours + "/x " + theirs + "/x").ok);
        CHECK(run_in(ours, "qemu-img convert -l s x snapshot || true").ok);
        CHECK(run_in(theirs, "qemu-img convert -l s x snapshot || true").ok);
        CHECK(saved(ours + "/snapshot") == saved(theirs + "/snapshot"));
    }
}

TEST_CASE("qcow2: amend refuses names that cannot be", "[qcow2][amend]") {
    const std::string name(1024, 'n');
    Memory memory;
    REQUIRE(qcow2::create(memory, {.size = 1_MiB, .data_file = "data"}));
    const auto what = [](const Status& s) { return std::string(s ? "" : s.error().what); };
    CHECK(what(qcow2::set_backing(memory, name, "raw", Heap{})) ==
          "qcow2: backing file name is too long");
    CHECK(what(qcow2::set_backing(memory, "b", "", Heap{})) ==
          "qcow2: backing file without its format");
    CHECK(what(qcow2::set_backing(memory, "b", "0123456789abcdef", Heap{})) ==
          "qcow2: name of the backing format is too long");
    CHECK(what(qcow2::set_backing(memory, {"a\0b", 3}, "raw", Heap{})) ==
          "qcow2: name holds a NUL");
    CHECK(what(qcow2::set_data_file(memory, name, Heap{})) ==
          "qcow2: name of the data file is too long");
    CHECK(qcow2::set_data_file(memory, "", Heap{}));  // whoever opens the image says which
    CHECK(value_of(qcow2::FirstCluster<Heap>::load(memory)).layout().data_file.length == 0);
    File marked = bytes_of(memory);
    set_be64(marked, 72, 2 | 4);
    Memory corrupt_one(marked);
    CHECK(what(qcow2::set_data_file(corrupt_one, "d", Heap{})) ==
          "qcow2: the image is marked corrupt: repair it first");
}

namespace {

File guest(const File& file) {
    const auto image = qcow2::Image<MemoryStorage, Heap, SystemCodecs>::open(MemoryStorage(file));
    if (!image) return {};
    File disk(static_cast<size_t>(image->size()));
    if (!read(*image, 0, disk)) return {};
    return disk;
}

}  // namespace

TEST_CASE("qcow2: a table that many L1 entries share is changed once", "[qcow2][amend]") {
    const Built built = build(Qcow2Spec{
        .size = 2_MiB, .cluster_bits = 9, .clusters = {{0, Fill::zero}, {5, Fill::zero}}});
    GrowableMemory memory(built.file);
    std::array<byte, 8> first{};
    REQUIRE(memory.read(built.l1_at, first));
    for (uint64_t i = 1; i < 64; ++i) REQUIRE(memory.write(built.l1_at + i * 8, first));
    REQUIRE(qcow2::repair(memory, qcow2::Repair::all, Heap{})->after.is_clean());
    {
        const auto image = qcow2::open_closed(memory, Heap{});
        REQUIRE(image);
        int visits = 0;
        REQUIRE(qcow2::amending::each_zero_entry(*image, Heap{}, [&](uint64_t, uint64_t) -> Status {
            ++visits;
            return {};
        }));
        CHECK(visits == 2);
    }
    REQUIRE(qcow2::downgrade(memory, Heap{}));
    CHECK(qcow2::check_image(memory, Heap{})->is_clean());
}

TEST_CASE("qcow2: a power cut while the version changes", "[qcow2][amend][power_cut]") {
    const Qcow2Spec spec{.size = 64_KiB,
                         .cluster_bits = 9,
                         .clusters = {{0},
                                      {1, Fill::zero},
                                      {5, Fill::zero_kept},
                                      {9, Fill::zero_kept},
                                      {70, Fill::zero},
                                      {71, Fill::packed}}};
    const Built built = build(spec);
    CutLog log;
    File file = built.file;
    PowerCutStorage storage(log, file);
    const Status done = qcow2::downgrade(storage, Heap{});
    CAPTURE(done.error().what);
    REQUIRE(done);
    CHECK(guest(file) == built.guest.bytes);
    CHECK(file[7] == byte{2});
    CutReplay replay(log);
    CHECK(replay.run([&](const CutState& state) -> Status {
        if (guest(state.files[0]) == built.guest.bytes) return {};
        return corrupt("the disk has changed");
    }));
    CHECK(replay.states() > 20);
}
