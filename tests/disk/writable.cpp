// SPDX-License-Identifier: BSL-1.0
// Disks that are written: formats mixed in a chain, and only the top image changes.
#include <map>
#include <random>

#include <vdisk/disk/writable.hpp>
#include <vdisk/format/qcow/create.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/format/vhdx/create.hpp>
#include <vdisk/storage/borrowed.hpp>
#include <vdisk/storage/growable.hpp>

#include "catch.hpp"
#include "support/bytes.hpp"
#include "support/image_builder.hpp"
#include "support/vhdx_builder.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

using S = Borrowed<GrowableMemory>;
using Top = SystemWriter<S>;
using Parent = SystemImage<S>;
using Disk = WritableDisk<Top, Parent, std::string>;

// Files by name; a gate that remembers what was asked for.
struct Shelf {
    using Origin = std::string;

    std::map<std::string, GrowableMemory> files = {};
    std::map<std::string, Reference::Use> asked = {};

    Result<Opened<S, Origin>> open(const Reference& reference, const Origin& /*from*/) {
        const std::string name(reference.name);
        asked[name] = reference.use;
        return get(name);
    }
    Result<Opened<S, Origin>> get(const std::string& name) {
        const auto found = files.find(name);
        if (found == files.end()) return fail(Errc::not_found, "shelf: no such file");
        return Opened<S, Origin>{S(found->second), name};
    }
    [[nodiscard]] Result<Disk> disk(const std::string& name, const ChainOptions& options = {}) {
        auto top = get(name);
        if (!top) return top.error();
        return open_writable<Top, Parent>(*std::move(top), *this, options);
    }
    void add_qcow2(const std::string& name, qcow2::CreateOptions options) {
        S storage(files[name]);
        REQUIRE(qcow2::create(storage, options));
    }
    void add_qcow(const std::string& name, const qcow::CreateOptions& options) {
        S storage(files[name]);
        REQUIRE(qcow::create(storage, options));
    }
    [[nodiscard]] File bytes(const std::string& name) const {
        const Bytes all = files.at(name).bytes();
        return {all.begin(), all.end()};
    }
};
static_assert(Gate<Shelf, S>);
static_assert(ErasableImage<Top> && SurveyedMapped<Disk>);

constexpr uint64_t size = 300 * 1024;

// Writes at random through `disk`, and to `model` as well; compares all along.
void scribble(Disk& disk, File& model, unsigned seed, int steps = 200) {
    std::mt19937 random(seed);
    File scratch(4096);
    REQUIRE(disk.size() == model.size());
    for (int i = 0; i != steps; ++i) {
        const uint64_t at = random() % model.size();
        const uint64_t length = random() % std::min<uint64_t>(model.size() - at, 40000) + 1;
        const auto begin = model.begin() + static_cast<std::ptrdiff_t>(at);
        const auto end = begin + static_cast<std::ptrdiff_t>(length);
        if (i % 4 == 3) {
            REQUIRE(vdisk::zero(disk, at, length, scratch));
            std::fill(begin, end, byte{0});
        } else {
            const File in = noise(length, static_cast<uint32_t>(random()));
            REQUIRE(write(disk, at, in, scratch));
            std::copy(in.begin(), in.end(), begin);
        }
        if (i % 50 == 49) REQUIRE(disk.top().flush());
        if (i % 20 != 19) continue;
        File seen(model.size());
        REQUIRE(read(disk, 0, seen));
        REQUIRE(seen == model);
    }
    REQUIRE(disk.top().flush());
}

// What the chain shows to one who opens it anew, read-only.
File seen_again(Shelf& shelf, const std::string& name, const ChainOptions& options = {}) {
    auto top = shelf.get(name);
    REQUIRE(top);
    const auto disk = open_chain<Parent>(*std::move(top), shelf, options);
    REQUIRE(disk);
    File seen(disk->size());
    REQUIRE(read(*disk, 0, seen));
    return seen;
}

// Fills a file of the shelf that stands alone with something; the guest's bytes.
File filled(Shelf& shelf, const std::string& name, unsigned seed) {
    auto disk = shelf.disk(name);
    REQUIRE(disk);
    File model(disk->size());
    scribble(*disk, model, seed, 30);
    return model;
}

// `model` cut or filled up with zeros to the size of `top`.
void check_writes(Shelf& shelf, const std::string& top, const File& below,
                  const ChainOptions& options = {}) {
    std::map<std::string, File> before;
    for (const auto& [name, file] : shelf.files) before[name] = shelf.bytes(name);
    File model = below;
    {
        auto disk = shelf.disk(top, options);
        REQUIRE(disk);
        model.resize(disk->size());
        File seen(model.size());
        REQUIRE(read(*disk, 0, seen));
        CHECK(seen == model);
        scribble(*disk, model, 7);
    }
    CHECK(seen_again(shelf, top, options) == model);
    for (const auto& [name, file] : before) {
        CAPTURE(name);
        CHECK((shelf.bytes(name) == file) == (name != top));
    }
}

}  // namespace

TEST_CASE("writable: two formats in one chain", "[disk][write]") {
    Shelf shelf;
    SECTION("qcow2 over raw") {
        const File base = noise(size, 1);
        shelf.files["raw"] = GrowableMemory(base);
        for (const unsigned bits : {9u, 12u, 16u}) {
            CAPTURE(bits);
            shelf.add_qcow2("top", {.size = size,
                                    .cluster_bits = bits,
                                    .backing_file = "raw",
                                    .backing_format = "raw"});
            check_writes(shelf, "top", base);
        }
    }
    SECTION("qcow over qcow2") {
        shelf.add_qcow2("base", {.size = size, .cluster_bits = 12});
        const File base = filled(shelf, "base", 2);
        shelf.add_qcow("top", {.size = size, .backing_file = "base"});
        check_writes(shelf, "top", base, {.backing_format = "qcow2"});
    }
    SECTION("qcow2 over qcow") {
        shelf.add_qcow("base", {.size = size});
        const File base = filled(shelf, "base", 3);
        for (const bool extended : {false, true}) {
            shelf.add_qcow2("top", {.size = size,
                                    .cluster_bits = 16,
                                    .extended_l2 = extended,
                                    .backing_file = "base",
                                    .backing_format = "qcow"});
            check_writes(shelf, "top", base);
        }
    }
    SECTION("three, and shorter and longer parents") {
        const File base = noise(size - 5 * 512, 4);
        shelf.files["raw"] = GrowableMemory(base);
        shelf.add_qcow("middle", {.size = size / 2 + 3 * 512, .backing_file = "raw"});
        shelf.add_qcow2("top", {.size = size,
                                .cluster_bits = 14,
                                .version = 2,
                                .backing_file = "middle",
                                .backing_format = "qcow"});
        File cut = base;
        cut.resize(size / 2 / 512 * 512 + 3 * 512);
        check_writes(shelf, "top", cut, {.backing_format = "raw"});
    }
}

TEST_CASE("writable: each format alone, and raw", "[disk][write]") {
    Shelf shelf;
    shelf.files["raw"] = GrowableMemory(File(size));
    shelf.add_qcow("qcow", {.size = size});
    shelf.add_qcow2("qcow2", {.size = size, .cluster_bits = 12});
    S vhdx(shelf.files["vhdx"]);
    REQUIRE(vhdx::create(vhdx, {.size = size}, SystemIds{}));
    for (const char* name : {"raw", "qcow", "qcow2", "vhdx"}) {
        CAPTURE(name);
        check_writes(shelf, name, File(size), {.format = name});
    }
}

TEST_CASE("writable: an external data file is asked for to be written", "[disk][write]") {
    Shelf shelf;
    const qcow2::CreateOptions options{.size = size, .cluster_bits = 12, .data_file = "data"};
    S data(shelf.files["data"]);
    REQUIRE(qcow2::create_data_file(data, options));
    shelf.add_qcow2("top", options);
    File model(size);
    {
        auto disk = shelf.disk("top");
        REQUIRE(disk);
        scribble(*disk, model, 5);
    }
    CHECK(shelf.asked.at("data") == Reference::Use::write);
    CHECK(seen_again(shelf, "top") == model);
    CHECK(shelf.asked.at("data") == Reference::Use::read);
}

TEST_CASE("writable: a log that waits is replayed first", "[disk][write][vhdx]") {
    const BuiltVhdx built = build(VhdxSpec{.size = 3_MiB, .blocks = {{1}}});
    Shelf shelf;
    shelf.files["log"] = GrowableMemory(with_log(built, {built.bat_at, built.metadata_at}, 7));
    File model = built.guest.bytes;
    auto disk = shelf.disk("log");
    REQUIRE(disk);
    scribble(*disk, model, 6);
    REQUIRE(disk->top().close());
    const auto image = vhdx::Image<S, Heap>::open(S(shelf.files["log"]));
    REQUIRE(image);
    CHECK(image->log().entries == 0);
    CHECK(seen_again(shelf, "log") == model);
}

TEST_CASE("writable: what cannot be written", "[disk][write]") {
    Shelf shelf;
    shelf.add_qcow2("top", {.size = size, .backing_file = "top", .backing_format = "qcow2"});
    CHECK(std::string(shelf.disk("top").error().what) == "open: the backing files form a loop");
    shelf.add_qcow2("a", {.size = size, .backing_file = "b", .backing_format = "qcow2"});
    shelf.add_qcow2("b", {.size = size, .backing_file = "a", .backing_format = "qcow2"});
    CHECK(std::string(shelf.disk("a").error().what) == "open: the backing files form a loop");
    shelf.add_qcow2("c", {.size = size, .backing_file = "none", .backing_format = "qcow2"});
    CHECK(shelf.disk("c").error().code == Errc::not_found);
    CHECK(shelf.disk("c", {.snapshot = "x"}).error().code == Errc::invalid);
    CHECK(shelf.disk("c", {.format = "foo"}).error().code == Errc::not_found);
    // The corrupt mark.
    shelf.add_qcow2("bad", {.size = size});
    REQUIRE(S(shelf.files["bad"]).write(79, Bytes(std::array{byte{2}})));
    CHECK(shelf.disk("bad").error().code == Errc::read_only);

    shelf.add_qcow2("good", {.size = size});
    auto disk = shelf.disk("good");
    REQUIRE(disk);
    const File in(2);
    File scratch(512);
    CHECK(write(*disk, size - 1, in, scratch).error().code == Errc::invalid);
    CHECK(vdisk::zero(*disk, size - 1, 2, scratch).error().code == Errc::invalid);
    CHECK(disk->lookup(0, size)->kind == Kind::absent);
}

TEST_CASE("writable: the depth of an extent", "[disk][write]") {
    Shelf shelf;
    shelf.files["raw"] = GrowableMemory(noise(64_KiB, 1));
    shelf.add_qcow2(
        "middle",
        {.size = 64_KiB, .cluster_bits = 12, .backing_file = "raw", .backing_format = "raw"});
    shelf.add_qcow2(
        "top",
        {.size = 128_KiB, .cluster_bits = 12, .backing_file = "middle", .backing_format = "qcow2"});
    auto disk = shelf.disk("top");
    REQUIRE(disk);
    File scratch(4096);
    REQUIRE(write(*disk, 8192, noise(4096), scratch));
    const auto below = disk->lookup(0, 128_KiB);
    CHECK(below->depth == 2);
    CHECK(below->length == 8192);
    CHECK(disk->lookup(8192, 4096)->depth == 0);
    CHECK(disk->lookup(64_KiB, 4096)->kind == Kind::zero);
    CHECK(disk->lookup(64_KiB, 4096)->depth == 1);
}
