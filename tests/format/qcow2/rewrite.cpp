// SPDX-License-Identifier: BSL-1.0
// The one sector that switches: other refcount widths, and what a missing barrier does.
#include <vdisk/format/qcow2/rewrite.hpp>

#include "support/cut.hpp"
#include "support/operations.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

template <class S>
Status widen(S& storage, unsigned order) {
    const auto image = qcow2::open_closed(storage, Heap{});
    if (!image) return image.error();
    qcow2::NewState state = qcow2::same_state(image->layout);
    state.refcount_order = order;
    return qcow2::rewrite(storage, state, Heap{});
}

}  // namespace

TEST_CASE("qcow2: refcounts of another width", "[qcow2][rewrite]") {
    for (const unsigned bits : {9u, 12u}) {
        const Built image = build(lively(bits));
        const auto old = contents(image.file);
        REQUIRE(old);
        GrowableMemory memory(image.file);
        for (const unsigned order : {2u, 3u, 6u, 5u, 4u}) {
            CAPTURE(bits, order);
            REQUIRE(widen(memory, order));
            const File file(memory.bytes().begin(), memory.bytes().end());
            CHECK(is_clean(file));
            const auto seen = contents(file);
            REQUIRE(seen);
            CHECK(*seen == *old);
            CHECK(file[99] == static_cast<byte>(order));
        }
        const File before(memory.bytes().begin(), memory.bytes().end());
        const Status narrow = widen(memory, 0);  // streams share clusters
        REQUIRE(!narrow);
        CHECK(narrow.error().what == qcow2::rewriting::refcounts_too_narrow);
        CHECK(std::ranges::equal(memory.bytes(), before));
    }
}

TEST_CASE("qcow2: refcounts of another width, cut short", "[qcow2][rewrite][power_cut]") {
    const Built image = build(lively(9));
    CHECK(cut_everywhere(image.file, [](auto& s) { return widen(s, 6); }) > 30);
    CHECK(fail_everywhere(image.file, [](auto& s) { return widen(s, 3); }) > 50);
}

TEST_CASE("qcow2: a rewrite without its barrier is seen", "[qcow2][rewrite][power_cut]") {
    const Built image = build(lively(9));
    for (const uint64_t forgotten : {0, 1}) {
        CutLog log;
        File file = image.file;
        ForgetfulStorage storage(log, file, forgotten);
        REQUIRE(widen(storage, 6));
        CutReplay replay(log, {.exhaustive = 9, .random = 64});
        const Status verdict =
            replay.run([](const CutState& state) { return at_most_leaks(state.files[0]); });
        CHECK(static_cast<bool>(verdict) == (forgotten == 0));
    }
}

TEST_CASE("qcow2: rewriting again and again does not make the file grow", "[qcow2][rewrite]") {
    GrowableMemory memory(build(lively(9)).file);
    REQUIRE(widen(memory, 4));
    REQUIRE(widen(memory, 4));
    const uint64_t size = memory.size();
    for (int i = 0; i < 10; ++i) {
        REQUIRE(widen(memory, 4));
        CHECK(memory.size() <= size + 8 * 512);
    }
}

TEST_CASE("qcow2: QEMU reads refcounts of every width", "[qcow2][rewrite][qemu]") {
    if (!has_qemu()) return;
    const TempDir folder;
    const std::string path = folder / "image";
    const Built image = build(lively(12));
    for (const unsigned order : {2u, 3u, 4u, 5u, 6u}) {
        GrowableMemory memory(image.file);
        REQUIRE(widen(memory, order));
        save({memory.bytes().begin(), memory.bytes().end()}, path);
        CHECK(run("qemu-img check " + path).ok);
    }
}
