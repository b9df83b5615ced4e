// SPDX-License-Identifier: BSL-1.0
// Which options of -o there are, for which format.
#include <cstdio>
#include <span>

#include "new_image.hpp"

namespace tool {

using namespace vdisk;

namespace {

namespace explained {

constexpr Explained backing_file = {"backing_file=<str>", "File name of a base image"};
constexpr Explained backing_format = {"backing_fmt=<str>", "Image format of the base image"};
constexpr Explained extent_size_hint = {"extent_size_hint=<size>", "Accepted and ignored"};
constexpr Explained nocow = {"nocow=<bool (on/off)>",
                             "Turn off copy-on-write (valid only on btrfs)"};
constexpr Explained preallocation = {"preallocation=<str>",
                                     "Preallocation mode (allowed values: off, falloc, full)"};
constexpr Explained size = {"size=<size>", "Virtual disk size"};

constexpr Explained of_raw[] = {extent_size_hint, nocow, preallocation, size};

constexpr Explained of_qcow[] = {backing_file, backing_format, extent_size_hint, nocow, size};

constexpr Explained of_qcow2[] = {
    backing_file,
    backing_format,
    {"cluster_size=<size>", "qcow2 cluster size (512 to 2M; 64k)"},
    {"compat=<str>", "Compatibility level (v2 [0.10] or v3 [1.1])"},
    {"compression_type=<str>",
     "Compression method used for image cluster compression (zlib, zstd)"},
    {"data_file=<str>", "File name of an external data file"},
    {"data_file_raw=<bool (on/off)>", "The external data file must stay valid as a raw image"},
    {"extended_l2=<bool (on/off)>", "Extended L2 tables"},
    extent_size_hint,
    {"lazy_refcounts=<bool (on/off)>", "Postpone refcount updates"},
    nocow,
    {"preallocation=<str>", "Preallocation mode (allowed values: off, metadata, falloc, full)"},
    {"refcount_bits=<num>", "Width of a reference count entry in bits (1 to 64; 16)"},
    size};

constexpr Explained of_vpc[] = {
    backing_file,
    backing_format,
    {"block_size=<size>", "Block size, a power of two (512 to 256M; 2M)"},
    {"creator=<str>", "Creator application, up to four letters"},
    extent_size_hint,
    {"force_size=<bool (on/off)>",
     "Force disk size calculation to use the actual size specified, rather than using the nearest "
     "CHS-based calculation"},
    nocow,
    {"preallocation=<str>", "Preallocation mode (allowed values: off; fixed: falloc, full, too)"},
    size,
    {"subformat=<str>",
     "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed | "
     "differencing}"},
    {"time_stamp=<num>", "Seconds since the year 2000 (now, or by SOURCE_DATE_EPOCH)"},
    {"uuid=<str>", "Unique id (a random one)"}};

constexpr Explained of_vhdx[] = {
    backing_file,
    backing_format,
    {"block_size=<size>",
     "Block size, a power of two (1M to 256M); 0, the default: by the size of the disk"},
    {"block_state_zero=<bool (on/off)>",
     "Accepted and ignored: blocks of a fixed image are all there, those of others are not"},
    {"creator=<str>", "Creator application, ASCII (vdisk)"},
    {"data_uuid=<str>", "Id of the contents, by which children know the image (a random one)"},
    extent_size_hint,
    {"log_size=<size>", "Log size, whole MiB (1M to 1G; 1M)"},
    {"logical_sector_size=<num>", "512 or 4096 (512, or that of the parent)"},
    nocow,
    {"physical_sector_size=<num>", "512 or 4096 (4096, or that of the parent)"},
    {"preallocation=<str>", "Preallocation mode (allowed values: off; fixed: falloc, full, too)"},
    size,
    {"subformat=<str>",
     "VHDX format type, can be either 'dynamic', 'fixed' or 'differencing'. Default is 'dynamic'."},
    {"uuid=<str>", "Id of the disk (a random one, or that of the parent)"}};

}  // namespace explained

struct Table {
    std::string_view format;
    std::span<const Explained> options;
};
constexpr Table known_formats[] = {{Raw::name, explained::of_raw},
                                   {Qcow::name, explained::of_qcow},
                                   {Qcow2::name, explained::of_qcow2},
                                   {Vhd::name, explained::of_vpc},
                                   {Vhdx::name, explained::of_vhdx}};

std::span<const Explained> options_of(const std::string& format) {
    for (const Table& table : known_formats) {
        if (table.format == format) return table.options;
    }
    return {};
}

}  // namespace

void print_options(std::span<const Explained> options) {
    for (const Explained& option : options) std::printf("  %-22s - %s\n", option.name, option.text);
}

std::vector<std::string> creation_options(const std::string& format) {
    std::vector<std::string> names;
    for (const Explained& option : options_of(format)) {
        names.emplace_back(option.name, std::string_view(option.name).find('='));
    }
    return names;
}

bool print_creation_help(const std::string& format, const std::vector<std::string>& lists) {
    for (const std::string& list : lists) {
        const Creation creation({list});
        if (!creation.has("help") && !creation.has("?")) continue;
        std::printf("Supported %s options:\n", format.c_str());
        print_options(options_of(format));
        return true;
    }
    return false;
}

}  // namespace tool
