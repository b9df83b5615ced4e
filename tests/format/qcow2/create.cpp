// SPDX-License-Identifier: BSL-1.0
// Making qcow2 images as qemu-img makes them.
#include <filesystem>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/system.hpp>
#include <vdisk/core/zero.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/format/qcow2/image.hpp>
#include <vdisk/io/read.hpp>
#include <vdisk/storage/pread.hpp>

#include "support/qemu.hpp"
#include "support/storages.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

using qcow2::CreateOptions;
using qcow2::Preallocation;

template <class S>
using Reader = qcow2::Image<S, Heap, SystemCodecs>;

PreadStorage new_file(const std::string& path) {
    return value_of(PreadStorage::open(path.c_str(), Access::create));
}

// Zeros at the start, in the middle and at the end.
template <class S>
void check_zeros(S storage, uint64_t size) {
    const auto image = Reader<S>::open(std::move(storage));
    REQUIRE(image);
    CHECK(image->size() == size);
    constexpr uint64_t most = 1_MiB;
    const uint64_t length = std::min(size, most);
    if (image->layout().has_data_file) return;
    for (const uint64_t at : {uint64_t{0}, (size - length) / 2 / 512 * 512, size - length}) {
        File seen(length, byte{1});
        REQUIRE(read(*image, at, seen));
        CHECK(is_zero(seen));
    }
}

// What -o says.
std::string qemu_options(const CreateOptions& o) {
    const auto number = [](uint64_t n) { return std::to_string(n); };
    const auto text = [](std::string_view s) { return std::string(s); };
    std::string out = "cluster_size=" + number(uint64_t{1} << o.cluster_bits);
    out += std::string(",compat=") + (o.version == 2 ? "0.10" : "1.1");
    out += ",refcount_bits=" + number(uint64_t{1} << o.refcount_order);
    if (o.lazy_refcounts) out += ",lazy_refcounts=on";
    if (o.extended_l2) out += ",extended_l2=on";
    if (o.packing == Packing::zstd) out += ",compression_type=zstd";
    if (!o.data_file.empty()) out += ",data_file=" + text(o.data_file);
    if (o.data_file_raw) out += ",data_file_raw=on";
    constexpr const char* preallocations[] = {"off", "metadata", "falloc", "full"};
    out += std::string(",preallocation=") + preallocations[static_cast<size_t>(o.preallocation)];
    if (!o.backing_file.empty()) {
        out += ",backing_file=" + text(o.backing_file) + ",backing_fmt=" + text(o.backing_format);
    }
    return out;
}

struct Creation {
    const char* name;
    CreateOptions options;
};

const Creation creations[] = {
    {"plain", {}},
    {"v2", {.version = 2}},
    {"1 bit", {.refcount_order = 0}},
    {"8 bits", {.refcount_order = 3}},
    {"64 bits", {.refcount_order = 6}},
    {"lazy", {.lazy_refcounts = true}},
    {"extended L2", {.extended_l2 = true}},
    {"zstd", {.packing = Packing::zstd}},
    {"data file", {.data_file = "data"}},
    {"raw data file", {.data_file = "data", .data_file_raw = true}},
    {"extended, data file", {.extended_l2 = true, .data_file = "data"}},
    {"backing", {.backing_file = "base", .backing_format = "raw"}},
    {"v2 backing", {.version = 2, .backing_file = "base", .backing_format = "raw"}},
    {"extended, backing", {.extended_l2 = true, .backing_file = "base", .backing_format = "raw"}},
};

// Makes an image in two folders, by qemu-img and by us: refused by both, or alike.
void compare_with_qemu(const CreateOptions& o) {
    const TempDir folder;
    const std::string ours = folder / "ours", theirs = folder / "theirs";
    REQUIRE(run("mkdir " + ours + " " + theirs + " && truncate -s 64K " + ours + "/base " + theirs +
                "/base")
                .ok);
    const Ran made = run_in(theirs, "qemu-img create -q -f qcow2 -o " + qemu_options(o) + " x " +
                                        std::to_string(o.size));
    CAPTURE(qemu_options(o), o.size, made.output);
    PreadStorage file = new_file(ours + "/x");
    if (!o.data_file.empty()) {
        PreadStorage data = new_file(ours + "/data");
        const Status prepared = qcow2::create_data_file(data, o);
        CHECK(static_cast<bool>(prepared) == made.ok);
    }
    const Status created = qcow2::create(file, o);
    REQUIRE(static_cast<bool>(created) == made.ok);
    if (!created) return;
    const Ran checked = run_in(ours, "qemu-img check -q -f qcow2 x");
    CAPTURE(checked.output);
    CHECK(checked.ok);
    CHECK(qemu_info(ours, "x") == qemu_info(theirs, "x"));
    if (!o.data_file.empty()) {
        CHECK(std::filesystem::file_size(ours + "/data") ==
              std::filesystem::file_size(theirs + "/data"));
    }
    CHECK(file.size() == value_of(qcow2::plan(o)).file_size());
    const std::string map = "qemu-img map -f qcow2 --output=json x";
    const auto offsets_left_out = [](const std::string& text) {
        std::string out;
        for (size_t at = 0; at < text.size();) {
            const size_t found = text.find("\"offset\": ", at);
            out += text.substr(at, found - at);
            if (found == std::string::npos) break;
            at = text.find_first_of(",}", found);
        }
        return out;
    };
    if (o.size <= 4_MiB && o.data_file.empty() && !qcow2::preallocates(o)) {
        CHECK(offsets_left_out(run_in(ours, map).output) ==
              offsets_left_out(run_in(theirs, map).output));
    }
    check_zeros(file, (o.size + 511) / 512 * 512);
}

}  // namespace

TEST_CASE("qcow2: create makes what qemu-img makes", "[qcow2][create][qemu]") {
    if (!has_qemu()) return;
    for (const Creation& kind : creations) {
        CAPTURE(kind.name);
        for (const unsigned bits : {9u, 16u, 21u}) {
            CreateOptions o = kind.options;
            o.cluster_bits = bits;
            for (const uint64_t size : {uint64_t{0}, uint64_t{512}, 100_MiB + 512}) {
                if (bits != 16 && size == 512) continue;
                o.size = size;
                o.preallocation = Preallocation::off;
                compare_with_qemu(o);
                o.preallocation = Preallocation::metadata;
                if (size == 512) compare_with_qemu(o);
            }
            if (bits != 9) compare_with_qemu(o);  // 100 MiB of clusters
            o.size = 1_MiB + 1;
            for (const auto way : {Preallocation::falloc, Preallocation::full}) {
                o.preallocation = way;
                if (bits == 16) compare_with_qemu(o);
            }
        }
        CreateOptions o = kind.options;
        o.size = 64_TiB;
        if (o.data_file.empty()) compare_with_qemu(o);  // file systems end below that
    }
}

TEST_CASE("qcow2: create refuses what qemu-img refuses", "[qcow2][create][qemu]") {
    if (!has_qemu()) return;
    for (const CreateOptions& o : {
             CreateOptions{.size = 1_MiB, .cluster_bits = 8},
             CreateOptions{.size = 1_MiB, .cluster_bits = 22},
             CreateOptions{.size = 1_MiB, .version = 2, .refcount_order = 3},
             CreateOptions{.size = 1_MiB, .refcount_order = 7},
             CreateOptions{.size = 1_MiB, .version = 2, .lazy_refcounts = true},
             CreateOptions{.size = 1_MiB, .version = 2, .extended_l2 = true},
             CreateOptions{.size = 1_MiB, .cluster_bits = 13, .extended_l2 = true},
             CreateOptions{.size = 1_MiB, .version = 2, .packing = Packing::zstd},
             CreateOptions{.size = 1_MiB, .version = 2, .data_file = "data"},
             CreateOptions{.size = 1_MiB, .data_file_raw = true},
             CreateOptions{.size = 1_MiB,
             .data_file = "data",
             .data_file_raw = true,
             .backing_file = "base",
             .backing_format = "raw"},
             CreateOptions{.size = 1_MiB,
             .preallocation = Preallocation::metadata,
             .backing_file = "base",
             .backing_format = "raw"},
             CreateOptions{.size = 128_GiB + 512, .cluster_bits = 9},
             CreateOptions{.size = 3072 * 1024_TiB, .cluster_bits = 21},
         }) {
        CHECK(!qcow2::plan(o));
        compare_with_qemu(o);
    }
    compare_with_qemu({.size = 128_GiB, .cluster_bits = 9});
    compare_with_qemu({.size = 2048 * 1024_TiB, .cluster_bits = 21});
}
