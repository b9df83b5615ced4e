// SPDX-License-Identifier: BSL-1.0
// Chains: what the guest sees is what the topmost image that says something says.
#include <algorithm>
#include <random>

#include <vdisk/io/walk.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"
#include "support/library.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

using enum Fill;

// A chain in the making: the file of the next image is named by its depth.
struct Stack {
    Library library = {};
    std::vector<Guest> guests = {};  // base first
    File seen = {};                  // what the top image shows

    [[nodiscard]] std::string top() const { return std::to_string(guests.size() - 1); }

    void add(Built built) {
        seen = over(built.guest, seen);
        guests.push_back(std::move(built.guest));
        library.files[top()] = std::move(built.file);
    }
    void add_raw(uint64_t size) {
        const File bytes = noise(size, static_cast<uint32_t>(size));
        add({.file = bytes, .guest = {bytes, std::vector<Kind>(size / sector, Kind::data)}});
    }
    void add_qcow2(uint64_t size, unsigned cluster_bits, std::string_view below,
                   bool extended = false) {
        const auto seed = static_cast<uint32_t>(guests.size() + cluster_bits);
        Qcow2Spec spec{.size = size, .cluster_bits = cluster_bits, .extended_l2 = extended};
        spec.clusters = mixture(size >> cluster_bits, seed, {data, zero, packed, zero_kept});
        if (!below.empty()) spec.backing_file = top();
        spec.backing_format = below;
        add(build(spec));
    }
    void add_qcow(uint64_t size, bool over_base = true) {
        QcowSpec spec{.size = size, .l2_bits = 6};
        spec.clusters = mixture(size >> 12, static_cast<uint32_t>(guests.size()), {data, packed});
        if (over_base) spec.backing_file = top();
        add(build(spec));
    }

    // Opens it and reads everything, then random spans; `depth` images are expected.
    void check(size_t depth, const ChainOptions& options = {}) {
        const auto disk = library.disk(top(), options);
        REQUIRE(disk);
        CHECK(disk->layers().size() == depth);
        REQUIRE(disk->size() == seen.size());
        File out(seen.size(), byte{0xEE});
        REQUIRE(read(*disk, 0, out));
        CHECK(out == seen);
        std::mt19937 random(1);
        for (int i = 0; i != 200; ++i) {
            const uint64_t at = random() % seen.size();
            File span(random() % std::min<uint64_t>(seen.size() - at, 30000) + 1, byte{0xEE});
            REQUIRE(read(*disk, at, span));
            REQUIRE(std::ranges::equal(span, Bytes(seen).subspan(at, span.size())));
        }
        check_lookup(*disk);
    }

    // Walks the extents: each sector is of the kind that the image at its depth says, and all
    // images above say nothing.
    void check_lookup(const Library::Disk& disk) const {
        const auto kind_at = [&](size_t depth, uint64_t at) {
            const auto& kinds = guests[guests.size() - 1 - depth].kinds;
            return at / sector < kinds.size() ? kinds[at / sector] : Kind::zero;
        };
        size_t wrong = 0;
        const Status walked =
            walk(disk, 0, disk.size(), [&](uint64_t at, const Extent& extent) -> Status {
                for (uint64_t in = 0; in < extent.length; in += sector) {
                    wrong += kind_at(extent.depth, at + in) != extent.kind;
                    for (size_t depth = 0; depth != extent.depth; ++depth) {
                        wrong += kind_at(depth, at + in) != Kind::absent;
                    }
                }
                return {};
            });
        CHECK(walked);
        CHECK(wrong == 0);
    }
};

}  // namespace

TEST_CASE("chain: two to nine images of one format", "[chain]") {
    for (int depth = 2; depth != 10; ++depth) {
        CAPTURE(depth);
        Stack stack;
        stack.add_qcow2(256_KiB, 12, "");
        for (int i = 1; i != depth; ++i) stack.add_qcow2(256_KiB, 12, "qcow2");
        stack.check(static_cast<size_t>(depth));
        CHECK(stack.library.asked.size() == static_cast<size_t>(depth) - 1);
    }
}

TEST_CASE("chain: formats and cluster sizes mixed", "[chain]") {
    Stack stack;
    stack.add_raw(200 * sector);
    stack.add_qcow2(192_KiB, 16, "raw");
    stack.add_qcow(192_KiB);
    stack.add_qcow2(192_KiB, 9, "qcow");
    stack.add_qcow2(192_KiB, 14, "qcow2", true);
    stack.add_qcow(160_KiB);
    stack.add_qcow2(192_KiB, 12, "qcow");
    stack.check(7, {.backing_format = "qcow2"});
}

TEST_CASE("chain: parents that are shorter and longer", "[chain]") {
    Stack stack;
    SECTION("growing") {
        stack.add_raw(33 * sector);
        for (uint64_t i = 2; i != 6; ++i) stack.add_qcow2(i * 64_KiB, 12, i == 2 ? "raw" : "qcow2");
        stack.check(5);
    }
    SECTION("shrinking") {
        stack.add_raw(2000 * sector);
        for (uint64_t i = 5; i != 1; --i) stack.add_qcow2(i * 64_KiB, 12, i == 5 ? "raw" : "qcow2");
        stack.check(5);
    }
    SECTION("what a short one cut off does not come back") {
        stack.add_raw(2000 * sector);
        stack.add_qcow2(64_KiB, 12, "raw");
        stack.add_qcow2(512_KiB, 12, "qcow2");
        stack.check(3);
    }
    SECTION("an empty one") {
        stack.add_raw(100 * sector);
        stack.add_qcow2(0, 12, "raw");
        stack.add_qcow2(64_KiB, 12, "qcow2");
        stack.check(3);
    }
}

TEST_CASE("chain: reads past the end", "[chain]") {
    Stack stack;
    stack.add_raw(400 * sector);
    stack.add_qcow2(64_KiB, 12, "raw");
    const auto disk = stack.library.disk("1");
    REQUIRE(disk);
    std::array<byte, 2> out{};
    CHECK(read(*disk, 64_KiB - 2, out));
    CHECK(read(*disk, 64_KiB - 1, out).error().code == Errc::invalid);
    CHECK(read(*disk, ~uint64_t{0}, out).error().code == Errc::invalid);
    CHECK(read(*disk, 64_KiB, MutBytes{}));
}

TEST_CASE("chain: a snapshot of the top image has the same parent", "[chain][snapshot]") {
    Stack stack;
    stack.add_raw(300 * sector);
    const Built top = build(Qcow2Spec{.size = 128_KiB,
                                      .cluster_bits = 12,
                                      .clusters = mixture(32, 1, {data, zero}),
                                      .backing_file = "0",
                                      .backing_format = "raw",
                                      .snapshots = {{"1", "old", mixture(32, 2, {data, zero})}}});
    stack.library.files["top"] = top.file;
    const auto disk = stack.library.disk("top", {.snapshot = "old"});
    REQUIRE(disk);
    File out(disk->size());
    REQUIRE(read(*disk, 0, out));
    CHECK(out == over(top.snapshots[0], stack.seen));
    CHECK(stack.library.disk("top", {.snapshot = "new"}).error().code == Errc::not_found);
    CHECK(stack.library.disk("0", {.format = "raw", .snapshot = "x"}).error().code ==
          Errc::not_found);
}
