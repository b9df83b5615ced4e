// SPDX-License-Identifier: BSL-1.0
#include "new_qcow2.hpp"

#include <bit>

namespace tool {

using namespace vdisk;

namespace {

unsigned log2_of(uint64_t value) { return static_cast<unsigned>(std::countr_zero(value)); }

std::string on(bool value) { return value ? "on" : "off"; }

}  // namespace

void NewQcow2::read(const Creation& options, const std::string& path) {
    const uint64_t cluster = options.number("cluster_size", "64k");
    if (!std::has_single_bit(cluster) || cluster < 512 || cluster > 2_MiB) {
        throw Failure{path + ": Cluster size must be a power of two between 512 and 2048k, not " +
                      std::to_string(cluster)};
    }
    options_.cluster_bits = log2_of(cluster);
    compat_ = options.text("compat");
    if (compat_ == "0.10" || compat_ == "v2") options_.version = 2;
    else if (!compat_.empty() && compat_ != "1.1" && compat_ != "v3") {
        throw Failure{path + ": Parameter 'compat' does not accept value '" + compat_ + "'"};
    }
    const uint64_t bits = options.number("refcount_bits", "16");
    if (!std::has_single_bit(bits) || bits > 64) {
        throw Failure{path +
                      ": Refcount width must be a power of two and may not exceed 64 bits, not " +
                      std::to_string(bits)};
    }
    options_.refcount_order = log2_of(bits);
    options_.lazy_refcounts = options.flag("lazy_refcounts");
    options_.extended_l2 = options.flag("extended_l2");
    const std::string packing = options.text("compression_type", "zlib");
    if (packing == "zstd") options_.packing = Packing::zstd;
    else if (packing != "zlib") {
        throw Failure{path + ": Parameter 'compression-type' does not accept value '" + packing +
                      "'"};
    }
    data_file_ = options.text("data_file");
    options_.data_file_raw = options.flag("data_file_raw");
}

// The library knows logarithms; the user gave numbers.
void NewQcow2::check_widths(const std::string& path) const {
    if (options_.version == 2 && options_.refcount_order != 4) {
        throw Failure{path + ": refcount_bits=" + std::to_string(1u << options_.refcount_order) +
                      ": compat=" + compat_ + " has refcounts of 16 bits only"};
    }
    if (options_.extended_l2 && options_.cluster_bits < 14) {
        throw Failure{path + ": cluster_size=" + std::to_string(cluster_size()) +
                      ": extended_l2 needs clusters of at least 16384"};
    }
}

void NewQcow2::check(const std::string& path, uint64_t size, const std::string& backing_file,
                     const std::string& backing_format) {
    check_widths(path);
    options_.size = size;
    options_.backing_file = backing_file;
    options_.backing_format = backing_format;
    options_.data_file = data_file_;
    const auto plan = qcow2::plan(options_);
    if (!plan) throw failure(path, plan.error());
}

std::string NewQcow2::describe_clusters() const {
    return " cluster_size=" + std::to_string(cluster_size()) +
           " extended_l2=" + on(options_.extended_l2);
}

std::string NewQcow2::describe_packing() const {
    return std::string(" compression_type=") +
           (options_.packing == Packing::zstd ? "zstd" : "zlib");
}

std::string NewQcow2::describe_level() const { return compat_.empty() ? "" : " compat=" + compat_; }

std::string NewQcow2::describe_rest() const {
    std::string line;
    if (!data_file_.empty()) line += " data_file=" + data_file_;
    if (options_.data_file_raw) line += " data_file_raw=on";
    line += " lazy_refcounts=" + on(options_.lazy_refcounts);
    return line + " refcount_bits=" + std::to_string(1u << options_.refcount_order);
}

}  // namespace tool
