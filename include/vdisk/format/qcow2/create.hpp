// SPDX-License-Identifier: BSL-1.0
// Makes a new qcow2 image, versions 2 and 3.
#pragma once

#include <vdisk/format/qcow2/create_options.hpp>
#include <vdisk/format/qcow2/header_builder.hpp>
#include <vdisk/format/qcow2/stream.hpp>
#include <vdisk/storage/zeros.hpp>

namespace vdisk::qcow2 {

namespace create_parts {

/// Writes `count` entries that point to clusters one behind the other, from `to` on.
template <WritableStorage S>
Status pointers(S& storage, uint64_t at, uint64_t count, uint64_t to, const CreatePlan& plan) {
    Stream stream(storage, at);
    for (uint64_t i = 0; i < count; ++i) {
        if (Status put = stream.put_be64(to + (i << plan.cluster_bits)); !put) return put;
    }
    return stream.finish();
}

/// L2 entries with subclusters, none of them allocated: the clusters are there, and say nothing.
template <WritableStorage S>
Status extended_pointers(S& storage, uint64_t to, const CreatePlan& plan) {
    Stream stream(storage, plan.l2_at());
    for (uint64_t i = 0; i < plan.guest_clusters; ++i) {
        if (Status put = stream.put_be64(to + (i << plan.cluster_bits)); !put) return put;
        if (Status put = stream.put_be64(0); !put) return put;
    }
    return stream.finish();
}

/// Every cluster of the file has a refcount of 1.
template <WritableStorage S>
Status refcounts(S& storage, const CreateOptions& options, const CreatePlan& plan) {
    std::array<byte, 4096> buffer{};
    const unsigned order = options.refcount_order;
    const uint64_t in_buffer = uint64_t{buffer.size()} * 8 >> order;
    const uint64_t clusters = plan.clusters();
    for (uint64_t i = 0; i < in_buffer && i < clusters; ++i) {
        store_refcount(buffer.data(), i, order, 1);
    }
    uint64_t at = plan.blocks_at();
    uint64_t rest = clusters;
    for (; rest >= in_buffer; rest -= in_buffer, at += buffer.size()) {
        if (Status put = storage.write(at, buffer); !put) return put;
    }
    if (rest == 0) return {};
    buffer.fill(byte{0});
    for (uint64_t i = 0; i < rest; ++i) store_refcount(buffer.data(), i, order, 1);
    const auto used = static_cast<size_t>(blocks(rest << order, 3));
    return storage.write(at, Bytes(buffer).first(used));
}

/// Fills [at, end) as `preallocation` says; the storage has that size already and reads as zeros.
template <WritableStorage S>
Status room(S& storage, uint64_t at, uint64_t end, Preallocation preallocation) {
    if (at == end) return {};
    if (preallocation == Preallocation::falloc) {
        if constexpr (ReservingStorage<S>) return storage.reserve(at, end - at);
        else return store_zeros(storage, at, end - at);
    }
    if (preallocation == Preallocation::full) return store_zeros(storage, at, end - at);
    return {};
}

template <WritableStorage S>
Status tables(S& storage, const CreateOptions& options, const CreatePlan& plan) {
    Status put = pointers(storage, plan.table_at(), plan.block_clusters, plan.blocks_at(), plan);
    if (!put) return put;
    if (put = refcounts(storage, options, plan); !put) return put;
    if (plan.l2_clusters == 0) return {};
    put = pointers(storage, plan.l1_at(), plan.l1_entries, plan.l2_at() | entry::copied, plan);
    if (!put) return put;
    // In a data file, guest data stands at its guest offset.
    const uint64_t to = (options.data_file.empty() ? plan.data_at() : 0) | entry::copied;
    if (options.extended_l2) return extended_pointers(storage, to, plan);
    return pointers(storage, plan.l2_at(), plan.guest_clusters, to, plan);
}

inline Header header(const CreateOptions& o, const CreatePlan& plan) {
    Header h{};
    h.magic = magic;
    h.version = o.version;
    h.cluster_bits = o.cluster_bits;
    h.size = plan.size;
    h.l1_size = static_cast<uint32_t>(plan.l1_entries);
    h.l1_table_offset = plan.l1_at();
    h.refcount_table_offset = plan.table_at();
    h.refcount_table_clusters = static_cast<uint32_t>(plan.table_clusters);
    uint64_t incompatible = 0;
    if (!o.data_file.empty()) incompatible |= incompatible::data_file;
    if (o.packing == Packing::zstd) incompatible |= incompatible::compression;
    if (o.extended_l2) incompatible |= incompatible::extended_l2;
    h.incompatible_features = incompatible;
    h.compatible_features = o.lazy_refcounts ? compatible::lazy_refcounts : 0;
    h.autoclear_features = o.data_file_raw ? autoclear::data_file_raw : 0;
    h.refcount_order = o.refcount_order;
    h.header_length = sizeof(Header);
    h.compression_type = o.packing == Packing::zstd ? uint8_t{1} : uint8_t{0};
    return h;
}

/// The first cluster, as far as it is used, in `out`; its length.
inline Result<size_t> first_cluster(const CreateOptions& o, const CreatePlan& plan, MutBytes out) {
    Header h = header(o, plan);
    const auto compose = [&] {
        HeaderBuilder build(out);
        if (o.version == 2) build.bytes(std::as_bytes(std::span(&h, 1)).first(v2_header_length));
        else build.object(h);
        if (!o.backing_file.empty()) {
            build.extension(extension::backing_format, o.backing_format);
        }
        if (!o.data_file.empty()) build.extension(extension::data_file, o.data_file);
        if (o.version >= 3 && o.cluster_bits >= feature_names_cluster_bits) build.feature_names();
        build.end();
        if (!o.backing_file.empty()) {
            h.backing_file_offset = build.size();
            h.backing_file_size = static_cast<uint32_t>(o.backing_file.size());
            build.bytes(std::as_bytes(std::span(o.backing_file)));
        }
        return build;
    };
    (void)compose();  // finds where the name of the backing file stands
    const HeaderBuilder built = compose();
    if (built.size() > uint64_t{1} << o.cluster_bits || !built.fits()) {
        return fail(Errc::no_space, "qcow2: the names do not fit into the first cluster",
                    {built.size()});
    }
    return static_cast<size_t>(built.size());
}

}  // namespace create_parts

/// Turns `storage` into an empty image; what it held is lost. The sector with the header is
/// written last, so that a power cut leaves either nothing recognisable or a whole image. An
/// external data file is not touched: create_data_file() makes it, before this is called.
///
/// Preallocation::falloc asks a ReservingStorage for room; to others zeros are written.
template <WritableStorage S>
Status create(S& storage, const CreateOptions& options) {
    const auto plan = qcow2::plan(options);
    if (!plan) return plan.error();
    std::array<byte, 4096> first{};
    const auto used = create_parts::first_cluster(options, *plan, first);
    if (!used) return used.error();
    if (storage.size() != 0) {
        if (Status emptied = storage.resize(0); !emptied) return emptied;
        if (Status durable = storage.flush(); !durable) return durable;
    }
    if (Status sized = storage.resize(plan->file_size()); !sized) return sized;
    Status put =
        create_parts::room(storage, plan->data_at(), plan->file_size(), options.preallocation);
    if (!put) return put;
    if (put = create_parts::tables(storage, options, *plan); !put) return put;
    constexpr size_t sector = 512;
    const Bytes composed = Bytes(first).first(*used < sector ? sector : *used);
    if (put = storage.write(sector, composed.subspan(sector)); !put) return put;
    if (Status durable = storage.flush(); !durable) return durable;
    if (put = storage.write(0, composed.first(sector)); !put) return put;
    return storage.flush();
}

/// Turns `data` into the external data file of an image with these options: all zeros, of the
/// size of the disk, of whole (sub)clusters if it is preallocated. What it held is lost.
template <WritableStorage S>
Status create_data_file(S& data, const CreateOptions& options) {
    const auto plan = qcow2::plan(options);
    if (!plan) return plan.error();
    if (options.data_file.empty()) return invalid("qcow2: the image has no external data file");
    const unsigned unit = plan->cluster_bits - (options.extended_l2 ? 5 : 0);
    const uint64_t end = preallocates(options) ? blocks(plan->size, unit) << unit : plan->size;
    if (Status emptied = data.resize(0); !emptied) return emptied;
    if (Status sized = data.resize(end); !sized) return sized;
    if (Status put = create_parts::room(data, 0, end, options.preallocation); !put) return put;
    return data.flush();
}

}  // namespace vdisk::qcow2
