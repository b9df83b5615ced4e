// SPDX-License-Identifier: BSL-1.0
// Making qcow2 images: refusals, figures, faults, and whole or not at all after a power cut.
#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/system.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/format/qcow2/image.hpp>
#include <vdisk/storage/borrowed.hpp>
#include <vdisk/storage/faulty.hpp>
#include <vdisk/storage/growable.hpp>

#include "catch.hpp"
#include "support/cut.hpp"
#include "support/refusals.hpp"
#include "support/storages.hpp"

using namespace vdisk;
using namespace vdisk::test;
using qcow2::CreateOptions;
using qcow2::Preallocation;

TEST_CASE("qcow2: create says why it refuses", "[qcow2][create]") {
    const auto why = [](const CreateOptions& o) {
        GrowableMemory memory;
        REQUIRE(memory.resize(3));
        const Status status = qcow2::create(memory, o);
        CHECK(!status);
        CHECK(memory.size() == 3);  // nothing was touched
        return std::string(status.error().what);
    };
    const std::string name(1024, 'n');
    CHECK(why({.size = 512, .version = 4}) == "qcow2: version is neither 2 nor 3");
    CHECK(why({.size = 512, .backing_file = "b"}) == "qcow2: backing file without its format");
    CHECK(why({.size = 512, .backing_format = "raw"}) ==
          "qcow2: backing format without a backing file");
    CHECK(why({.size = 512, .backing_file = name, .backing_format = "raw"}) ==
          "qcow2: backing file name is too long");
    CHECK(why({.size = 512, .backing_file = "b", .backing_format = "0123456789abcdef"}) ==
          "qcow2: name of the backing format is too long");
    CHECK(why({.size = 512, .data_file = name}) == "qcow2: name of the data file is too long");
    CHECK(why({.size = 512, .data_file = {"a\0b", 3}}) == "qcow2: name holds a NUL");
    CHECK(why({.size = 512,
               .cluster_bits = 9,
               .backing_file = std::string_view(name).substr(0, 400),
               .backing_format = "raw"}) == "qcow2: the names do not fit into the first cluster");
    CHECK(why({.size = 128_GiB + 1, .cluster_bits = 9}) ==
          "qcow2: size is too large for this cluster size");
    CHECK(why({.size = ~uint64_t{0}, .cluster_bits = 21}) ==
          "qcow2: size is too large for this cluster size");
    // 2^56 bytes of clusters have their refcounts in more than 8 MiB of table.
    CHECK(why({.size = uint64_t{1} << 56,
               .cluster_bits = 21,
               .refcount_order = 6,
               .preallocation = Preallocation::metadata}) ==
          "qcow2: size is too large for this cluster size");
}

namespace {

// Keeps nothing of what is written, but the size of the file and what was asked of it.
struct Hollow {
    uint64_t length = 0;
    uint64_t written = 0;
    uint64_t reserved_at = 0, reserved = 0;
    [[nodiscard]] uint64_t size() const { return length; }
    Status read(uint64_t, MutBytes out) const {
        std::memset(out.data(), 0, out.size());
        return {};
    }
    Status write(uint64_t at, Bytes in) {
        CHECK(fits(at, in.size(), length));
        written += in.size();
        return {};
    }
    Status resize(uint64_t size) {
        length = size;
        return {};
    }
    Status flush() { return {}; }
    Status reserve(uint64_t at, uint64_t count) {
        reserved_at = at;
        reserved = count;
        return {};
    }
};
static_assert(ReservingStorage<Hollow>);

}  // namespace

TEST_CASE("qcow2: refcounts of preallocated images count themselves", "[qcow2][create]") {
    for (const unsigned bits : {9u, 10u, 12u, 16u, 21u}) {
        for (unsigned order = 0; order <= 6; ++order) {
            for (const uint64_t size : {uint64_t{512}, 10_MiB, 1_GiB + 512, 100_GiB, 1024_TiB}) {
                CAPTURE(bits, order, size);
                const CreateOptions o{.size = size,
                                      .cluster_bits = bits,
                                      .refcount_order = order,
                                      .preallocation = Preallocation::metadata};
                const auto plan = qcow2::plan(o);
                if (!plan) {
                    CHECK(size >= 100_GiB);
                    continue;
                }
                const uint64_t per_block = (uint64_t{8} << bits) >> order;
                const uint64_t per_table = uint64_t{1} << (bits - 3);
                CHECK(plan->block_clusters * per_block >= plan->clusters());
                CHECK(plan->table_clusters * per_table >= plan->block_clusters);
                CHECK(plan->data_clusters == blocks(size, bits));
                // and there is not one cluster too many
                const uint64_t others = plan->clusters() - plan->block_clusters;
                CHECK((plan->block_clusters - 1) * per_block < others + plan->block_clusters);
            }
        }
    }
}

TEST_CASE("qcow2: falloc reserves the clusters and nothing else", "[qcow2][create]") {
    Hollow storage;
    const CreateOptions o{.size = 10_GiB, .preallocation = Preallocation::falloc};
    REQUIRE(qcow2::create(storage, o));
    const auto plan = value_of(qcow2::plan(o));
    CHECK(storage.reserved == 10_GiB);
    CHECK(storage.reserved_at == plan.data_at());
    CHECK(storage.written < 4_MiB);

    Hollow full;
    REQUIRE(qcow2::create(full, {.size = 1_GiB, .preallocation = Preallocation::full}));
    CHECK(full.reserved == 0);
    CHECK(full.written > 1_GiB);
    CHECK(full.written < 1_GiB + 1_MiB);
}

namespace {

// Old contents that would be taken for an image if they survived.
File old_image(uint64_t size) {
    GrowableMemory memory;
    REQUIRE(qcow2::create(memory, {.size = size, .cluster_bits = 9}));
    File out(memory.bytes().begin(), memory.bytes().end());
    return out;
}

}  // namespace

namespace {

// Whether every state of a cut is the old image, the new one, or none; how many there were.
std::pair<bool, uint64_t> cut(const CreateOptions& o, unsigned forgotten) {
    CutLog log;
    File file = old_image(70_KiB);
    const File before = file;
    ForgetfulStorage storage(log, file, forgotten);
    REQUIRE(qcow2::create(storage, o));
    CutReplay replay(log, {.exhaustive = 12, .random = 500});
    const Status verdict = replay.run([&](const CutState& state) -> Status {
        const File& left = state.files[0];
        if (left == before || left == file) return {};
        if (!qcow2::Image<MemoryStorage, Heap, SystemCodecs>::open(MemoryStorage(left))) return {};
        return corrupt("half an image opens");
    });
    return {static_cast<bool>(verdict), replay.states()};
}

}  // namespace

TEST_CASE("qcow2: a power cut leaves the old image, none or a whole one",
          "[qcow2][create][power_cut]") {
    uint64_t states = 0;
    const std::string name(600, 'n');
    const CreateOptions wide{.size = 100_KiB,
                             .cluster_bits = 9,
                             .refcount_order = 6,
                             .preallocation = Preallocation::metadata};
    for (const CreateOptions& o :
         {wide, CreateOptions{.size = 64_KiB, .cluster_bits = 9},
          CreateOptions{.size = 200_KiB, .cluster_bits = 12, .preallocation = Preallocation::full},
          CreateOptions{
              .size = 1_MiB, .cluster_bits = 12, .backing_file = name, .backing_format = "raw"}}) {
        const auto [good, count] = cut(o, 0);
        CHECK(good);
        states += count;
    }
    CHECK(states > 60);
    // The old image is gone before the new one begins; all is there before the header.
    for (const unsigned forgotten : {1u, 2u}) CHECK(!cut(wide, forgotten).first);
}

TEST_CASE("qcow2: create reports every error of the storage", "[qcow2][create][fault]") {
    const CreateOptions o{.size = 100_KiB, .cluster_bits = 9, .preallocation = Preallocation::full};
    for (uint64_t n = 1;; ++n) {
        REQUIRE(n < 100);
        GrowableMemory memory(old_image(1_MiB));
        Fault fault{.countdown = n};
        FaultyStorage<Borrowed<GrowableMemory>> storage{Borrowed(memory), fault};
        const Status created = qcow2::create(storage, o);
        if (!fault.fired) {
            tell_faults("I/O, qcow2 create", n - 1);
            CHECK(created);
            CHECK(n > 8);
            break;
        }
        REQUIRE(!created);
        CHECK(created.error().code == Errc::io);
    }
}
