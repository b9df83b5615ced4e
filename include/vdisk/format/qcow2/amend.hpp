// SPDX-License-Identifier: BSL-1.0
// Changes what a qcow2 image says of itself: its backing file, data file, version and features.
// The image is closed. After a power cut at any moment it is as before or as wanted.
#pragma once

#include <vdisk/format/qcow2/header.hpp>
#include <vdisk/format/qcow2/rewrite.hpp>

namespace vdisk::qcow2 {

namespace amending {

template <Storage S, Allocation A>
Result<FirstCluster<A>> load(const S& storage, A allocation) {
    auto first = FirstCluster<A>::load(storage, std::move(allocation));
    if (!first) return first.error();
    if (first->layout().is_corrupt()) {
        return corrupt("qcow2: the image is marked corrupt: repair it first");
    }
    return first;
}

inline Status check_name(std::string_view name, const char* too_long) {
    if (name.size() > max_name_length) return invalid(too_long, {name.size()});
    if (name.find('\0') != std::string_view::npos) return invalid("qcow2: name holds a NUL");
    return {};
}

}  // namespace amending

/// Changes the name of the backing file and its format, nothing else: the new one is believed to
/// hold the same bytes. An empty name takes the backing file away.
template <WritableStorage S, Allocation A>
Status set_backing(S& storage, std::string_view name, std::string_view format, A allocation) {
    Status checked = amending::check_name(name, "qcow2: backing file name is too long");
    if (!checked) return checked;
    if (format.size() > max_format_length || format.find('\0') != std::string_view::npos) {
        return invalid("qcow2: name of the backing format is too long", {format.size()});
    }
    if (!name.empty() && format.empty()) {
        return invalid("qcow2: backing file without its format");
    }
    auto first = amending::load(storage, std::move(allocation));
    if (!first) return first.error();
    if (!name.empty() && (first->layout().autoclear & autoclear::data_file_raw) != 0) {
        return invalid("qcow2: a raw data file and a backing file exclude each other");
    }
    if (name.empty()) format = {};
    return first->store(storage, {.backing_file = name, .backing_format = format});
}

/// Changes the name of the external data file; an empty one leaves it to whoever opens the image.
template <WritableStorage S, Allocation A>
Status set_data_file(S& storage, std::string_view name, A allocation) {
    Status checked = amending::check_name(name, "qcow2: name of the data file is too long");
    if (!checked) return checked;
    auto first = amending::load(storage, std::move(allocation));
    if (!first) return first.error();
    if (!first->layout().has_data_file) {
        return invalid("qcow2: the image has no external data file");
    }
    return first->store(storage, {.data_file = name});
}

/// The external data file need not stay readable as a raw image any more. The promise cannot be
/// given afterwards.
template <WritableStorage S, Allocation A>
Status clear_data_file_raw(S& storage, A allocation) {
    auto first = amending::load(storage, std::move(allocation));
    if (!first) return first.error();
    const uint64_t bits = first->header.autoclear_features.value();
    first->header.autoclear_features = bits & ~autoclear::data_file_raw;
    return first->store(storage, {});
}

/// How the refcounts of an image are kept.
enum class RefcountUpdates : uint8_t { at_once, lazy };

/// Says whether refcounts may lag behind while the image is open.
template <WritableStorage S, Allocation A>
Status set_refcount_updates(S& storage, RefcountUpdates updates, A allocation) {
    auto first = amending::load(storage, std::move(allocation));
    if (!first) return first.error();
    const uint64_t bits = first->header.compatible_features.value() & ~compatible::lazy_refcounts;
    if (updates == RefcountUpdates::lazy) {
        if (first->layout().version < 3) {
            return invalid("qcow2: version 2 has no lazy refcounts");
        }
        first->header.compatible_features = bits | compatible::lazy_refcounts;
    } else {
        if (first->layout().is_dirty()) {
            return invalid("qcow2: refcounts lag behind: repair the image first");
        }
        first->header.compatible_features = bits;
    }
    return first->store(storage, {});
}

/// Makes an image of version 2 one of version 3; any other stays as it is. Snapshots that do not
/// say how large their disk is do so afterwards; an image that has some must be sound.
template <WritableStorage S, Allocation A>
Status upgrade(S& storage, A allocation) {
    auto first = amending::load(storage, allocation);
    if (!first) return first.error();
    if (first->layout().version >= 3) return {};
    const auto sized = have_sizes(storage, first->layout());
    if (!sized) return sized.error();
    if (!*sized) {
        const Status mended = rewrite(storage, same_state(first->layout()), allocation, NoGuest{});
        if (!mended) return mended;
        first = amending::load(storage, std::move(allocation));
        if (!first) return first.error();
    }
    first->header.version = 3;
    // Nobody kept bitmaps up to date while the version could not have them.
    return first->store(storage, {.bitmaps = BitmapDirectory{}});
}

}  // namespace vdisk::qcow2
