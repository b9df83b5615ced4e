// SPDX-License-Identifier: BSL-1.0
// A storage behind a table of functions: one instantiation of a reader or writer serves all media,
// where code size counts for more than inlining.
#pragma once

#include <concepts>
#include <type_traits>

#include <vdisk/storage/concepts.hpp>

namespace vdisk {

/// What a medium does. `context` is whatever was given with the table; each function keeps the
/// promises of the Storage concepts. Where the last three are null, the medium is only read.
struct StorageTable {
    uint64_t (*size)(const void* context);
    Status (*read)(const void* context, uint64_t at, MutBytes out);
    Status (*write)(void* context, uint64_t at, Bytes in) = nullptr;
    Status (*resize)(void* context, uint64_t size) = nullptr;
    Status (*flush)(void* context) = nullptr;
};

namespace storage_ref {

template <Storage S>
uint64_t size(const void* context) {
    return static_cast<const S*>(context)->size();
}
template <Storage S>
Status read(const void* context, uint64_t at, MutBytes out) {
    return static_cast<const S*>(context)->read(at, out);
}
template <WritableStorage S>
Status write(void* context, uint64_t at, Bytes in) {
    return static_cast<S*>(context)->write(at, in);
}
template <WritableStorage S>
Status resize(void* context, uint64_t size) {
    return static_cast<S*>(context)->resize(size);
}
template <WritableStorage S>
Status flush(void* context) {
    return static_cast<S*>(context)->flush();
}

template <Storage S>
constexpr StorageTable make_table() {
    if constexpr (WritableStorage<S>) return {size<S>, read<S>, write<S>, resize<S>, flush<S>};
    else return {size<S>, read<S>};
}
template <Storage S>
inline constexpr StorageTable table = make_table<S>();

}  // namespace storage_ref

/// Refers to a storage, which outlives it, or to a context and its table. Writing to a medium that
/// is only read fails with Errc::read_only. Copies refer to the same storage.
class StorageRef {
public:
    template <Storage S>
    requires(!std::same_as<std::remove_const_t<S>, StorageRef>) constexpr explicit StorageRef(
        S& storage)
        : context_(const_cast<std::remove_const_t<S>*>(&storage)), table_(&storage_ref::table<S>) {}
    constexpr StorageRef(void* context, const StorageTable& table)
        : context_(context), table_(&table) {}

    [[nodiscard]] uint64_t size() const { return table_->size(context_); }
    Status read(uint64_t at, MutBytes out) const { return table_->read(context_, at, out); }

    Status write(uint64_t at, Bytes in) {
        return table_->write != nullptr ? table_->write(context_, at, in) : only_read();
    }
    Status resize(uint64_t size) {
        return table_->resize != nullptr ? table_->resize(context_, size) : only_read();
    }
    Status flush() { return table_->flush != nullptr ? table_->flush(context_) : only_read(); }

private:
    static Status only_read() {
        return fail(Errc::read_only, "storage: the medium is opened to be read alone");
    }

    void* context_;
    const StorageTable* table_;
};

static_assert(WritableStorage<StorageRef>);

}  // namespace vdisk
