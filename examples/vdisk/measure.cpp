// SPDX-License-Identifier: BSL-1.0
// vdisk measure: how large a new image would be that holds this disk.
#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cstdio>
#include <memory>

#include <vdisk/format/qcow2/bitmap.hpp>
#include <vdisk/text/json.hpp>

#include "new_image.hpp"
#include "status.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct MeasureOptions {
    Input input;
    std::string output = "human";
    std::string target = "raw";
    std::string size;
    std::vector<std::string> creation;
};

/// What the new image shall look like.
struct MeasuredTarget {
    unsigned cluster_bits = 16;
    unsigned refcount_order = 4;
    bool v3 = true;
    bool extended_l2 = false;
    bool has_backing = false;
    bool preallocated = false;  ///< with data: falloc or full

    [[nodiscard]] uint64_t cluster_size() const { return uint64_t{1} << cluster_bits; }
};

struct Sizes {
    uint64_t required = 0;
    uint64_t fully_allocated = 0;
    std::optional<uint64_t> bitmaps;
};

uint64_t round_up(uint64_t value, unsigned bits) { return blocks(value, bits) << bits; }

uint64_t divide_up(uint64_t value, uint64_t by) { return value / by + (value % by != 0 ? 1 : 0); }

MeasuredTarget target_of(const Creation& creation) {
    creation.refuse_others_than({"size", "cluster_size", "preallocation", "refcount_bits", "compat",
                                 "extended_l2", "lazy_refcounts", "compression_type", "nocow",
                                 "backing_file", "backing_fmt", "data_file", "data_file_raw"});
    MeasuredTarget out;
    out.extended_l2 = creation.flag("extended_l2");
    out.has_backing = creation.has("backing_file");
    const uint64_t cluster_size = size_of(creation.text("cluster_size", "64k"), "cluster_size");
    if (!std::has_single_bit(cluster_size) || cluster_size < 512 || cluster_size > 2_MiB) {
        throw Failure{"measure: cluster size must be a power of two between 512 and 2 MiB"};
    }
    out.cluster_bits = static_cast<unsigned>(std::countr_zero(cluster_size));
    if (out.extended_l2 && out.cluster_bits < 14) {
        throw Failure{"measure: extended L2 entries need clusters of 16 KiB or more"};
    }
    const std::string compat = creation.text("compat", "1.1");
    if (compat != "0.10" && compat != "1.1") {
        throw Failure{"measure: compat is neither 0.10 nor 1.1"};
    }
    out.v3 = compat == "1.1";
    const uint64_t refcount_bits = size_of(creation.text("refcount_bits", "16"), "refcount_bits");
    if (!std::has_single_bit(refcount_bits) || refcount_bits > 64) {
        throw Failure{"measure: refcount_bits must be a power of two, at most 64"};
    }
    if (!out.v3 && refcount_bits != 16) {
        throw Failure{"measure: other refcount_bits than 16 need compat=1.1"};
    }
    out.refcount_order = static_cast<unsigned>(std::countr_zero(refcount_bits));
    const std::string preallocation = creation.text("preallocation", "off");
    out.preallocated = preallocation == "full" || preallocation == "falloc";
    if (!out.preallocated && preallocation != "off" && preallocation != "metadata") {
        throw Failure{"measure: preallocation is none of off, metadata, falloc, full"};
    }
    return out;
}

/// Bytes of the refcount table and blocks for `clusters` and themselves, as
/// qcow2_refcount_metadata_size.
uint64_t refcount_bytes(uint64_t clusters, const MeasuredTarget& target) {
    const uint64_t per_block = target.cluster_size() * 8 >> target.refcount_order;
    const uint64_t per_table = target.cluster_size() / 8;
    uint64_t own = 0;
    for (uint64_t last = ~uint64_t{0}; own != last;) {
        last = own;
        const uint64_t in_blocks = divide_up(clusters + own, per_block);
        own = in_blocks + divide_up(in_blocks, per_table);
    }
    return own * target.cluster_size();
}

/// The file size of an image whose clusters are all allocated, as qcow2_calc_prealloc_size.
/// `size` is a multiple of the cluster size.
uint64_t allocated_bytes(uint64_t size, const MeasuredTarget& target) {
    const uint64_t cluster = target.cluster_size();
    const uint64_t entry = target.extended_l2 ? 16 : 8;
    const uint64_t l2 = round_up((size >> target.cluster_bits) * entry, target.cluster_bits);
    const uint64_t l1 = round_up((l2 >> target.cluster_bits) * 8, target.cluster_bits);
    const uint64_t tables = cluster + l2 + l1;
    return size + tables + refcount_bytes((tables + size) >> target.cluster_bits, target);
}

/// Bytes of the clusters, of 2^bits each, in which the disk has data.
uint64_t data_bytes(const Disk& disk, unsigned bits, const std::string& file) {
    Survey survey(disk);
    uint64_t counted = 0;
    uint64_t end = 0;  // of the last cluster counted
    const auto walked = survey.walk(0, disk.size(), [&](uint64_t at, const BlockStatus& status) {
        if (status.zero || !status.data) return;
        const uint64_t from = std::max(end, align_down(at, bits));
        const uint64_t to = round_up(at + status.length, bits);
        if (to <= from) return;
        counted += to - from;
        end = to;
    });
    if (!walked) throw failure(file, walked.error());
    return counted;
}

/// What the bitmaps of `disk` would take in the new image; nothing if it can have none.
std::optional<uint64_t> bitmap_bytes(const Disk& disk, const MeasuredTarget& target,
                                     const std::string& file) {
    return disk.top().visit([&](const auto& image) -> std::optional<uint64_t> {
        if constexpr (requires { image.layout().refcount_order; }) {
            const qcow2::Layout& layout = image.layout();
            if (layout.version < 3 || !target.v3) return std::nullopt;
            if (!qcow2::bitmaps_valid(layout)) return uint64_t{0};
            uint64_t total = 0;
            uint64_t directory = 0;
            const auto walked = qcow2::each_bitmap(
                image.file(), layout, [&](const qcow2::Bitmap& bitmap) -> vdisk::Status {
                    if ((bitmap.flags & qcow2::bitmap_flag::in_use) != 0) return {};
                    const uint64_t bytes = blocks(blocks(layout.size, bitmap.granularity_bits), 3);
                    const uint64_t clusters = blocks(bytes, target.cluster_bits);
                    total += (clusters << target.cluster_bits) +
                             round_up(clusters * 8, target.cluster_bits);
                    directory += round_up(sizeof(qcow2::BitmapHeader) + bitmap.name.length, 3);
                    return {};
                });
            if (!walked) throw failure(file, walked.error());
            return total + round_up(directory, target.cluster_bits);
        } else {
            return std::nullopt;
        }
    });
}

Sizes measure_qcow2(const MeasureOptions& options, const Disk* disk, uint64_t size) {
    const MeasuredTarget target = target_of(Creation(options.creation));
    const uint64_t rounded = round_up(size, target.cluster_bits);
    const unsigned l2_bits = target.cluster_bits - (target.extended_l2 ? 4u : 3u);
    const uint64_t l1_entries = blocks(rounded, target.cluster_bits + l2_bits);
    if (disk == nullptr && l1_entries > qcow2::max_l1_bytes / 8) {
        throw Failure{"measure: the size is too large for this cluster size"};
    }
    Sizes out{0, allocated_bytes(rounded, target), {}};
    uint64_t data = 0;
    if (target.preallocated || (disk != nullptr && target.has_backing)) data = rounded;
    else if (disk != nullptr) data = data_bytes(*disk, target.cluster_bits, options.input.file);
    out.required = out.fully_allocated - rounded + data;
    if (disk != nullptr) out.bitmaps = bitmap_bytes(*disk, target, options.input.file);
    return out;
}

/// Of a format whose images are made of tables and equal blocks.
Sizes measure_blocks(const MeasureOptions& options, NewImage& image, const Disk* disk,
                     uint64_t size) {
    if (Creation(options.creation).text("subformat") == "differencing") {
        throw Failure{"measure: the size of a differencing image cannot be told"};
    }
    image.size = size;
    image.backing_file.clear();
    image.backing_format.clear();
    image.check();
    const NewKind& kind = *image.kind();
    const unsigned bits = kind.block_bits();
    const uint64_t data = disk == nullptr ? 0 : data_bytes(*disk, bits, options.input.file);
    return {.required = kind.file_size(data >> bits),
            .fully_allocated = kind.file_size(kind.all_blocks()),
            .bitmaps = {}};
}

Sizes measure_as(const MeasureOptions& options, const Disk* disk, uint64_t size) {
    if (options.target == "qcow2") return measure_qcow2(options, disk, size);
    if (options.target != "raw") {
        NewImage image("measure", options.target, Creation(options.creation));
        if (image.kind() != nullptr) return measure_blocks(options, image, disk, size);
        throw Failure{"measure: the size of '" + options.target + "' images cannot be told"};
    }
    Creation(options.creation).refuse_others_than({"size", "preallocation", "nocow"});
    const uint64_t rounded = round_up(size, 9);
    return {.required = rounded, .fully_allocated = rounded, .bitmaps = {}};
}

void print(const Sizes& sizes, bool is_json) {
    if (is_json) {
        text::Json json(stdout);
        json.open('{');
        if (sizes.bitmaps) json.value("bitmaps", *sizes.bitmaps);
        json.value("required", sizes.required);
        json.value("fully-allocated", sizes.fully_allocated);
        json.close('}');
        return;
    }
    std::printf("required size: %" PRIu64 "\nfully allocated size: %" PRIu64 "\n", sizes.required,
                sizes.fully_allocated);
    if (sizes.bitmaps) std::printf("bitmaps size: %" PRIu64 "\n", *sizes.bitmaps);
}

int measure(const MeasureOptions& options) {
    const bool has_file = !options.input.file.empty();
    if (has_file && !options.size.empty()) {
        throw Failure{"measure: --size N cannot be used together with a file name"};
    }
    if (!has_file && options.size.empty()) {
        throw Failure{"measure: either --size N or one file name must be specified"};
    }
    if (!has_file && !(options.input.format.empty() && options.input.snapshot.empty())) {
        throw Failure{"measure: -f and -l require a file name"};
    }
    std::optional<Disk> disk;
    if (has_file) {
        Input input = options.input;
        for (const std::string_view prefix : {"snapshot.id=", "snapshot.name="}) {
            if (input.snapshot.starts_with(prefix)) input.snapshot.erase(0, prefix.size());
        }
        disk.emplace(open_disk(input));
    }
    const uint64_t size = disk ? disk->size() : size_of(options.size, "--size");
    print(measure_as(options, disk ? &*disk : nullptr, size), options.output == "json");
    return 0;
}

}  // namespace

void add_measure(CLI::App& app, Command& run) {
    auto options = std::make_shared<MeasureOptions>();
    CLI::App* cmd = app.add_subcommand(
        "measure",
        "Tells how many bytes a new image of a disk will need: with only the data it has now, and\n"
        "once the guest has written everywhere.");
    cmd->add_option("FILE", options->input.file, "the disk; or give --size")
        ->check(not_empty("'': the name of a file is missing"));
    options->input.add_to(*cmd, false);
    cmd->add_option("-O", options->target,
                    "format of the new image: raw (default), qcow2, vpc, vhdx")
        ->transform(format_name())
        ->type_name("FMT");
    cmd->add_option("--size", options->size, "measure an empty disk of this size")
        ->check(not_empty("--size: '' is not a size"))
        ->type_name("SIZE");
    cmd->add_option("-l", options->input.snapshot, "measure this internal snapshot (id or name)")
        ->check(not_empty("can't find snapshot ''"))
        ->type_name("SNAPSHOT");
    cmd->add_option("-o", options->creation,
                    "how the new image is created: cluster_size=, extended_l2=, refcount_bits=,\n"
                    "compat=, preallocation=, backing_file=")
        ->type_name("NAME=VALUE,...")
        ->check(not_empty("-o: the list of options is empty"))
        ->take_all()
        ->allow_extra_args(false);
    add_output(*cmd, options->output);
    cmd->footer(
        "Examples:\n"
        "  vdisk measure -O qcow2 disk.raw\n"
        "  vdisk measure -O qcow2 -o cluster_size=2M,extended_l2=on --size 1T\n\n"
        "Exit codes: 0 done, 1 failed.");
    cmd->callback([options, &run] { run = [options] { return measure(*options); }; });
}

}  // namespace tool
