// SPDX-License-Identifier: BSL-1.0
// What every format promises, on every storage. Formats join in support/subjects.cpp, storages in
// support/storages.hpp.
#include <algorithm>
#include <random>
#include <thread>

#include "catch.hpp"
#include "support/storages.hpp"
#include "support/subjects.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

bool same(Bytes a, Bytes b) { return std::ranges::equal(a, b); }

Bytes part(const File& bytes, uint64_t at, uint64_t length) {
    return Bytes(bytes).subspan(at, length);
}

// Reads `count` random spans; the number that were wrong.
template <class I>
int wrong_spans(const I& image, const File& model, uint32_t seed, int count) {
    std::mt19937 random(seed);
    int wrong = 0;
    for (int i = 0; i != count; ++i) {
        const uint64_t at = random() % model.size();
        const uint64_t longest = std::min<uint64_t>(model.size() - at, i % 3 == 0 ? 40 : 70000);
        File out(random() % longest + 1, byte{0xEE});
        wrong += !read(image, at, out) || !same(out, part(model, at, out.size()));
    }
    return wrong;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("every format: the same bytes from every storage", "[shared][read]",
                        Storages) {
    for (const Subject& s : subjects()) {
        DYNAMIC_SECTION(s.name) {
            const TestType place{s.image.file};
            const auto image = open(place, s.format);
            const File& model = s.image.guest.bytes;
            REQUIRE(image.size() == model.size());
            File all(model.size(), byte{0xEE});
            REQUIRE(read(image, 0, all));
            CHECK(same(all, model));
            CHECK(wrong_spans(image, model, 1, 200) == 0);
        }
    }
}

TEMPLATE_LIST_TEST_CASE("every format: the edges of a read", "[shared][read]", Storages) {
    for (const Subject& s : subjects()) {
        DYNAMIC_SECTION(s.name) {
            const TestType place{s.image.file};
            const auto image = open(place, s.format);
            const File& model = s.image.guest.bytes;
            for (const uint64_t at : {uint64_t{0}, image.size() / 2 + 1, image.size()}) {
                CHECK(read(image, at, MutBytes{}));
            }
            File last(1000);
            REQUIRE(read(image, image.size() - last.size(), last));
            CHECK(same(last, part(model, model.size() - last.size(), last.size())));

            File out(2, byte{0xEE});
            for (const uint64_t at : {image.size() - 1, image.size(), ~uint64_t{0}}) {
                CHECK(read(image, at, out).error().code == Errc::invalid);
            }
            CHECK(read(image, image.size() + 1, MutBytes{}).error().code == Errc::invalid);
            CHECK(out == File(2, byte{0xEE}));
        }
    }
}

TEMPLATE_LIST_TEST_CASE("every format: lookup tells the kinds, in the longest runs",
                        "[shared][lookup]", Storages) {
    for (const Subject& s : subjects()) {
        DYNAMIC_SECTION(s.name) {
            const TestType place{s.image.file};
            const auto image = open(place, s.format);
            const std::vector<Kind>& kinds = s.image.guest.kinds;
            std::vector<std::pair<uint64_t, Extent>> extents;
            for (uint64_t at = 0; at < image.size();) {
                const auto extent = image.lookup(at, image.size() - at);
                REQUIRE(extent);
                REQUIRE(extent->length > 0);
                REQUIRE(fits(at, extent->length, image.size()));
                const auto first = kinds.begin() + static_cast<ptrdiff_t>(at / sector);
                const auto length = static_cast<ptrdiff_t>(extent->length / sector);
                REQUIRE(
                    std::all_of(first, first + length, [&](Kind k) { return k == extent->kind; }));
                if (!extents.empty()) REQUIRE_FALSE(continues(extents.back().second, *extent));
                extents.emplace_back(at, *extent);
                at += extent->length;
            }
            // From the middle, and with a limit, it is the same run.
            for (const auto& [at, whole] : extents) {
                const uint64_t skip = whole.length / 3;
                const auto rest = image.lookup(at + skip, whole.length - skip);
                REQUIRE(rest);
                CHECK(rest->kind == whole.kind);
                CHECK(rest->length == whole.length - skip);
                if (whole.kind == Kind::data) CHECK(rest->at == whole.at + skip);
                CHECK(image.lookup(at, 1)->length == 1);
                CHECK(image.lookup(at, 1)->kind == whole.kind);
            }
        }
    }
}

TEMPLATE_LIST_TEST_CASE("every format: what is below is asked for absent runs and for nothing else",
                        "[shared][below]", Storages) {
    for (const Subject& s : subjects()) {
        DYNAMIC_SECTION(s.name) {
            const TestType place{s.image.file};
            const auto image = open(place, s.format);
            std::vector<Kind> asked(s.image.guest.kinds.size(), Kind::data);
            bool is_whole = true;
            const auto below = [&](uint64_t at, MutBytes out) -> Status {
                is_whole &= at % sector == 0 && out.size() % sector == 0 && !out.empty();
                std::ranges::fill(out, byte{0xB5});
                std::fill_n(asked.begin() + static_cast<ptrdiff_t>(at / sector),
                            out.size() / sector, Kind::absent);
                return {};
            };
            File out(image.size());
            REQUIRE(read(image, 0, out, below));
            CHECK(is_whole);
            size_t wrong = 0;
            for (size_t i = 0; i != asked.size(); ++i) {
                wrong += (asked[i] == Kind::absent) != (s.image.guest.kinds[i] == Kind::absent);
            }
            CHECK(wrong == 0);
            const File parent(image.size(), byte{0xB5});
            CHECK(same(out, over(s.image.guest, parent)));

            const auto broken = [](uint64_t, MutBytes) -> Status { return invalid("broken"); };
            const bool asks = std::ranges::count(s.image.guest.kinds, Kind::absent) != 0;
            const Status status = read(image, 0, out, broken);
            CHECK(static_cast<bool>(status) == !asks);
            if (asks) CHECK(std::string_view(status.error().what) == "broken");
        }
    }
}

TEST_CASE("every format: a run that is contiguous in the file is one extent", "[shared][lookup]") {
    std::vector<Cluster> clusters;
    for (uint64_t i = 3; i != 150; ++i) clusters.push_back({i, Fill::data, 9});
    const Built qcow2 =
        build(Qcow2Spec{.size = 1_MiB, .cluster_bits = 12, .clusters = clusters, .shuffle = 0});
    const Built qcow = build(QcowSpec{.size = 1_MiB, .clusters = clusters, .shuffle = 0});
    for (const auto& [name, built] : {std::pair("qcow2", &qcow2), std::pair("qcow", &qcow)}) {
        CAPTURE(name);
        const InMemory place{built->file};
        const auto image = open(place, name);
        CHECK(image.lookup(0, 1_MiB)->length == 3 * 4_KiB);
        CHECK(image.lookup(3 * 4_KiB, 1_MiB - 3 * 4_KiB)->length == 147 * 4_KiB);
        CHECK(image.lookup(5 * 4_KiB + 7, 100_KiB)->length == 100_KiB);
        CHECK(image.lookup(150 * 4_KiB, 1_MiB - 150 * 4_KiB)->length == 1_MiB - 150 * 4_KiB);
    }
}

TEST_CASE("every format: four threads read one image in place", "[shared][threads]") {
    for (const Subject& s : subjects()) {
        if (s.is_packed) continue;  // see format/image.hpp: the unpacked block is shared
        DYNAMIC_SECTION(s.name) {
            const InMemory place{s.image.file};
            const auto image = open(place, s.format);
            std::array<int, 4> wrong{};
            std::vector<std::thread> readers;
            for (uint32_t i = 0; i != wrong.size(); ++i) {
                readers.emplace_back(
                    [&, i] { wrong[i] = wrong_spans(image, s.image.guest.bytes, 100 + i, 300); });
            }
            for (std::thread& reader : readers) reader.join();
            CHECK(wrong == std::array<int, 4>{});
        }
    }
}
