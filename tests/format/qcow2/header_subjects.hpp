// SPDX-License-Identifier: BSL-1.0
// First clusters of all shapes, changes to them, and what they say.
#pragma once

#include <set>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/system.hpp>
#include <vdisk/format/qcow2/header.hpp>
#include <vdisk/format/qcow2/image.hpp>

#include "catch.hpp"
#include "support/storages.hpp"

namespace vdisk::test::headers {

using qcow2::BitmapDirectory;
using qcow2::HeaderChanges;
using First = qcow2::FirstCluster<Heap>;

inline std::string text_of(const File& file, Text text) {
    return {reinterpret_cast<const char*>(file.data()) + text.at, text.length};
}

// All that the first cluster says, but for the names of features; "" if the image does not open.
inline std::string said(const File& file) {
    const auto image = qcow2::Image<MemoryStorage, Heap, SystemCodecs>::open(
        MemoryStorage(file), {.purpose = Purpose::metadata});
    if (!image) return "";
    const qcow2::Layout& layout = image->layout();
    std::string out;
    const auto header = load<qcow2::Header>(Bytes(file));
    qcow2::each_field(header, [&](const char* name, const auto& field) {
        if (std::string_view(name).starts_with("backing_file_")) return;
        if constexpr (requires { field.value(); }) {
            out += std::string(name) + '=' + std::to_string(field.value()) + '\n';
        }
    });
    if (layout.extensions_at > sizeof(header)) {
        out += text_of(file, {sizeof(header), uint32_t(layout.extensions_at - sizeof(header))});
    }
    out += "name=" + text_of(file, layout.backing_file) + '\n';
    std::multiset<std::string> extensions;
    const auto tables = value_of(Metadata<MemoryStorage, Heap>::make(MemoryStorage(file), {}, {}));
    REQUIRE(qcow2::each_extension(tables, layout, [&](uint32_t type, Text text) -> Status {
        if (type == qcow2::extension::feature_names || type == qcow2::spacer_extension) return {};
        extensions.insert(std::to_string(type) + ':' + text_of(file, text) + '\n');
        return {};
    }));
    for (const std::string& extension : extensions) out += extension;
    return out;
}

inline bool names_features(const File& file) {
    const auto image = qcow2::Image<MemoryStorage, Heap, SystemCodecs>::open(
        MemoryStorage(file), {.purpose = Purpose::metadata});
    return image && image->layout().feature_names.length == 8 * 48;
}

template <WritableStorage S>
Status change(S& storage, const HeaderChanges& changes) {
    auto first = First::load(storage);
    if (!first) return first.error();
    return first->store(storage, changes);
}

struct Subject {
    std::string name;
    File file;
};

// Headers of all shapes: extensions that end in the first sector and far behind it.
inline std::vector<Subject> subjects() {
    std::vector<Subject> out;
    for (const unsigned bits : {9u, 10u, 11u, 12u, 16u, 21u}) {
        const auto add = [&](const char* name, Qcow2Spec spec) {
            spec.size = 64_KiB;
            spec.cluster_bits = bits;
            spec.shuffle = 0;
            const uint64_t needed = 112 + spec.backing_file.size() + 64;
            uint64_t more = 0;
            for (const Extension& e : spec.extensions) more += e.data.size() + 16;
            if (needed + more > uint64_t{1} << bits) return;
            out.push_back({std::string(name) + ", 2^" + std::to_string(bits), build(spec).file});
        };
        const std::string names(8 * 48, 'n');
        const Extension features{qcow2::extension::feature_names, names};
        const Extension strange{0x12345678, "strange one"};
        add("bare", {});
        add("v2", {.version = 2});
        add("v2 backing", {.version = 2, .backing_file = "b", .backing_format = "raw"});
        add("names", {.extensions = {features}});
        add("strange", {.extensions = {strange, features, {0xABCDEF01, ""}}});
        add("backing", {.backing_file = "base", .backing_format = "qcow2"});
        add("backing behind",
            {.backing_file = "base", .backing_format = "raw", .extensions = {features}});
        add("long backing", {.backing_file = std::string(600, 'b'),
                             .backing_format = "raw",
                             .extensions = {features}});
        add("longest backing", {.backing_file = std::string(1023, 'b'),
                                .backing_format = "raw",
                                .extensions = {strange}});
        add("long strange", {.backing_file = "x",
                             .backing_format = "raw",
                             .extensions = {{0x77777777, std::string(900, 's')}, features}});
    }
    return out;
}

inline const std::string medium(300, 'm'), large(1000, 'l');

struct Change {
    const char* name;
    HeaderChanges changes;
};
inline const Change all_changes[] = {
    {"short name", {.backing_file = "a", .backing_format = "raw"}},
    {"name", {.backing_file = "base2", .backing_format = "qcow2"}},
    {"medium name", {.backing_file = medium, .backing_format = "raw"}},
    {"large name", {.backing_file = large, .backing_format = "raw"}},
    {"no name", {.backing_file = "", .backing_format = ""}},
    {"bitmaps", {.bitmaps = BitmapDirectory{0x10000, 32, 1}}},
    {"data file", {.data_file = medium}},
    {"all",
     {.backing_file = medium,
      .backing_format = "raw",
      .data_file = "data",
      .bitmaps = BitmapDirectory{0x10000, 32, 1}}},
};

}  // namespace vdisk::test::headers
