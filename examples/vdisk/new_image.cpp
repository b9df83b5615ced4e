// SPDX-License-Identifier: BSL-1.0
#include "new_image.hpp"

#include <bit>
#include <cstdio>

#include <linux/fs.h>
#include <sys/ioctl.h>

#include <vdisk/format/qcow/create.hpp>

#include "interrupt.hpp"
#include "opening.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct Explained {
    const char* formats;  ///< the first letter of each: r(aw), 1 (qcow), 2 (qcow2)
    const char* name;
    const char* text;
};

constexpr Explained options_of_create[] = {
    {"12", "backing_file=<str>", "File name of a base image"},
    {"12", "backing_fmt=<str>", "Image format of the base image"},
    {"2", "cluster_size=<size>", "qcow2 cluster size (512 to 2M; 64k)"},
    {"2", "compat=<str>", "Compatibility level (v2 [0.10] or v3 [1.1])"},
    {"2", "compression_type=<str>",
     "Compression method used for image cluster compression (zlib, zstd)"},
    {"2", "data_file=<str>", "File name of an external data file"},
    {"2", "data_file_raw=<bool (on/off)>", "The external data file must stay valid as a raw image"},
    {"2", "extended_l2=<bool (on/off)>", "Extended L2 tables"},
    {"r12", "extent_size_hint=<size>", "Accepted and ignored"},
    {"2", "lazy_refcounts=<bool (on/off)>", "Postpone refcount updates"},
    {"r12", "nocow=<bool (on/off)>", "Turn off copy-on-write (valid only on btrfs)"},
    {"r", "preallocation=<str>", "Preallocation mode (allowed values: off, falloc, full)"},
    {"2", "preallocation=<str>",
     "Preallocation mode (allowed values: off, metadata, falloc, full)"},
    {"2", "refcount_bits=<num>", "Width of a reference count entry in bits (1 to 64; 16)"},
    {"r12", "size=<size>", "Virtual disk size"},
};

char letter_of(const std::string& format) {
    return format == Raw::name ? 'r' : format == Qcow::name ? '1' : '2';
}

/// Only btrfs does anything about it, and only for an empty file; no failure.
void turn_off_copy_on_write(const Storage& file) {
    int flags = 0;
    if (::ioctl(file.descriptor(), FS_IOC_GETFLAGS, &flags) != 0) return;
    flags |= FS_NOCOW_FL;
    static_cast<void>(::ioctl(file.descriptor(), FS_IOC_SETFLAGS, &flags));
}

unsigned log2_of(uint64_t value) { return static_cast<unsigned>(std::countr_zero(value)); }

}  // namespace

bool print_creation_help(const std::string& format, const std::vector<std::string>& lists) {
    for (const std::string& list : lists) {
        const Creation creation({list});
        if (!creation.has("help") && !creation.has("?")) continue;
        std::printf("Supported %s options:\n", format.c_str());
        for (const Explained& option : options_of_create) {
            if (std::string_view(option.formats).find(letter_of(format)) == std::string::npos) {
                continue;
            }
            std::printf("  %-22s - %s\n", option.name, option.text);
        }
        return true;
    }
    return false;
}

NewImage::NewImage(const std::string& path, const std::string& format, const Creation& options)
    : path_(path), format_(format) {
    check_format_name(format_);
    for (const char* name : {"encryption", "encrypt.format", "encrypt.key-secret"}) {
        if (options.has(name)) throw Failure{path_ + ": encryption is not supported"};
    }
    const char letter = letter_of(format_);
    std::vector<std::string> known;
    for (const Explained& option : options_of_create) {
        if (std::string_view(option.formats).find(letter) == std::string::npos) continue;
        known.emplace_back(option.name, std::string_view(option.name).find('='));
    }
    options.refuse_others_than(known);
    if (options.has("size")) size = options.number("size", "");
    backing_file = options.text("backing_file");
    backing_format = options.text("backing_fmt");
    no_cow_ = options.flag("nocow");
    read_preallocation(options);
    if (format_ == Qcow2::name) read_qcow2(options);
}

void NewImage::read_preallocation(const Creation& options) {
    preallocation_ = options.text("preallocation");
    using enum qcow2::Preallocation;
    if (preallocation_.empty() || preallocation_ == "off") qcow2_.preallocation = off;
    else if (preallocation_ == "metadata" && format_ == Qcow2::name)
        qcow2_.preallocation = metadata;
    else if (preallocation_ == "falloc") qcow2_.preallocation = falloc;
    else if (preallocation_ == "full") qcow2_.preallocation = full;
    else {
        throw Failure{path_ + ": Parameter 'preallocation' does not accept value '" +
                      preallocation_ + "'"};
    }
}

void NewImage::read_qcow2(const Creation& options) {
    const uint64_t cluster = options.number("cluster_size", "64k");
    if (!std::has_single_bit(cluster) || cluster < 512 || cluster > 2_MiB) {
        throw Failure{path_ + ": Cluster size must be a power of two between 512 and 2048k, not " +
                      std::to_string(cluster)};
    }
    qcow2_.cluster_bits = log2_of(cluster);
    compat_ = options.text("compat");
    if (compat_ == "0.10" || compat_ == "v2") qcow2_.version = 2;
    else if (!compat_.empty() && compat_ != "1.1" && compat_ != "v3") {
        throw Failure{path_ + ": Parameter 'compat' does not accept value '" + compat_ + "'"};
    }
    const uint64_t bits = options.number("refcount_bits", "16");
    if (!std::has_single_bit(bits) || bits > 64) {
        throw Failure{path_ +
                      ": Refcount width must be a power of two and may not exceed 64 bits, not " +
                      std::to_string(bits)};
    }
    qcow2_.refcount_order = log2_of(bits);
    qcow2_.lazy_refcounts = options.flag("lazy_refcounts");
    qcow2_.extended_l2 = options.flag("extended_l2");
    const std::string packing = options.text("compression_type", "zlib");
    if (packing == "zstd") qcow2_.packing = Packing::zstd;
    else if (packing != "zlib") {
        throw Failure{path_ + ": Parameter 'compression-type' does not accept value '" + packing +
                      "'"};
    }
    data_file_ = options.text("data_file");
    qcow2_.data_file_raw = options.flag("data_file_raw");
}

uint64_t NewImage::cluster_size() const {
    if (format_ == Qcow2::name) return uint64_t{1} << qcow2_.cluster_bits;
    if (format_ == Qcow::name) return uint64_t{1} << qcow::CreateOptions{}.cluster_bits;
    return 0;
}

void NewImage::place(const Output& output) {
    if (!backing_file.empty()) {
        if (format_ == Raw::name) {
            throw Failure{path_ + ": Backing file not supported for file format 'raw'"};
        }
        const std::string own = path_ + ": cannot be its own backing file";
        if (!has_protocol(backing_file) || backing_file.starts_with("file:")) {
            if (output.is_at(resolve(local_path(backing_file), output.path()))) throw Failure{own};
        }
    }
    if (data_file_.empty()) return;
    const std::string name = resolve(local_path(data_file_), output.path());
    data_ = std::make_unique<Output>(name, OutputOptions{.durable = output.options().durable});
    if (data_->is_same_as(output)) throw Failure{path_ + ": cannot be its own data file"};
    if (!backing_file.empty() && !has_protocol(backing_file) &&
        data_->is_at(resolve(backing_file, output.path()))) {
        throw Failure{data_->path() + ": cannot be the backing file and the data file"};
    }
}

void NewImage::refuse_if_read_by(const Disk& disk) const {
    if (data_) data_->refuse_if_read_by(disk);
}

// The library knows logarithms; the user gave numbers.
void NewImage::check_widths() const {
    if (qcow2_.version == 2 && qcow2_.refcount_order != 4) {
        throw Failure{path_ + ": refcount_bits=" + std::to_string(1u << qcow2_.refcount_order) +
                      ": compat=" + compat_ + " has refcounts of 16 bits only"};
    }
    if (qcow2_.extended_l2 && qcow2_.cluster_bits < 14) {
        throw Failure{path_ + ": cluster_size=" + std::to_string(cluster_size()) +
                      ": extended_l2 needs clusters of at least 16384"};
    }
}

void NewImage::check() {
    if (!size) throw Failure{path_ + ": Image creation needs a size parameter"};
    if (backing_file.empty() && !backing_format.empty()) {
        throw Failure{path_ + ": Backing format cannot be used without backing file"};
    }
    if (!backing_file.empty() && backing_format.empty()) {
        throw Failure{path_ + ": Backing file specified without backing format"};
    }
    if (format_ == Qcow::name && *size == 0) {
        throw Failure{path_ + ": Image size is too small, cannot be zero length"};
    }
    if (*size > (uint64_t{1} << 63) - 512) throw Failure{path_ + ": Image size is too large"};
    if (format_ != Qcow2::name) return;
    check_widths();
    qcow2_.size = *size;
    qcow2_.backing_file = backing_file;
    qcow2_.backing_format = backing_format;
    qcow2_.data_file = data_file_;
    const auto plan = qcow2::plan(qcow2_);
    if (!plan) throw failure(path_, plan.error());
}

std::string NewImage::describe() const {
    const auto on = [](bool value) { return value ? "on" : "off"; };
    std::string line = "Formatting '" + path_ + "', fmt=" + format_;
    const auto add = [&](const char* name, const std::string& value) {
        if (!value.empty()) line += std::string(" ") + name + "=" + value;
    };
    const bool v2 = format_ == Qcow2::name;
    if (v2) {
        add("cluster_size", std::to_string(cluster_size()));
        add("extended_l2", on(qcow2_.extended_l2));
        add("preallocation", preallocation_);
        add("compression_type", qcow2_.packing == Packing::zstd ? "zstd" : "zlib");
    }
    add("size", std::to_string(*size));
    add("compat", compat_);
    add("backing_file", backing_file);
    add("backing_fmt", backing_format);
    add("data_file", data_file_);
    if (v2) {
        if (qcow2_.data_file_raw) add("data_file_raw", "on");
        add("lazy_refcounts", on(qcow2_.lazy_refcounts));
        add("refcount_bits", std::to_string(1u << qcow2_.refcount_order));
    } else {
        add("preallocation", preallocation_);
    }
    if (no_cow_) add("nocow", "on");
    return line;
}

void NewImage::create_raw(Storage& storage) const {
    const uint64_t end = blocks(*size, 9) << 9;
    Status made = storage.resize(end);
    InterruptibleFile file(storage);
    if (made) made = qcow2::create_parts::room(file, 0, end, qcow2_.preallocation);
    check_interrupt();
    if (!made) throw failure(path_, made.error());
}

void NewImage::create_data_file() {
    if (!data_) return;
    data_->open(0);
    InterruptibleFile file(data_->storage());
    const Status made = qcow2::create_data_file(file, qcow2_);
    data_->storage() = file;  // it knows the size
    check_interrupt();
    if (!made) throw failure(data_->path(), made.error());
}

void NewImage::commit(Output& output) {
    if (data_) data_->commit();
    output.commit();
}

void NewImage::create(Output& output) {
    if (no_cow_) turn_off_copy_on_write(output.storage());
    if (output.in_place()) {
        // A device keeps its size, and a raw image on it is there already.
        if (format_ == Raw::name) return;
        throw Failure{path_ + ": only raw images are made on a device"};
    }
    if (format_ == Raw::name) {
        create_raw(output.storage());
    } else if (format_ == Qcow::name) {
        const Status made =
            qcow::create(output.storage(), {.size = *size, .backing_file = backing_file});
        if (!made) throw failure(path_, made.error());
    } else {
        create_data_file();
        InterruptibleFile file(output.storage());
        const Status made = qcow2::create(file, qcow2_);
        output.storage() = file;  // it knows the size
        check_interrupt();
        if (!made) throw failure(path_, made.error());
    }
}

}  // namespace tool
