// SPDX-License-Identifier: BSL-1.0
// Writes a qcow version 1 image. There are no refcounts: the end of the file is the allocator, and
// what a power cut leaves unlinked is lost space.
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
        Writer writer(*std::move(base));
        const uint64_t size = writer.storage().size();
        const auto whole = writer.up_to_cluster(size);
        if (!whole) return whole.error();
        if (*whole != size) {
            if (Status grown = writer.storage().resize(*whole); !grown) return grown.error();
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
                         .fresh = true};
    }

    /// Links a fresh placement: its clusters into the L2 table, a new L2 table into the L1 table.
    Status commit(uint64_t at, const Placement& placement) {
        this->tables().wrote_data();
        if (!placement.fresh) return {};
        const uint64_t l1_entry_at = layout().l1_at + (at >> layout().l1_shift()) * 8;
        auto table = this->tables().be64(l1_entry_at);
        if (!table) return table.error();
        const bool is_new = *table == 0;
        if (is_new) {
            table = new_table();
            if (!table) return table.error();
        }
        uint64_t home = placement.at - placement.head;
        const uint64_t end = placement.at + placement.length;
        uint64_t index = (at >> layout().cluster_bits) & ((uint64_t{1} << layout().l2_bits) - 1);
        for (; home < end; home += cluster_size(), ++index) {
            Status put = this->tables().put_be64(*table + index * 8, home, Stage::link);
            if (!put) return put;
        }
        if (!is_new) return {};
        return this->tables().put_be64(l1_entry_at, *table, Stage::root);
    }

    Status flush() { return this->tables().flush(); }

private:
    explicit Writer(Base base) : Base(std::move(base)) {}

    using Base::layout;
    [[nodiscard]] uint64_t cluster_size() const { return layout().cluster_size(); }

    Result<uint64_t> up_to_cluster(uint64_t size) const {
        const uint64_t whole = blocks(size, layout().cluster_bits) << layout().cluster_bits;
        if (whole >> 62 != 0) return fail(Errc::limit, "qcow: the file is too large to grow");
        return whole;
    }

    // Space at the end of the file; zeros.
    Result<uint64_t> allocate(uint64_t bytes) {
        const uint64_t home = storage().size();
        const auto end = up_to_cluster(home + bytes);
        if (!end) return end.error();
        if (Status grown = storage().resize(*end); !grown) return grown.error();
        return home;
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
};

}  // namespace vdisk::qcow
