// SPDX-License-Identifier: BSL-1.0
#include "support/cut_qcow2.hpp"

namespace vdisk::test {

namespace {

constexpr uint64_t sectors(uint64_t count) { return count * sector; }

// Pieces of up to 2 KiB, in whole sectors: the medium tears no finer.
constexpr Mix usual{.most = 2048, .align = sector};
constexpr Mix writes{.zero = 0, .discard = 0, .pack = 0, .flush = 2, .most = 2048, .align = sector};
constexpr Mix no_pack{.pack = 0, .flush = 2, .most = 2048, .align = sector};

void must(const Status& status) {
    if (!status) throw std::runtime_error(status.error().what);
}

// As QEMU takes one: the snapshot gets a copy of the L1 table, and everything it leads to is
// shared. One refcount block of 16 bits describes the image.
class SharedSnapshot {
public:
    explicit SharedSnapshot(File& image)
        : image_(image),
          bits_(static_cast<unsigned>(image[23])),
          block_(get_be64(image, get_be64(image, 48))) {}

    void take() {
        const uint64_t entries = get_be64(image_, 32) & 0xFFFFFFFF, l1 = get_be64(image_, 40);
        for (uint64_t i = 0; i < entries; ++i) {
            const uint64_t table = share(l1 + i * 8);
            const uint64_t slot = (image_[79] & byte{16}) != byte{0} ? 16 : 8;
            for (uint64_t at = table; table != 0 && at < table + size(); at += slot) share(at);
        }
        const uint64_t copy = append((entries * 8 + size() - 1) / size());
        std::copy_n(image_.begin() + static_cast<ptrdiff_t>(l1), entries * 8,
                    image_.begin() + static_cast<ptrdiff_t>(copy));
        const uint64_t table = append(1);
        set_be64(image_, table, copy);
        set_be32(image_, table + 8, entries);
        set_be16(image_, table + 12, 1);
        set_be32(image_, table + 36, 16);
        set_be64(image_, table + 48, get_be64(image_, 24));
        image_[table + 56] = byte{'1'};
        set_be32(image_, 60, 1);
        set_be64(image_, 64, table);
    }

private:
    [[nodiscard]] uint64_t size() const { return uint64_t{1} << bits_; }
    void count(uint64_t cluster) {
        const uint64_t at = block_ + cluster * 2;
        set_be16(image_, at, (get_be64(image_, at) >> 48) + 1);
    }
    uint64_t append(uint64_t clusters) {
        const uint64_t at = (image_.size() + size() - 1) / size() * size();
        image_.resize(at + clusters * size());
        for (uint64_t c = 0; c < clusters; ++c) count((at >> bits_) + c);
        return at;
    }
    // One more reference to what an L1 or L2 entry leads to.
    uint64_t share(uint64_t entry_at) {
        const uint64_t e = get_be64(image_, entry_at);
        if ((e >> 62 & 1) != 0) {
            const unsigned x = 70 - bits_;
            const uint64_t at = e & ((uint64_t{1} << x) - 1);
            const uint64_t end = (at / 512 + (e << 2 >> 2 >> x) + 1) * 512;
            for (uint64_t c = at >> bits_; c << bits_ < end; ++c) count(c);
            return 0;
        }
        const uint64_t to = e & 0x00FFFFFFFFFFFE00;
        set_be64(image_, entry_at, e << 1 >> 1);
        if (to != 0) count(to >> bits_);
        return to;
    }

    File& image_;
    unsigned bits_;
    uint64_t block_;
};

}  // namespace

void fill_up(File& image) {
    constexpr uint64_t per_block = 64, entries = 64, left = 4;
    const uint64_t table = get_be64(image, 48);
    image.resize(static_cast<size_t>((entries - 1) * per_block + 1) * sector);
    for (uint64_t i = 0; i < entries; ++i) {
        uint64_t block = get_be64(image, table + i * 8);
        if (block == 0) set_be64(image, table + i * 8, block = i * per_block * sector);
        const uint64_t used = i + 1 == entries ? per_block - left : per_block;
        for (uint64_t k = 0; k < used; ++k) set_be64(image, block + k * 8, 1);
    }
}

void share_snapshot(File& image) { SharedSnapshot(image).take(); }

namespace {

Qcow2Files start(const CutKind& kind, ParentDisk below, const Mix& mix, uint64_t seed) {
    Qcow2Files files = new_qcow2(kind.options);
    if (kind.start == CutKind::Start::nearly_full) fill_up(files.image);
    if (kind.start == CutKind::Start::autoclear) set_be64(files.image, 88, 0x8001);
    if (kind.before + kind.filled == 0) return files;
    Qcow2AtWork<KeptInMemory> image(files, {});
    File model = value_of(whole_disk(image.writer(), below));
    if (kind.filled > 0) {
        must(perform(image.writer(), Op::write(0, sectors(kind.filled), 99), model, below));
    }
    RandomWork random(kind.options.size, mix, seed + 1000);
    for (unsigned i = 0; i < kind.before; ++i) {
        must(perform(image.writer(), random.next(), model, below));
    }
    must(image.writer().flush());
    files = image.files();
    if (kind.start == CutKind::Start::snapshot) {
        GrowableMemory memory(files.image);
        must(qcow2::take_snapshot(memory, {.name = "kept"}, Heap{}));
        files.image = bytes_of(memory);
    }
    if (kind.start == CutKind::Start::shared_snapshot) share_snapshot(files.image);
    if (!value_of(check_file(files.image)).is_clean()) throw std::runtime_error(kind.name);
    return files;
}

}  // namespace

const std::vector<CutKind> qcow2_cut_kinds = {
    {"allocating writes", {.size = sectors(100), .cluster_bits = 9}, writes},
    {"allocating writes, 1k", {.size = sectors(101), .cluster_bits = 10}, writes},
    {"rewrites", {.size = sectors(60), .cluster_bits = 9}, writes, 10, 20},
    {"refcount blocks grow",
     {.size = sectors(130), .cluster_bits = 9, .refcount_order = 6},
     writes,
     10,
     0,
     CutKind::Start::plain,
     57},
    {"refcount blocks grow, used before",
     {.size = sectors(130), .cluster_bits = 9, .refcount_order = 6},
     usual,
     12,
     5,
     CutKind::Start::plain,
     115},
    {"refcount table grows",
     {.size = sectors(100), .cluster_bits = 9, .refcount_order = 6},
     {.zero = 0, .discard = 1, .pack = 0, .flush = 1, .most = 2048, .align = sector},
     7,
     0,
     CutKind::Start::nearly_full},
    {"compressed",
     {.size = sectors(60), .cluster_bits = 9},
     {.write = 3, .zero = 1, .discard = 1, .pack = 8, .flush = 2, .most = 2048, .align = sector},
     12,
     10},
    {"compressed, 2 bits",
     {.size = sectors(60), .cluster_bits = 10, .refcount_order = 1},
     {.write = 2, .zero = 0, .discard = 1, .pack = 8, .flush = 2, .most = 2048, .align = sector},
     12,
     10},
    {"copy on write of a snapshot",
     {.size = sectors(90), .cluster_bits = 9},
     usual,
     8,
     20,
     CutKind::Start::snapshot},
    {"copy on write of a snapshot, 1k",
     {.size = sectors(90), .cluster_bits = 10},
     usual,
     8,
     20,
     CutKind::Start::snapshot},
    {"copy on write of shared tables",
     {.size = sectors(90), .cluster_bits = 9},
     usual,
     6,
     20,
     CutKind::Start::shared_snapshot},
    {"copy on write of shared tables, 1k",
     {.size = sectors(90), .cluster_bits = 10},
     usual,
     6,
     20,
     CutKind::Start::shared_snapshot},
    {"subclusters of shared tables",
     {.size = sectors(160), .cluster_bits = 14, .extended_l2 = true},
     {.write = 6, .zero = 3, .discard = 1, .pack = 1, .flush = 2, .most = 6000, .align = sector},
     7,
     10,
     CutKind::Start::shared_snapshot},
    {"discard",
     {.size = sectors(80), .cluster_bits = 9},
     {.write = 4, .zero = 0, .discard = 6, .pack = 0, .flush = 2, .most = 3000, .align = sector},
     10,
     20},
    {"zero",
     {.size = sectors(80), .cluster_bits = 9},
     {.write = 5, .zero = 6, .discard = 0, .pack = 0, .flush = 2, .most = 3000, .align = sector},
     10,
     20},
    {"subclusters",
     {.size = sectors(160), .cluster_bits = 14, .extended_l2 = true},
     {.write = 6, .zero = 3, .discard = 1, .pack = 0, .flush = 2, .most = 6000, .align = sector},
     9,
     4},
    {"subclusters, compressed, of a snapshot",
     {.size = sectors(160), .cluster_bits = 14, .extended_l2 = true},
     {.write = 6, .zero = 3, .discard = 1, .pack = 2, .flush = 2, .most = 6000, .align = sector},
     7,
     10,
     CutKind::Start::snapshot},
    {"version 2", {.size = sectors(80), .cluster_bits = 9, .version = 2}, usual, 10, 10},
    {"preallocated",
     {.size = sectors(60), .cluster_bits = 10, .preallocation = qcow2::Preallocation::metadata},
     usual,
     10,
     5},
    {"data file", {.size = sectors(75), .cluster_bits = 10, .data_file = "d"}, no_pack, 9, 4},
    {"data file over a parent",
     {.size = sectors(75),
      .cluster_bits = 10,
      .data_file = "d",
      .backing_file = "p",
      .backing_format = "raw"},
     no_pack,
     9,
     4},
    {"over a parent",
     {.size = sectors(75), .cluster_bits = 10, .backing_file = "p", .backing_format = "raw"},
     usual,
     9,
     4},
    {"subclusters over a parent",
     {.size = sectors(160),
      .cluster_bits = 14,
      .extended_l2 = true,
      .backing_file = "p",
      .backing_format = "raw"},
     {.pack = 1, .flush = 2, .most = 6000, .align = sector},
     8,
     2},
    {"bitmaps become void",
     {.size = sectors(60), .cluster_bits = 9},
     usual,
     4,
     0,
     CutKind::Start::autoclear},
    {"all sorts, reopened",
     {.size = sectors(90), .cluster_bits = 9, .refcount_order = 5},
     {.flush = 1, .reopen = 1, .most = 2048, .align = sector},
     12,
     10},
};

CutWork make_cut(const CutKind& kind, uint64_t seed) {
    constexpr CacheShape caches[] = {{9, 0}, {9, 2}, {12, 8}};
    Mix mix = kind.mix;
    mix.pack_unit = uint64_t{1} << kind.options.cluster_bits;
    CutWork work;
    work.below.exists = !kind.options.backing_file.empty();
    work.start = start(kind, work.below, mix, seed);
    work.cache = caches[seed % 3];
    work.seed = seed;
    work.options.seed = seed;
    if (kind.start == CutKind::Start::nearly_full) work.recover_each = 16;
    uint64_t own = seed;
    for (const char* c = kind.name; *c != 0; ++c) own = own * 31 + static_cast<unsigned char>(*c);
    RandomWork random(kind.options.size, mix, own);
    for (unsigned i = 0; i < kind.ops; ++i) work.ops.push_back(random.next());
    work.ops.push_back(Op::flush());
    return work;
}

}  // namespace vdisk::test
