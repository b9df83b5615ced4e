// SPDX-License-Identifier: BSL-1.0
// Cylinders, heads and sectors: the values of QEMU and of the specification's appendix.
#include <vdisk/format/vhd/create.hpp>

#include "catch.hpp"

using namespace vdisk;
using vhd::Geometry;

namespace {

constexpr uint64_t bytes(Geometry g) { return uint64_t{g.sectors()} * 512; }
Geometry of(uint64_t size) { return vhd::geometry_of(size / 512); }
Geometry upto(uint64_t size) { return vhd::geometry_for(size / 512); }

}  // namespace

TEST_CASE("vhd: the geometry of a size", "[vhd][geometry]") {
    CHECK(of(0) == Geometry{0, 4, 17});
    CHECK(of(1_MiB) == Geometry{30, 4, 17});
    CHECK(of(100_MiB) == Geometry{1003, 12, 17});
    CHECK(bytes(of(100_MiB)) == 104'761'344);
    CHECK(of(505_MiB) == Geometry{1026, 16, 63});
    CHECK(bytes(of(504_MiB)) == 504_MiB);
    CHECK(bytes(of(2016_MiB)) == 2016_MiB);
    CHECK(of(127_GiB) == Geometry{65278, 16, 255});
    CHECK(of(2040_GiB) == vhd::largest_geometry);
    CHECK(vhd::geometry_of(~uint64_t{0}) == vhd::largest_geometry);
}

TEST_CASE("vhd: the edges between sectors per track", "[vhd][geometry]") {
    // 255 sectors per track from 65535 * 16 * 63 sectors on.
    CHECK(of(33'822'351'360) == Geometry{16191, 16, 255});
    CHECK(of(33'822'351'360 - 512).sectors_per_track == 63);
    // 17 while the tracks need at most 16 heads of 1024 cylinders, 31 while 16 are enough.
    for (const auto& [sectors, per_track] :
         {std::pair(17u * 16 * 1024 - 1, 17), std::pair(17u * 16 * 1024, 31),
          std::pair(31u * 16 * 1024 - 1, 31), std::pair(31u * 16 * 1024, 63)}) {
        CAPTURE(sectors);
        CHECK(vhd::geometry_of(sectors).sectors_per_track == per_track);
    }
}

TEST_CASE("vhd: no geometry has more than the disk, and few have much less", "[vhd][geometry]") {
    for (uint64_t sectors = 1; sectors < vhd::largest_geometry.sectors();
         sectors += sectors / 9 + 1) {
        const Geometry g = vhd::geometry_of(sectors);
        REQUIRE(g.sectors() <= sectors);
        REQUIRE(sectors - g.sectors() < uint64_t{g.heads} * g.sectors_per_track + 255);
        const Geometry rounded = vhd::geometry_for(sectors);
        REQUIRE(rounded.sectors() >= sectors);
        REQUIRE(rounded.sectors() - sectors < 16u * 255);
    }
}

TEST_CASE("vhd: sizes rounded up to a geometry, as QEMU makes them", "[vhd][geometry]") {
    CHECK(upto(1_MiB) == Geometry{31, 4, 17});
    CHECK(upto(10_MiB) == Geometry{302, 4, 17});
    CHECK(upto(100_MiB) == Geometry{1004, 12, 17});
    CHECK(upto(1_GiB) == Geometry{2081, 16, 63});
    CHECK(vhd::size_by_geometry(1_MiB) == 1'079'296);
    CHECK(vhd::size_by_geometry(10_MiB) == 10'514'432);
    CHECK(vhd::size_by_geometry(100_MiB) == 104'865'792);
    CHECK(vhd::size_by_geometry(1_GiB) == 1'073'995'776);
    CHECK(vhd::size_by_geometry(200_GiB) == 200_GiB);
    CHECK(vhd::size_by_geometry(1) == bytes(upto(512)));
}
