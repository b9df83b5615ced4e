// SPDX-License-Identifier: BSL-1.0
// What is done to an image before it is written.
#include <vdisk/disk/recover.hpp>
#include <vdisk/storage/growable.hpp>

#include "catch.hpp"
#include "support/image_builder.hpp"
#include "support/storages.hpp"

using namespace vdisk;
using namespace vdisk::test;

namespace {

const Built lagging = build(Qcow2Spec{.size = 64_KiB,
                                      .cluster_bits = 9,
                                      .clusters = {{0}, {1}, {70}},
                                      .shuffle = 0,
                                      .incompatible = qcow2::incompatible::dirty});

File recovered(const File& file) {
    GrowableMemory memory(file);
    CHECK(chain::recover("qcow2", memory));
    return {memory.bytes().begin(), memory.bytes().end()};
}

}  // namespace

TEST_CASE("recover: refcounts that lag behind are brought up to date", "[disk][qcow2]") {
    const uint64_t table_at = get_be64(lagging.file, 48);
    const uint64_t block_at = get_be64(lagging.file, table_at);
    File file = lagging.file;
    for (uint64_t i = 4; i < 40; ++i) file[block_at + i] = byte{0};
    const File after = recovered(file);
    CHECK((get_be64(after, 72) & qcow2::incompatible::dirty) == 0);
    GrowableMemory memory(after);
    CHECK(qcow2::check_image(memory, Heap{})->is_clean());
}

TEST_CASE("recover: what leads nowhere is not given up unasked", "[disk][qcow2]") {
    File file = lagging.file;
    set_be64(file, lagging.entry_at.at(70), uint64_t{1} << 40 | qcow2::entry::copied);
    CHECK(recovered(file) == file);
}
