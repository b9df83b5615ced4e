// SPDX-License-Identifier: BSL-1.0
// Operations on persistent bitmaps: the same as qemu-img's.
#include "bitmap_steps.hpp"
#include "support/qemu.hpp"

using namespace vdisk;
using namespace vdisk::test;
using namespace vdisk::test::bitmaps;

namespace {

const std::vector<Step> script{
    {Do::merge, "b1", "b0"},
    {Do::merge, "b0", "b2"},
    {Do::merge, "b2", "b0"},
    {Do::add, "b0"},  // exists
    {Do::add, "new"},
    {Do::merge, "new", "b1"},
    {Do::add, "off", {}, 20, Recording::off},
    {Do::add, "fine", {}, 9},
    {Do::merge, "fine", "b0"},
    {Do::merge, "b2", "fine"},
    {Do::clear, "b1"},
    {Do::disable, "b1"},
    {Do::disable, "b1"},
    {Do::enable, "off"},
    {Do::enable, "b2"},
    {Do::remove, "b0"},
    {Do::remove, "b0"},  // is gone
    {Do::clear, "b0"},
    {Do::enable, "b0"},
    {Do::merge, "b0", "b1"},
    {Do::merge, "b1", "b0"},
    {Do::merge, "b1", "b1"},
    {Do::add, ""},
    {Do::add, "b8", {}, 8},
    {Do::add, "b32", {}, 32},
    {Do::add, "huge", {}, 31},
    {Do::merge, "huge", "fine"},
    {Do::merge, "b1", "huge"},
    {Do::add, longest},
    {Do::add, too_long},
    {Do::remove, longest},
    {Do::remove, "huge"},
    {Do::remove, "fine"},
    {Do::remove, "off"},
    {Do::remove, "new"},
    {Do::remove, "b1"},
    {Do::remove, "b2"},
    {Do::add, "again"},
};

}  // namespace

TEST_CASE("qcow2: bitmap operations do what qemu-img's do", "[qcow2][bitmaps][qemu]") {
    if (!has_qemu()) return;
    const TempDir folder;
    const std::string ours = folder / "ours", theirs = folder / "theirs";
    REQUIRE(run("mkdir " + ours + " " + theirs).ok);
    for (const char* options : {"cluster_size=64k", "cluster_size=4k,refcount_bits=1",
                                "cluster_size=2M,extended_l2=on,data_file=data"}) {
        const Ran made = run_in(
            ours, std::string("rm -f * && qemu-img create -q -f qcow2 -o ") + options +
                      " x 10001k && qemu-img bitmap --add x b0 && qemu-img bitmap --add -g 512 x b1"
                      " && qemu-io -f qcow2 -c 'write 1M 130k' -c 'write 10000k 1k' x"
                      " && qemu-img bitmap --add --disable -g 256k x b2"
                      " && qemu-io -f qcow2 -c 'write 5M 3k' x && cp * " +
                      theirs);
        CAPTURE(options, made.output);
        REQUIRE(made.ok);
        Memory memory(saved(ours + "/x"));
        for (const Step& step : script) {
            CAPTURE(as_command(step).substr(0, 100));
            const File before = bytes_of(memory);
            const Status done = run(memory, step);
            const Ran ran = run_in(theirs, as_command(step));
            CAPTURE(ran.output, done.error().what);
            REQUIRE(static_cast<bool>(done) == ran.ok);
            if (!done) {
                CHECK(bytes_of(memory) == before);
                continue;
            }
            save(bytes_of(memory), ours + "/x");
            const Ran checked = run_in(ours, "qemu-img check -f qcow2 x");
            CAPTURE(checked.output);
            REQUIRE(checked.ok);
            CHECK(qemu_info(ours, "x") == qemu_info(theirs, "x"));
            CHECK(value_of(all_of(bytes_of(memory))) == value_of(all_of(saved(theirs + "/x"))));
        }
    }
}

TEST_CASE("qcow2: bitmaps that are lost or not saved", "[qcow2][bitmaps][qemu]") {
    if (!has_qemu()) return;
    const TempDir folder;
    const std::string home = folder / "";
    const auto fill = [&](const char* more) {
        const Ran made = run_in(home, std::string("rm -f * && qemu-img create -q -f qcow2 x 1M && "
                                                  "qemu-img bitmap --add x a && "
                                                  "qemu-img bitmap --add x b && ") +
                                          more);
        CAPTURE(made.output);
        REQUIRE(made.ok);
        return Memory(saved(home + "/x"));
    };
    const auto what = [](const Status& s) { return std::string(s ? "" : s.error().what); };

    Memory in_use = fill("qemu-io -f qcow2 -c 'write 0 64k' -c flush -c 'sigraise 9' x || true");
    constexpr const char* unsaved = "qcow2: bitmap was not saved cleanly: it can only be removed";
    for (const Do op : {Do::clear, Do::enable, Do::disable}) {
        CHECK(what(run(in_use, {op, "a"})) == unsaved);
    }
    REQUIRE(run(in_use, {Do::add, "c"}));
    CHECK(what(run(in_use, {Do::merge, "c", "a"})) == unsaved);
    CHECK(what(run(in_use, {Do::merge, "a", "c"})) == unsaved);
    CHECK(run(in_use, {Do::remove, "a"}));
    const AllSeen left = value_of(all_of(bytes_of(in_use)));
    CHECK(left.size() == 2);
    CHECK(left.at("b").flags == 3);
    save(bytes_of(in_use), home + "/x");
    CHECK(run_in(home, "qemu-img check -q x").ok);

    // A writer that knows no bitmaps, or one not kept: the specification calls them void.
    File lost = bytes_of(fill("true"));
    set_be64(lost, 88, 0);
    Memory memory(lost);
    CHECK(what(run(memory, {Do::remove, "a"})) == "qcow2: no such bitmap");
    CHECK(run(memory, {Do::add, "a"}));
    CHECK(value_of(all_of(bytes_of(memory))).size() == 1);

    Memory old;
    REQUIRE(qcow2::create(old, {.size = 1_MiB, .version = 2}));
    CHECK(what(run(old, {Do::add, "a"})) == "qcow2: version 2 has no bitmaps");
    Memory none;
    REQUIRE(qcow2::create(none, {}));
    CHECK(what(run(none, {Do::add, "a"})) == "qcow2: a disk of no bytes has no bitmaps");
    Memory large;
    REQUIRE(qcow2::create(large, {.size = 3_TiB}));
    CHECK(what(run(large, {Do::add, "a", {}, 9})) ==
          "qcow2: bitmap is larger than 512 MiB: use a larger granularity");
    Memory strange;
    REQUIRE(qcow2::create(strange, {.size = 1_MiB}));
    File bits = bytes_of(strange);
    set_be64(bits, 88, 0xF0);
    Memory unknown(bits);
    CHECK(run(unknown, {Do::add, "a"}));
    CHECK(load_be64(unknown.bytes().data() + 88) == 1);
}
