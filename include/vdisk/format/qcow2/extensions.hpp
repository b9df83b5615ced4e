// SPDX-License-Identifier: BSL-1.0
// The header extensions of qcow2: a list of (type, length, data) in the first cluster.
#pragma once

#include <vdisk/format/qcow2/layout.hpp>

namespace vdisk::qcow2 {

/// Real images have a handful; a cluster could hold a quarter of a million.
inline constexpr uint32_t max_extensions = 1024;

/// Calls `visit(type, text) -> Status` for every header extension, unknown ones included, up to
/// the end marker. `text` is where its data lies.
template <class Tables, class Visit>
Status each_extension(const Tables& tables, const Layout& layout, Visit&& visit) {
    uint64_t at = layout.extensions_at;
    const uint64_t end = layout.extensions_end;
    for (uint32_t n = 0; fits(at, sizeof(ExtensionHeader), end); ++n) {
        if (n == max_extensions) {
            return fail(Errc::limit, "qcow2: more than 1024 header extensions", {Error::none, at});
        }
        const auto raw = tables.entries(at, sizeof(ExtensionHeader));
        if (!raw) return raw.error();
        const auto header = load<ExtensionHeader>(*raw);
        const uint64_t data_at = at + sizeof(ExtensionHeader);
        const uint32_t length = header.length.value();
        if (header.type.value() == extension::end) return {};
        if (length > end - data_at || !fits(data_at, length, tables.storage().size())) {
            return corrupt("qcow2: header extension is too large", {length, at + 4});
        }
        const Status visited = visit(header.type.value(), Text{data_at, length});
        if (!visited) return visited;
        at = data_at + (blocks(length, 3) << 3);
    }
    return {};
}

/// Records where the known extensions are. Each may be there once (specification: "Header
/// extensions").
template <class Tables>
Status find_extensions(const Tables& tables, Layout& layout) {
    return each_extension(tables, layout, [&](uint32_t type, Text text) -> Status {
        Text* slot = nullptr;
        switch (type) {
            case extension::backing_format: slot = &layout.backing_format; break;
            case extension::data_file: slot = &layout.data_file; break;
            case extension::feature_names: slot = &layout.feature_names; break;
            case extension::bitmaps: slot = &layout.bitmaps; break;
            case extension::encryption: slot = &layout.encryption; break;
            default: return {};
        }
        if (slot->at != 0) return corrupt("qcow2: header extension occurs twice", {type, text.at});
        *slot = text;
        if (type == extension::backing_format && text.length > max_format_length) {
            return corrupt("qcow2: name of the backing format is too long", {text.length, text.at});
        }
        if (type == extension::data_file && text.length > max_name_length) {
            return corrupt("qcow2: name of the data file is too long", {text.length, text.at});
        }
        return {};
    });
}

/// Reads the row of the feature name table for one bit; false if the image has no name for it.
/// Works on images that were refused because of that bit: it needs the header alone.
template <Storage S>
Result<bool> feature_name(const S& storage, uint8_t kind, uint8_t bit, FeatureName& out) {
    const auto h = load<Header>(storage, 0);
    if (!h) return h.error();
    Layout layout;
    layout.cluster_bits = static_cast<uint8_t>(h->cluster_bits.value());
    if (h->magic.value() != magic || h->version.value() != 3 || layout.cluster_bits < 9 ||
        layout.cluster_bits > 21) {
        return corrupt("qcow2: no version 3 header");
    }
    layout.extensions_at = h->header_length.value();
    layout.extensions_end = layout.cluster_size();
    struct Direct {  // a refused image has no Metadata yet
        const S& store;
        mutable std::array<byte, sizeof(ExtensionHeader)> bytes{};
        const S& storage() const { return store; }
        Result<Bytes> entries(uint64_t at, uint64_t) const {
            if (!fits(at, bytes.size(), store.size())) return Bytes(metadata::no_entry);
            if (const Status read = store.read(at, bytes); !read) return read.error();
            return Bytes(bytes);
        }
    };
    bool known = false;
    const Status walked =
        each_extension(Direct{storage}, layout, [&](uint32_t type, Text text) -> Status {
            if (type != extension::feature_names) return {};
            constexpr uint32_t most = 3 * 64;  // a row per kind and bit
            const auto rows = static_cast<uint32_t>(text.length / sizeof(FeatureName));
            for (uint32_t i = 0; i < (rows < most ? rows : most) && !known; ++i) {
                const auto row = load<FeatureName>(storage, text.at + i * sizeof(FeatureName));
                if (!row) return row.error();
                known = row->kind == kind && row->bit == bit;
                if (known) out = *row;
            }
            return {};
        });
    if (!walked) return walked.error();
    return known;
}

}  // namespace vdisk::qcow2
