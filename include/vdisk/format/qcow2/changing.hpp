// SPDX-License-Identifier: BSL-1.0
// A qcow2 image that is written: what has to happen before its first change, and when it turns out
// to contradict itself.
#pragma once

#include <cstddef>

#include <vdisk/format/qcow2/bitmap.hpp>
#include <vdisk/format/qcow2/clusters.hpp>
#include <vdisk/format/qcow2/image.hpp>

namespace vdisk::qcow2 {

/// Base of Writer.
template <WritableStorage S, Allocation A, Codec C, class T = StagedMetadata<S, A>>
class Changing : public Image<S, A, C, T> {
    using Base = Image<S, A, C, T>;

public:
    using typename Base::Tables;

    using Base::layout;
    using Base::storage;
    [[nodiscard]] S& storage() { return this->tables().data(); }

protected:
    explicit Changing(Base&& base) : Base(std::move(base)) {}

    [[nodiscard]] Clusters<Tables> clusters() {
        return {this->tables(), this->layout_mut(), space_};
    }
    [[nodiscard]] Space& space() { return space_; }

    /// To be called before anything changes. What the specification wants first: features that
    /// only a writer who knows them may keep are cleared.
    Status begin() {
        if (!broken_) return broken_;
        if (begun_) return {};
        Layout& checked = this->layout_mut();
        if (checked.has_data_file && !this->tables().has_data()) {
            return fail(Errc::not_found, "qcow2: the external data file is not attached");
        }
        const uint64_t end = blocks(this->file().size(), checked.cluster_bits);
        if (Status whole = clusters().grow_to(end); !whole) return whole;
        if (checked.has_data_file && storage().size() < checked.size) {
            if (Status grown = storage().resize(checked.size); !grown) return grown;
        }
        uint64_t known = autoclear::data_file_raw;
        if (bitmaps_outlive_writes(this->file(), checked)) known |= autoclear::bitmaps;
        if ((checked.autoclear & ~known) != 0) {
            if (Status put = clear_features(checked.autoclear & known); !put) return put;
        }
        begun_ = true;
        return {};
    }

    /// The image contradicts itself: says so in its header and writes nothing more.
    Status damaged(Error error) {
        broken_ = error;
        if (layout().version < 3) return error;
        const uint64_t bits = layout().incompatible | incompatible::corrupt;
        Status put =
            this->tables().put_be64(offsetof(Header, incompatible_features), bits, Stage::root);
        if (put) static_cast<void>(this->tables().flush());
        return error;
    }

private:
    // Clears autoclear features. Bitmaps that are void go with their extension: QEMU 7.2 loses
    // snapshots when it repairs an image that has only the extension left.
    Status clear_features(uint64_t kept) {
        Layout& changed = this->layout_mut();
        Status put =
            this->tables().put_be64(offsetof(Header, autoclear_features), kept, Stage::root);
        if (put && changed.bitmaps.length > 0 && (kept & autoclear::bitmaps) == 0) {
            const be32 spacer(extension::spacer);
            put = this->tables().put(changed.bitmaps.at - sizeof(ExtensionHeader),
                                     std::as_bytes(std::span(&spacer, 1)), Stage::root);
            changed.bitmaps = {};
        }
        if (put) put = this->tables().flush();
        if (put) changed.autoclear = kept;
        return put;
    }

    Space space_;
    Status broken_;
    bool begun_ = false;
};

}  // namespace vdisk::qcow2
