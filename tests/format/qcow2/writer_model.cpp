// SPDX-License-Identifier: BSL-1.0
// Writing qcow2: random work against a plain vector, over create options, storages and caches.
#include "catch.hpp"
#include "support/cut_qcow2.hpp"
#include "support/qemu.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

struct Model {
    const char* name;
    qcow2::CreateOptions options;
    int steps = 60;
};

using qcow2::Preallocation;

// Disks end inside a cluster.
const Model models[] = {
    {"512", {.size = 301 * 512, .cluster_bits = 9}, 150},
    {"512 v2", {.size = 301 * 512, .cluster_bits = 9, .version = 2}, 150},
    {"512, 1 bit", {.size = 301 * 512, .cluster_bits = 9, .refcount_order = 0}, 120},
    {"1k, 2 bits", {.size = 301 * 512, .cluster_bits = 10, .refcount_order = 1}},
    {"512, 4 bits", {.size = 301 * 512, .cluster_bits = 9, .refcount_order = 2}},
    {"1k, 8 bits", {.size = 301 * 512, .cluster_bits = 10, .refcount_order = 3}},
    {"512, 32 bits", {.size = 301 * 512, .cluster_bits = 9, .refcount_order = 5}},
    {"512, 64 bits", {.size = 301 * 512, .cluster_bits = 9, .refcount_order = 6}, 150},
    {"512, table grows", {.size = 3500 * 512, .cluster_bits = 9, .refcount_order = 6}, 250},
    {"4k", {.size = 601 * 512, .cluster_bits = 12}, 100},
    {"4k v2", {.size = 601 * 512, .cluster_bits = 12, .version = 2}},
    {"64k", {.size = 1537 * 512, .cluster_bits = 16}},
    {"64k lazy", {.size = 1537 * 512, .cluster_bits = 16, .lazy_refcounts = true}},
    {"2M", {.size = 8_MiB + 4608, .cluster_bits = 21}, 25},
    {"zstd", {.size = 601 * 512, .cluster_bits = 12, .packing = Packing::zstd}},
    {"16k extended", {.size = 1001 * 512, .cluster_bits = 14, .extended_l2 = true}, 120},
    {"64k extended", {.size = 2001 * 512, .cluster_bits = 16, .extended_l2 = true}},
    {"4k metadata",
     {.size = 601 * 512, .cluster_bits = 12, .preallocation = Preallocation::metadata}},
    {"4k metadata v2",
     {.size = 601 * 512,
      .cluster_bits = 12,
      .version = 2,
      .preallocation = Preallocation::metadata}},
    {"16k extended metadata",
     {.size = 1001 * 512,
      .cluster_bits = 14,
      .extended_l2 = true,
      .preallocation = Preallocation::metadata}},
    {"4k full", {.size = 601 * 512, .cluster_bits = 12, .preallocation = Preallocation::full}},
    {"4k over a parent",
     {.size = 601 * 512, .cluster_bits = 12, .backing_file = "p", .backing_format = "raw"},
     100},
    {"512 over a parent",
     {.size = 301 * 512, .cluster_bits = 9, .backing_file = "p", .backing_format = "raw"},
     100},
    {"4k v2 over a parent",
     {.size = 601 * 512,
      .cluster_bits = 12,
      .version = 2,
      .backing_file = "p",
      .backing_format = "raw"},
     100},
    {"16k extended over a parent",
     {.size = 1001 * 512,
      .cluster_bits = 14,
      .extended_l2 = true,
      .backing_file = "p",
      .backing_format = "raw"},
     120},
    {"16k extended metadata over a parent",
     {.size = 1001 * 512,
      .cluster_bits = 14,
      .extended_l2 = true,
      .preallocation = Preallocation::metadata,
      .backing_file = "p",
      .backing_format = "raw"}},
    {"4k data file", {.size = 601 * 512, .cluster_bits = 12, .data_file = "d"}, 100},
    {"16k extended data file",
     {.size = 1001 * 512, .cluster_bits = 14, .extended_l2 = true, .data_file = "d"},
     100},
    {"4k data file over a parent",
     {.size = 601 * 512,
      .cluster_bits = 12,
      .data_file = "d",
      .backing_file = "p",
      .backing_format = "raw"},
     100},
    {"4k raw data file",
     {.size = 601 * 512, .cluster_bits = 12, .data_file = "d", .data_file_raw = true},
     100},
};

Mix mix_for(const qcow2::CreateOptions& options) {
    const uint64_t cluster = uint64_t{1} << options.cluster_bits;
    return {.pack = options.data_file.empty() ? 1u : 0u,
            .reopen = 1,
            .most = std::min<uint64_t>(options.size / 4, cluster * 6),
            .pack_unit = cluster};
}

// Through all steps the file holds at most leaks, after a flush none.
void check_step(const Qcow2Files& files, bool flushed) {
    const auto report = check_file(files.image);
    REQUIRE(report);
    REQUIRE(report->corruptions == 0);
    REQUIRE(report->check_errors == 0);
    if (flushed) REQUIRE(report->leaks == 0);
}

struct Worked {
    Qcow2Files files;
    File disk;
};

template <class Place>
Worked work(const Model& c, CacheShape cache, uint64_t seed) {
    const ParentDisk below{!c.options.backing_file.empty()};
    Qcow2AtWork<Place> image(new_qcow2(c.options), cache);
    File model = value_of(whole_disk(image.writer(), below));
    RandomWork random(c.options.size, mix_for(c.options), seed);
    // A device is all copied for each look at it.
    const bool small = c.options.size < 400000 && !std::same_as<Place, KeptOnDevice>;
    for (int step = 0; step <= c.steps; ++step) {
        const bool last = step == c.steps;
        const Op op = last ? Op::flush() : random.next();
        CAPTURE(step, static_cast<int>(op.kind), op.at, op.length);
        const Status done = perform(image.writer(), op, model, below, 1 + seed * 701 % 9000);
        if (!done) FAIL(done.error().what);
        if (op.kind == Op::Kind::reopen) image.reopen();
        if (!small && !last && step % 10 != 0) continue;
        REQUIRE(value_of(whole_disk(image.writer(), below)) == model);
        const bool flushed = op.kind == Op::Kind::flush || op.kind == Op::Kind::reopen;
        check_step(image.files(), flushed);
    }
    const Qcow2Files files = image.files();
    REQUIRE(value_of(read_files(files, below)) == model);
    if (c.options.data_file_raw) {
        REQUIRE(std::equal(model.begin(), model.end(), files.data.begin()));
    }
    return {files, model};
}

constexpr CacheShape one_sector{9, 0}, four_pages{9, 2}, usual{12, 8}, large_pages{16, 1};

}  // namespace

TEST_CASE("qcow2: random work reads back, in every kind of image", "[qcow2][write][model]") {
    for (const Model& c : models) {
        CAPTURE(c.name);
        work<KeptInMemory>(c, usual, 1);
        work<KeptInMemory>(c, one_sector, 2);
    }
}

TEST_CASE("qcow2: random work reads back, whatever the cache", "[qcow2][write][model]") {
    for (const Model& c : models) {
        if (c.options.size > 400000) continue;
        CAPTURE(c.name);
        uint64_t seed = 3;
        for (const CacheShape cache : {one_sector, four_pages, usual, large_pages}) {
            CAPTURE(seed);
            work<KeptInMemory>(c, cache, seed++);
        }
    }
}

TEST_CASE("qcow2: random work reads back, wherever the image lies", "[qcow2][write][model]") {
    for (const Model& c : models) {
        CAPTURE(c.name);
        work<KeptOnDisk>(c, four_pages, 8);
        if (!c.options.data_file.empty() || c.options.size > 400000) continue;
        work<KeptOnDevice>(c, four_pages, 9);
    }
}

TEST_CASE("qcow2: qemu-img agrees about what random work wrote", "[qcow2][write][qemu]") {
    if (!has_qemu()) return;
    for (const Model& c : models) {
        CAPTURE(c.name);
        const Worked done = work<KeptInMemory>(c, four_pages, 11);
        const TempDir folder;
        save(done.files.image, folder / "a.qcow2");
        save(done.disk, folder / "model");
        save(done.files.data, folder / "d");
        save(contents(0, c.options.size, 0), folder / "p");
        const Ran checked = run_in(folder / ".", "qemu-img check a.qcow2");
        CAPTURE(checked.output);
        CHECK(checked.ok);
        const Ran same = run_in(folder / ".", "qemu-img compare -f qcow2 -F raw a.qcow2 model");
        CAPTURE(same.output);
        CHECK(same.ok);
    }
}

namespace {

// Works on an image with a snapshot, whose contents nothing may change.
Qcow2Files work_beside_snapshot(const qcow2::CreateOptions& options, bool shared, uint64_t seed) {
    const ParentDisk none;
    Qcow2AtWork<KeptInMemory> before(new_qcow2(options), usual);
    File model = value_of(whole_disk(before.writer(), none));
    RandomWork random(options.size, mix_for(options), seed);
    for (int step = 0; step < 40; ++step) {
        REQUIRE(perform(before.writer(), random.next(), model, none));
    }
    REQUIRE(before.writer().flush());
    Qcow2Files start = before.files();
    if (shared) {
        share_snapshot(start.image);
    } else {
        GrowableMemory memory(start.image);
        REQUIRE(qcow2::take_snapshot(memory, {.name = "kept"}, Heap{}));
        start.image = bytes_of(memory);
    }
    const File kept = model;
    Qcow2AtWork<KeptInMemory> image(start, seed % 2 == 0 ? one_sector : four_pages);
    for (int step = 0; step <= 120; ++step) {
        const Op op = step == 120 ? Op::flush() : random.next();
        CAPTURE(step, static_cast<int>(op.kind), op.at, op.length);
        REQUIRE(perform(image.writer(), op, model, none));
        REQUIRE(value_of(whole_disk(image.writer(), none)) == model);
        REQUIRE(value_of(read_files(image.files(), none, "1")) == kept);
        check_step(image.files(), op.kind == Op::Kind::flush || op.kind == Op::Kind::reopen);
    }
    REQUIRE(value_of(read_files(image.files(), none)) == model);
    return image.files();
}

}  // namespace

TEST_CASE("qcow2: work beside a snapshot leaves it as it is", "[qcow2][write][model]") {
    const qcow2::CreateOptions all[] = {
        {.size = 100 * 512, .cluster_bits = 9},
        {.size = 301 * 512, .cluster_bits = 12},
        {.size = 301 * 512, .cluster_bits = 12, .version = 2},
        {.size = 301 * 512, .cluster_bits = 14, .extended_l2 = true},
    };
    for (const auto& options : all) {
        for (const bool shared : {false, true}) {
            for (uint64_t seed = 20; seed < 23; ++seed) {
                CAPTURE(options.cluster_bits, options.version, shared, seed);
                const Qcow2Files done = work_beside_snapshot(options, shared, seed);
                if (!has_qemu()) continue;
                const TempDir folder;
                save(done.image, folder / "a.qcow2");
                const Ran checked = run_in(folder / ".", "qemu-img check a.qcow2");
                CAPTURE(checked.output);
                CHECK(checked.ok);
            }
        }
    }
}
