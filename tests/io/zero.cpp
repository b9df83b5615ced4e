// SPDX-License-Identifier: BSL-1.0
// Zeros and discards: without storing zeros where the format can, and never more than was asked.
#include <vdisk/allocation/heap.hpp>
#include <vdisk/io/walk.hpp>
#include <vdisk/io/write.hpp>
#include <vdisk/storage/counting.hpp>

#include "catch.hpp"
#include "support/workload_qcow2.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

using S = CountingStorage<Borrowed<GrowableMemory>>;

struct Disk {
    GrowableMemory memory;
    Counters counters = {};
    ParentDisk below;
    std::optional<Qcow2Writer<S>> writer = {};
    File model = {};
    File scratch = File(4096);

    explicit Disk(const qcow2::CreateOptions& options)
        : memory(new_qcow2(options).image), below{!options.backing_file.empty()} {
        writer.emplace(value_of(Qcow2Writer<S>::open(S(Borrowed(memory), counters))));
        model = value_of(whole_disk(*writer, below));
    }
    void fill() {
        REQUIRE(perform(*writer, Op::write(0, model.size(), 1), model, below));
        REQUIRE(writer->flush());
        counters = {};
    }
    void zero(uint64_t at, uint64_t length) {
        REQUIRE(vdisk::zero(*writer, at, length, scratch, below));
        std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(at), length, byte{0});
        REQUIRE(value_of(whole_disk(*writer, below)) == model);
    }
    [[nodiscard]] Kind kind(uint64_t at) { return value_of(writer->lookup(at, 1)).kind; }
};

constexpr uint64_t cluster = 4096;
constexpr qcow2::CreateOptions base{.size = 20 * cluster + 512, .cluster_bits = 12};
constexpr qcow2::CreateOptions child{
    .size = 20 * cluster + 512, .cluster_bits = 12, .backing_file = "p", .backing_format = "raw"};

}  // namespace

TEST_CASE("zero: whole blocks are not written", "[zero]") {
    Disk disk(base);
    disk.fill();
    disk.zero(cluster, 5 * cluster);
    CHECK(disk.counters.writes == 0);
    CHECK(disk.kind(cluster) == Kind::zero);
    CHECK(disk.kind(0) == Kind::data);
    CHECK(disk.kind(6 * cluster) == Kind::data);
}

TEST_CASE("zero: the ends of the range are written, not a byte more", "[zero]") {
    Disk disk(base);
    disk.fill();
    disk.zero(cluster + 100, 3 * cluster);
    CHECK(disk.counters.written_bytes == cluster);
    CHECK(disk.kind(cluster) == Kind::data);
    CHECK(disk.kind(2 * cluster) == Kind::zero);
    disk.zero(10 * cluster + 5, 7);
    disk.zero(12 * cluster - 1, 2);
    disk.zero(0, 0);
}

TEST_CASE("zero: the last block of the disk counts as whole", "[zero]") {
    Disk disk(base);
    disk.fill();
    disk.zero(19 * cluster, cluster + 512);
    CHECK(disk.counters.writes == 0);
    CHECK(disk.kind(20 * cluster) == Kind::zero);
}

TEST_CASE("zero: what reads as zeros already costs nothing", "[zero]") {
    Disk disk(base);
    disk.zero(0, base.size);
    REQUIRE(zero(*disk.writer, 100, 5000, disk.scratch));  // nothing is below
    REQUIRE(disk.writer->flush());
    CHECK(disk.counters.writes == 0);
    CHECK(disk.kind(0) == Kind::absent);
}

TEST_CASE("zero: hides what is below", "[zero]") {
    Disk disk(child);
    disk.zero(cluster, 2 * cluster);
    CHECK(disk.kind(cluster) == Kind::zero);
    disk.zero(5 * cluster + 512, 512);  // brings the rest of the cluster up
    CHECK(disk.kind(5 * cluster) == Kind::data);
    disk.zero(20 * cluster, 512);
    CHECK(disk.kind(20 * cluster) == Kind::zero);
}

TEST_CASE("zero: is written where the format knows no zeros", "[zero]") {
    auto old = child;
    old.version = 2;
    Disk disk(old);
    disk.zero(0, 3 * cluster);
    CHECK(disk.kind(0) == Kind::data);
    CHECK(disk.counters.written_bytes == 3 * cluster);
}

TEST_CASE("zero, discard: past the end of the disk", "[zero]") {
    Disk disk(base);
    CHECK(vdisk::zero(*disk.writer, base.size, 1, disk.scratch).error().code == Errc::invalid);
    CHECK(vdisk::zero(*disk.writer, 1, ~uint64_t{0}, disk.scratch).error().code == Errc::invalid);
    CHECK(discard(*disk.writer, base.size - 1, 2).error().code == Errc::invalid);
    CHECK(discard(*disk.writer, base.size, 0));
    CHECK(write(*disk.writer, 0, File(1), MutBytes{}).error().code == Errc::invalid);
    CHECK(write(*disk.writer, base.size, File(1), disk.scratch).error().code == Errc::invalid);
    const auto nothing = [](uint64_t, const Extent&) -> Status { return {}; };
    CHECK(walk(*disk.writer, 1, base.size, nothing).error().code == Errc::invalid);
}

TEST_CASE("discard: gives whole blocks up and nothing else", "[zero]") {
    Disk disk(base);
    disk.fill();
    const auto before = value_of(check_file(bytes_of(disk.memory)));
    REQUIRE(discard(*disk.writer, cluster - 1, 3 * cluster + 2));
    REQUIRE(disk.writer->flush());
    const auto after = value_of(check_file(bytes_of(disk.memory)));
    CHECK(after.is_clean());
    CHECK(after.allocated_clusters == before.allocated_clusters - 3);
    std::fill_n(disk.model.begin() + cluster, 3 * cluster, byte{0});
    CHECK(value_of(whole_disk(*disk.writer, disk.below)) == disk.model);
    // The space is used again.
    const uint64_t size = disk.memory.size();
    REQUIRE(perform(*disk.writer, Op::write(cluster, 3 * cluster, 2), disk.model, disk.below));
    REQUIRE(disk.writer->flush());
    CHECK(disk.memory.size() == size);
    CHECK(value_of(whole_disk(*disk.writer, disk.below)) == disk.model);
}

TEST_CASE("discard: nothing shines through from below", "[zero]") {
    Disk disk(child);
    disk.fill();
    REQUIRE(discard(*disk.writer, 0, child.size));
    CHECK(value_of(whole_disk(*disk.writer, disk.below)) == File(child.size));
    CHECK(disk.kind(0) == Kind::zero);
}
