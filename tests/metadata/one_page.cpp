// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <array>
#include <vector>

#include <vdisk/metadata/one_page.hpp>
#include <vdisk/storage/memory.hpp>
#include <vdisk/storage/ref.hpp>

#include "catch.hpp"

using namespace vdisk;

namespace {

constexpr size_t file_size = 3 * 512 + 20;

std::vector<byte> table() {
    std::vector<byte> out(file_size);
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<byte>(i * 7 + i / 256);
    return out;
}

}  // namespace

TEST_CASE("one page: every entry is what it is in place", "[metadata][one_page]") {
    const std::vector<byte> file = table();
    const MemoryStorage memory{Bytes(file)};
    const auto in_place = Metadata<MemoryStorage, NoAllocation>::make(memory, {}, {});
    std::array<byte, OnePage::page_size> page;
    const auto paged = Metadata<StorageRef, OnePage>::make(StorageRef(memory), {}, OnePage(page));
    REQUIRE((in_place && paged));
    int wrong = 0;
    for (uint64_t step : {1u, 333u, 509u}) {
        for (uint64_t i = 0, at = 0; i < 3000; ++i, at = (at + step) % (file_size + 40)) {
            wrong += *in_place->be64(at) != *paged->be64(at);
            wrong += *in_place->le64(at) != *paged->le64(at);
            const uint64_t even = at & ~uint64_t{3};
            wrong += *in_place->be32(even) != *paged->be32(even);
            const Bytes few = *paged->entries(at, 40);
            const Bytes all = *in_place->entries(at, 40);
            wrong += few.size() < 8 || few.size() > all.size() ||
                     !std::equal(few.begin(), few.end(), all.begin());
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("one page: a medium that fails is told, and asked again", "[metadata][one_page]") {
    static bool works = false;
    const StorageTable table{.size = [](const void*) { return uint64_t{4096}; },
                             .read = [](const void*, uint64_t, MutBytes out) -> Status {
                                 if (!works) return fail(Errc::io, "test: it does not");
                                 std::ranges::fill(out, byte{1});
                                 return {};
                             }};
    std::array<byte, OnePage::page_size> page;
    const auto paged =
        Metadata<StorageRef, OnePage>::make(StorageRef(nullptr, table), {}, OnePage(page));
    REQUIRE(paged);
    works = false;
    CHECK(paged->be64(0).error().code == Errc::io);
    works = true;
    CHECK(*paged->be32(4) == 0x01010101);
}
