// SPDX-License-Identifier: BSL-1.0
// Refcount tables and blocks that lie. Readers do not look at them, writers do before they take
// space: they are refused or find another place, and what was there stays.
#include <vdisk/io/write.hpp>

#include "hostile/run.hpp"
#include "support/bytes.hpp"

namespace vdisk::test {

namespace {

constexpr const char* fine = "";
constexpr const char* unaligned =
    "qcow2: refcount block offset is not a multiple of the cluster size";
constexpr const char* past_end = "qcow2: refcount block lies past the end of the file";
constexpr const char* overlaps = "qcow2: refcount block overlaps the header, L1 or refcount table";

const Built& plain() {
    static const Built image = build(Qcow2Spec{
        .size = 1_MiB, .cluster_bits = 12, .clusters = {{0}, {1}, {7, Fill::packed}, {200}}});
    return image;
}

// What a writer says that writes 64 KiB where nothing is, on a copy of `file`.
std::string writing(const File& file) {
    GrowableMemory memory(file);
    auto writer = Qcow2::open_writer(Borrowed(memory), OpenOptions{}, Heap{}, SystemCodecs{});
    if (!writer) return writer.error().what;
    std::vector<byte> scratch(4096);
    Status done = vdisk::write(*writer, 400_KiB, noise(64_KiB, 9), scratch);
    if (done) done = writer->flush();
    const File after(memory.bytes().begin(), memory.bytes().end());
    File wanted = plain().guest.bytes;
    if (done) {
        const File put = noise(64_KiB, 9);
        std::ranges::copy(put, wanted.begin() + static_cast<ptrdiff_t>(400_KiB));
    }
    const Verdict seen = judge<Qcow2>(after);
    CHECK(rule(seen).empty());
    const bool same = seen.bytes == wanted;
    CHECK(same);
    return done ? "" : done.error().what;
}

}  // namespace

TEST_CASE("qcow2: refcount table entries that lie", "[qcow2][hostile]") {
    const Built& image = plain();
    const uint64_t at = image.refcount_table_at, block = get_be64(image.file, at);
    struct Case {
        const char* name;
        uint64_t value;
        const char* what;  ///< what a writer says
    };
    const Case cases[] = {
        {"as it is", block, fine},
        {"reserved bits", block | 0x1FF, unaligned},
        {"unaligned", block + 512, unaligned},
        {"at the end", image.file.size(), past_end},
        {"far away", ~uint64_t{0xFFF}, past_end},
        {"at 2^63", uint64_t{1} << 63, past_end},
        {"the refcount table", at, overlaps},
        {"the L1 table", image.l1_at, overlaps},
    };
    for (const Case& c : cases) {
        INFO(c.name);
        File file = image.file;
        set_be64(file, at, c.value);
        check_verdict(examine<Qcow2>(file), Errc::corrupt, fine);
        CHECK(writing(file) == c.what);
    }
}

TEST_CASE("qcow2: refcounts that lie", "[qcow2][hostile]") {
    const Built& image = plain();
    const uint64_t block = get_be64(image.file, image.refcount_table_at);
    for (const uint64_t count : {0u, 2u, 3u, 0x8000u, 0xFFFFu}) {
        for (uint64_t cluster = 0; cluster != image.file.size() >> 12; ++cluster) {
            CAPTURE(cluster, count);
            File file = image.file;
            set_be16(file, block + cluster * 2, count);
            check_verdict(examine<Qcow2>(file), Errc::corrupt, fine);
        }
    }
}

}  // namespace vdisk::test
