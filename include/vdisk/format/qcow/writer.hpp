// SPDX-License-Identifier: BSL-1.0
// Writes a qcow version 1 image. There are no refcounts: the end of the file is the allocator, and
// what a power cut or a rewrite of a compressed cluster leaves unlinked is lost space.
#pragma once

#include <vdisk/format/qcow/image.hpp>
#include <vdisk/metadata/staged.hpp>

namespace vdisk::qcow {

template <WritableStorage S, Allocation A, Codec C>
class Writer : public Image<S, A, C, StagedMetadata<S, A>> {
    using Base = Image<S, A, C, StagedMetadata<S, A>>;

public:
    /// Opens an image to read and write. A last cluster that the file cuts short is made whole.
    static Result<Writer> open(S storage, OpenOptions options = {}, A allocation = A{},
                               C codec = C{}) {
        auto base =
            Base::open(std::move(storage), options, std::move(allocation), std::move(codec));
        if (!base) return base.error();
        if (base->layout().crypt_method != 0) {
            return fail(Errc::encrypted, "qcow: the image is encrypted (AES)");
        }
        Result<Writer> writer(std::in_place, *std::move(base));
        const uint64_t size = writer->storage().size();
        const auto whole = writer->up_to_cluster(size);
        if (!whole) {
            writer = whole.error();
        } else if (*whole != size) {
            if (Status grown = writer->storage().resize(*whole); !grown) writer = grown.error();
        }
        return writer;
    }

    using Base::storage;
    [[nodiscard]] S& storage() { return this->tables().storage(); }

    /// Clusters that are stored are overwritten in place; a run of others gets new ones at the end.
    Result<Placement> place(uint64_t at, uint64_t length) {
        const auto run = this->lookup(at, length);
        if (!run) return run.error();
        if (run->kind == Kind::data) return Placement{.at = run->at, .length = run->length};

        const uint64_t head = at & (cluster_size() - 1);
        const uint64_t end_of_table = (at | ((uint64_t{1} << layout().l1_shift()) - 1)) + 1;
        if (length > run->length) length = run->length;
        if (length > end_of_table - at) length = end_of_table - at;
        const uint64_t room = blocks(head + length, layout().cluster_bits) << layout().cluster_bits;
        const auto home = allocate(room);
        if (!home) return home.error();
        return Placement{.at = *home + head,
                         .length = length,
                         .head = head,
                         .tail = room - head - length,
                         .fresh = true,
                         .blank = true};  // the file has just grown there
    }

    /// Links a fresh placement: its clusters into the L2 table, a new L2 table into the L1 table.
    Status commit(uint64_t at, const Placement& placement) {
        this->tables().wrote_data();
        if (!placement.fresh) return {};
        const auto table = table_of(at);
        if (!table) return table.error();
        uint64_t home = placement.at - placement.head;
        const uint64_t end = placement.at + placement.length;
        uint64_t entry_at = table->entry_at;
        for (; home < end; home += cluster_size(), entry_at += 8) {
            Status put = this->tables().put_be64(entry_at, home, Stage::link);
            if (!put) return put;
        }
        return show(*table);
    }

    /// The unit that is packed: one cluster.
    [[nodiscard]] uint64_t pack_unit() const { return cluster_size(); }
    [[nodiscard]] Packing packing() const { return Packing::deflate; }

    /// A home for a packed cluster of so many bytes, at any byte of the file.
    Result<uint64_t> place_packed(uint64_t stored_bytes) {
        if (stored_bytes == 0 || stored_bytes >= cluster_size()) {
            return invalid("qcow: a packed cluster is not smaller than a cluster", {stored_bytes});
        }
        const bool has_room = stored_bytes <= packed_room_ - packed_end_;
        // The rest of the file's last cluster can grow; any other is left behind.
        const bool goes_on = has_room || packed_room_ == storage().size();
        const uint64_t home = goes_on ? packed_end_ : storage().size();
        if (!fits(home, stored_bytes, max_packed_end())) {
            return fail(Errc::limit, "qcow: the file is too large for packed clusters", {home});
        }
        if (!has_room) {
            const auto end = grow(home + stored_bytes);
            if (!end) return end;
            packed_room_ = *end;
        }
        packed_end_ = home + stored_bytes;
        return home;
    }

    /// Makes a packed cluster, written to a home from `place_packed`, the contents of the guest
    /// cluster at `at`. What was there is lost space.
    Status commit_packed(uint64_t at, uint64_t home, uint64_t stored_bytes) {
        if (!is_aligned(at, layout().cluster_bits) || at >= layout().size) {
            return invalid("qcow: a packed cluster is not at a cluster of the disk", {at});
        }
        const uint64_t file_size = storage().size();
        const uint64_t limit = file_size < max_packed_end() ? file_size : max_packed_end();
        if (stored_bytes == 0 || stored_bytes >= cluster_size() ||
            !fits(home, stored_bytes, limit)) {
            return invalid("qcow: a packed cluster is not inside the file", {home});
        }
        this->tables().wrote_data();
        const auto old = this->lookup(at, 1);  // no table is changed that could not be read
        if (!old) return old.error();
        const auto table = table_of(at);
        if (!table) return table.error();
        const uint64_t value =
            entry::compressed | stored_bytes << (63u - layout().cluster_bits) | home;
        const Status put = this->tables().put_be64(table->entry_at, value, Stage::link);
        return put ? show(*table) : put;
    }

    Status flush() { return this->tables().flush(); }

private:
    friend Result<Writer>;

    explicit Writer(Base&& base) : Base(std::move(base)) {}

    using Base::layout;
    [[nodiscard]] uint64_t cluster_size() const { return layout().cluster_size(); }

    Result<uint64_t> up_to_cluster(uint64_t size) const {
        const uint64_t whole = blocks(size, layout().cluster_bits) << layout().cluster_bits;
        if (whole >> 62 != 0) return fail(Errc::limit, "qcow: the file is too large to grow");
        return whole;
    }

    // The file is whole clusters, at least `size` bytes, and so long in the end.
    Result<uint64_t> grow(uint64_t size) {
        const auto end = up_to_cluster(size);
        if (!end) return end;
        if (Status grown = storage().resize(*end); !grown) return grown.error();
        return end;
    }

    // Whole clusters at the end of the file; zeros.
    Result<uint64_t> allocate(uint64_t bytes) {
        const uint64_t home = storage().size();
        const auto end = grow(home + bytes);
        if (!end) return end;
        return home;
    }

    // An entry of a packed cluster has so many bits for the offset.
    [[nodiscard]] uint64_t max_packed_end() const {
        return uint64_t{1} << (63u - layout().cluster_bits);
    }

    // The L2 table for a guest offset. A new one is hidden until show().
    struct Table {
        uint64_t at = 0;
        uint64_t entry_at = 0;     ///< of the cluster asked for
        uint64_t l1_entry_at = 0;  ///< 0: linked already
    };

    Result<Table> table_of(uint64_t at) {
        const uint64_t l1_entry_at = layout().l1_at + (at >> layout().l1_shift()) * 8;
        auto table = this->tables().be64(l1_entry_at);
        if (!table) return table.error();
        const bool is_new = *table == 0;
        if (is_new) {
            table = new_table();
            if (!table) return table.error();
        }
        const uint64_t index =
            (at >> layout().cluster_bits) & ((uint64_t{1} << layout().l2_bits) - 1);
        return Table{*table, *table + index * 8, is_new ? l1_entry_at : 0};
    }

    Status show(const Table& table) {
        if (table.l1_entry_at == 0) return {};
        return this->tables().put_be64(table.l1_entry_at, table.at, Stage::root);
    }

    // An L2 table without entries; linked by the caller once it has some.
    Result<uint64_t> new_table() {
        const auto home = allocate(layout().l2_bytes());
        if (!home) return home;
        constexpr std::array<byte, 512> zeros{};
        for (uint64_t done = 0; done < layout().l2_bytes(); done += zeros.size()) {
            Status put = this->tables().put(*home + done, zeros, Stage::link);
            if (!put) return put.error();
        }
        return home;
    }

    // [packed_end_, packed_room_) is free for packed clusters, the rest of a cluster they began.
    uint64_t packed_end_ = 0;
    uint64_t packed_room_ = 0;
};

}  // namespace vdisk::qcow
