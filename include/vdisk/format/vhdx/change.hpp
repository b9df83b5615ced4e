// SPDX-License-Identifier: BSL-1.0
// Metadata items of a closed image: ids, and the parent. They change through the log: a cut leaves
// the old or the new ones.
#pragma once

#include <vdisk/format/vhdx/closed.hpp>
#include <vdisk/format/vhdx/new_locator.hpp>

namespace vdisk::vhdx {

namespace changing {

/// Where in the metadata region `length` bytes lie over no item.
template <class E>
Result<uint64_t> find_room(const E& editor, uint64_t length) {
    const Layout& layout = editor.layout();
    uint64_t at = metadata_table_bytes;
    for (bool moved = true; moved;) {
        moved = false;
        const Status walked =
            layout::each_item(editor.storage(), layout.metadata_at,
                              [&](const MetadataTableEntry& e, uint64_t) -> Status {
                                  if (overlaps(at, length, e.offset.value(), e.length.value())) {
                                      at = uint64_t{e.offset.value()} + e.length.value();
                                      moved = true;
                                  }
                                  return {};
                              });
        if (!walked) return walked.error();
    }
    if (fits(at, length, layout.metadata_length)) return at;
    return fail(Errc::limit, "vhdx: metadata region has no room for the parent locator", {length});
}

/// Lets the table name a new place for the parent locator, and puts it there.
template <class E>
Status put_locator(E& editor, Bytes locator) {
    const Layout& layout = editor.layout();
    const auto to = find_room(editor, locator.size());
    if (!to) return to.error();
    Status done = editor.tables().put(layout.metadata_at + *to, locator);
    if (!done) return done;
    return layout::each_item(editor.storage(), layout.metadata_at,
                             [&](MetadataTableEntry e, uint64_t at) -> Status {
                                 const bool is_user = (e.flags.value() & item_flag::user) != 0;
                                 if (is_user || e.item_id != item::parent_locator) return {};
                                 e.offset = static_cast<uint32_t>(*to);
                                 e.length = static_cast<uint32_t>(locator.size());
                                 return editor.tables().put(at, std::as_bytes(std::span(&e, 1)));
                             });
}

// What another locator says besides which image is meant.
template <class E>
Status keep_paths(const E& editor, create_parts::Locator& locator) {
    const Text item = editor.layout().parent_locator;
    const auto header = load<ParentLocatorHeader>(editor.storage(), item.at);
    if (!header) return header.error();
    for (uint32_t i = 0; i < header->key_value_count.value(); ++i) {
        const uint64_t at =
            item.at + sizeof(ParentLocatorHeader) + uint64_t{i} * sizeof(ParentLocatorEntry);
        const auto e = load<ParentLocatorEntry>(editor.storage(), at);
        if (!e) return e.error();
        if (Status inside = locator::check_entry(*e, editor.layout(), at); !inside) return inside;
        std::array<byte, create_parts::Locator::max_bytes> bytes;
        const size_t k = e->key_length.value(), v = e->value_length.value();
        if (!fits(k, v, bytes.size())) return create_parts::Locator::too_long();
        const MutBytes key = MutBytes(bytes).first(k), value = MutBytes(bytes).subspan(k, v);
        Status got = editor.storage().read(item.at + e->key_offset.value(), key);
        if (got) got = editor.storage().read(item.at + e->value_offset.value(), value);
        if (!got) return got;
        // Both of them begin with the letters of "parent_linkage".
        std::array<char, 64> text;
        const auto name = utf8_from_utf16(key, ByteOrder::little, text);
        if (name && (*name == "parent_linkage" || *name == "parent_linkage2")) continue;
        if (Status added = locator.add(key, value); !added) return added;
    }
    return {};
}

}  // namespace changing

/// Gives the disk another id (that of SCSI page 83).
template <WritableStorage S, Allocation A, IdSource I>
Status set_virtual_disk_id(S& storage, const Guid& id, A allocation, I ids) {
    auto editor = open_to_change(storage, std::move(allocation), std::move(ids));
    if (!editor) return editor.error();
    const Layout& layout = editor->layout();
    if (Status begun = editor->begin_change(); !begun) return begun;
    const Status done = layout::each_item(
        editor->storage(), layout.metadata_at,
        [&](const MetadataTableEntry& e, uint64_t) -> Status {
            const bool is_user = (e.flags.value() & item_flag::user) != 0;
            if (is_user || e.item_id != item::virtual_disk_id) return {};
            return editor->tables().put(layout.metadata_at + e.offset.value(), id.bytes);
        });
    return done ? editor->close() : done;
}

/// Gives the image another data_write_guid. Children that know it by the old one do not any more.
template <WritableStorage S, Allocation A, IdSource I>
Status set_identity(S& storage, const Guid& id, A allocation, I ids) {
    auto editor = open_to_change(storage, std::move(allocation), std::move(ids));
    if (!editor) return editor.error();
    const Status begun = editor->begin_change_to(id);
    return begun ? editor->close() : begun;
}

/// Which image a differencing image stands on, by ids alone; paths stay. Its contents must be the
/// same. With `next` the parent may have either: for as long as somebody merges into it.
template <WritableStorage S, Allocation A, IdSource I>
Status set_parent_id(S& storage, const Guid& id, const Guid& next, A allocation, I ids) {
    auto editor = open_to_change(storage, std::move(allocation), std::move(ids));
    if (!editor) return editor.error();
    if (!editor->has_parent()) return invalid("vhdx: the image has no parent");
    create_parts::Locator locator;
    Status done =
        create_parts::put_link(locator, {.data_write_guid = id, .next_data_write_guid = next});
    if (done) done = changing::keep_paths(*editor, locator);
    if (done) done = editor->begin();
    if (done) done = changing::put_locator(*editor, locator.bytes());
    return done ? editor->close() : done;
}

/// Where the parent of a differencing image is, and which it is: all its names are written anew.
/// With another parent the disk counts as another, too.
template <WritableStorage S, Allocation A, IdSource I>
Status set_parent(S& storage, const ParentLink& link, A allocation, I ids) {
    auto editor = open_to_change(storage, std::move(allocation), std::move(ids));
    if (!editor) return editor.error();
    if (!editor->has_parent()) return invalid("vhdx: the image has no parent");
    if (link.relative_path.empty() && link.absolute_path.empty()) {
        return invalid("vhdx: a differencing image needs the path of its parent");
    }
    create_parts::Locator locator;
    Status done = create_parts::put_link(locator, link);
    if (done) done = create_parts::put_paths(locator, link);
    if (done) {
        const bool same = editor->is_child_of(link.data_write_guid);
        done = same ? editor->begin() : editor->begin_change();
    }
    if (done) done = changing::put_locator(*editor, locator.bytes());
    return done ? editor->close() : done;
}

}  // namespace vdisk::vhdx
