// SPDX-License-Identifier: BSL-1.0
// A header of qcow2 with which nothing is wrong.
#pragma once

#include <vdisk/format/qcow2/disk.hpp>

namespace fuzz {

using namespace vdisk;

inline qcow2::Header good_header(bool data_file) {
    qcow2::Header h{};
    h.magic = qcow2::magic;
    h.version = 3;
    h.cluster_bits = 12;
    h.size = 1_MiB;
    h.l1_size = 1;
    h.l1_table_offset = 4096;
    h.refcount_table_offset = 8192;
    h.refcount_table_clusters = 1;
    h.refcount_order = 4;
    h.header_length = sizeof h;
    h.incompatible_features = data_file ? qcow2::incompatible::data_file : 0;
    h.autoclear_features = qcow2::autoclear::bitmaps;
    return h;
}

}  // namespace fuzz
