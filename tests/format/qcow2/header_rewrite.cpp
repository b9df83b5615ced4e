// SPDX-License-Identifier: BSL-1.0
// Rewriting the first cluster: what is asked for changes, the rest stays.
#include <vdisk/allocation/limited.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/storage/growable.hpp>

#include "header_subjects.hpp"
#include "support/qemu.hpp"

using namespace vdisk;
using namespace vdisk::test;
using namespace vdisk::test::headers;

TEST_CASE("qcow2: a rewritten header says what was asked for", "[qcow2][header]") {
    for (const Subject& subject : headers::subjects()) {
        for (const Change& c : all_changes) {
            CAPTURE(subject.name, c.name);
            GrowableMemory memory(subject.file);
            if (!change(memory, c.changes)) continue;
            const File file(memory.bytes().begin(), memory.bytes().end());
            const auto image = qcow2::Image<MemoryStorage, Heap, SystemCodecs>::open(
                MemoryStorage(file), {.purpose = Purpose::metadata});
            REQUIRE(image);
            const qcow2::Layout& now = image->layout();
            const HeaderChanges& w = c.changes;
            if (w.backing_file) CHECK(text_of(file, now.backing_file) == *w.backing_file);
            if (w.backing_format) CHECK(text_of(file, now.backing_format) == *w.backing_format);
            if (w.data_file) CHECK(text_of(file, now.data_file) == *w.data_file);
            if (w.bitmaps) {
                const auto directory = qcow2::load_bitmap_directory(MemoryStorage(file), now);
                CHECK(now.bitmaps.length == 24);
                CHECK((directory || directory.error().code == Errc::corrupt));  // no such place
            }
            // Back again: as before, unknown things included.
            const auto original = value_of(First::load(MemoryStorage(subject.file)));
            const auto kept = [&](Text text) { return text_of(subject.file, text); };
            const std::string name = kept(original.layout().backing_file);
            const std::string format = kept(original.layout().backing_format);
            const Status back = change(memory, {.backing_file = name,
                                                .backing_format = format,
                                                .data_file = "",
                                                .bitmaps = BitmapDirectory{}});
            if (!back) {
                CHECK(back.error().code == Errc::no_space);
                continue;
            }
            CHECK(said(File(memory.bytes().begin(), memory.bytes().end())) == said(subject.file));
            // Behind the first cluster nothing was touched.
            const auto size = static_cast<ptrdiff_t>(original.layout().cluster_size());
            CHECK(std::equal(subject.file.begin() + size, subject.file.end(),
                             memory.bytes().begin() + size, memory.bytes().end()));
        }
    }
}

TEST_CASE("qcow2: rewriting a header takes bounded memory", "[qcow2][header]") {
    GrowableMemory memory;
    REQUIRE(qcow2::create(memory, {.size = 1_MiB, .cluster_bits = 21}));
    Budget budget{.ceiling = 128_KiB};
    auto first = qcow2::FirstCluster<Limited<Heap>>::load(memory, Limited<Heap>(budget));
    REQUIRE(first);
    CHECK(first->store(memory, {.backing_file = "b", .backing_format = "raw"}));
    CHECK(budget.peak <= 128_KiB);
    Budget tight{.ceiling = 100_KiB};
    auto second = qcow2::FirstCluster<Limited<Heap>>::load(memory, Limited<Heap>(tight));
    REQUIRE(second);
    CHECK(second->store(memory, {}).error().code == Errc::no_memory);
}

TEST_CASE("qcow2: a header that cannot be rewritten is refused", "[qcow2][header]") {
    const auto why = [](File file, const HeaderChanges& changes) {
        const File before = file;
        GrowableMemory memory(std::move(file));
        const Status status = change(memory, changes);
        CHECK(std::equal(before.begin(), before.end(), memory.bytes().begin()));
        return status ? std::string() : std::string(status.error().what);
    };
    const auto of = [](unsigned bits, std::vector<Extension> extensions) {
        return build(Qcow2Spec{.size = 64_KiB,
                               .cluster_bits = bits,
                               .shuffle = 0,
                               .extensions = std::move(extensions)})
            .file;
    };
    CHECK(why(of(9, {}), {.backing_file = std::string_view(large).substr(0, 500)}) ==
          "qcow2: no space is left in the first cluster");
    CHECK(why(of(10, {{0x77777777, std::string(700, 's')}}), {.backing_format = "raw"}) ==
          "qcow2: no space is left to rewrite the first cluster safely");
    CHECK(why(of(21, {{0x77777777, std::string(80000, 's')}}), {.backing_format = "raw"}) ==
          "qcow2: header extension is too large");
    File damaged = of(16, {});
    set_be32(damaged, 100, 106);
    CHECK(why(damaged, {}) == "qcow2: header_length is out of range");
    CHECK(why(of(16, {{0x77777777, "1"}, {0xE2792ACA, "raw"}, {0xE2792ACA, "raw"}}), {}) ==
          "qcow2: header extension occurs twice");
}

TEST_CASE("qcow2: fields of a longer header and unknown autoclear bits", "[qcow2][header]") {
    GrowableMemory memory;
    REQUIRE(qcow2::create(memory, {.size = 1_MiB}));
    File file(memory.bytes().begin(), memory.bytes().end());
    // 24 more bytes of header, then no extensions.
    std::fill(file.begin() + 112, file.begin() + 1024, byte{0});
    for (size_t i = 0; i < 24; ++i) file[112 + i] = byte(i + 1);
    set_be32(file, 100, 136);
    set_be64(file, 88, 0xFF00);
    GrowableMemory longer(file);
    REQUIRE(change(longer, {.backing_file = "base", .backing_format = "raw"}));
    for (size_t i = 0; i < 24; ++i) CHECK(longer.bytes()[112 + i] == byte(i + 1));
    CHECK(load_be64(longer.bytes().data() + 88) == 0);
    CHECK(load_be32(longer.bytes().data() + 136) == qcow2::extension::backing_format);
}

TEST_CASE("qcow2: qemu-img reads rewritten headers", "[qcow2][header][qemu]") {
    if (!has_qemu()) return;
    const TempDir folder;
    const std::string path = folder / "x";
    const std::string home = path.substr(0, path.size() - 2);
    REQUIRE(run_in(home, "truncate -s 64K base base2").ok);
    for (const char* options : {"compat=1.1", "compat=0.10", "cluster_size=512", "cluster_size=4K",
                                "cluster_size=2M", "lazy_refcounts=on,compression_type=zstd"}) {
        CAPTURE(options);
        const std::string make =
            std::string("rm -f x; qemu-img create -q -f qcow2 -o cluster_size=64K,") + options;
        REQUIRE(run_in(home, make + " x 1M").ok);
        const std::string plain = qemu_info(home, "x");
        GrowableMemory memory(saved(path));
        REQUIRE(change(memory, {.backing_file = "base", .backing_format = "raw"}));
        save(File(memory.bytes().begin(), memory.bytes().end()), path);
        CHECK(run_in(home, "qemu-img check -q x").ok);
        const std::string ours = qemu_info(home, "x");
        REQUIRE(run_in(home, make + " -b base -F raw x 1M").ok);
        CHECK(ours == qemu_info(home, "x"));
        const File theirs = saved(path);
        CHECK(std::equal(theirs.begin(), theirs.begin() + 512, memory.bytes().begin()));
        REQUIRE(change(memory, {.backing_file = "", .backing_format = ""}));
        save(File(memory.bytes().begin(), memory.bytes().end()), path);
        CHECK(qemu_info(home, "x") == plain);
        CHECK(names_features(theirs) == names_features(saved(path)));
    }
}
