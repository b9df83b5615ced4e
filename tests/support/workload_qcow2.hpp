// SPDX-License-Identifier: BSL-1.0
// qcow2 images for workloads: made in memory, kept in one of several storages, checked at any time.
#pragma once

#include <optional>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/codec/system.hpp>
#include <vdisk/format/qcow2/check.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/format/qcow2/writer.hpp>

#include "support/places.hpp"
#include "support/workload.hpp"

namespace vdisk::test {

template <class S>
using Qcow2Writer = qcow2::Writer<S, Heap, SystemCodecs>;
using Qcow2Reader = qcow2::Image<MemoryStorage, Heap, SystemCodecs>;

/// An image file, and its external data file if it has one.
struct Qcow2Files {
    File image, data;
};

inline Qcow2Files new_qcow2(const qcow2::CreateOptions& options) {
    Qcow2Files out;
    GrowableMemory image, data;
    if (Status made = qcow2::create(image, options); !made) {
        throw std::runtime_error(made.error().what);
    }
    out.image = bytes_of(image);
    if (!options.data_file.empty()) {
        if (!qcow2::create_data_file(data, options)) throw std::runtime_error("data file");
        out.data = bytes_of(data);
    }
    return out;
}

/// What is wrong with the image: nothing, or leaks, or worse.
inline Result<qcow2::CheckReport> check_file(const File& image) {
    MemoryStorage storage(image);
    return qcow2::check_image(storage, Heap{});
}

/// The disk as a reader sees it that has never seen the writer.
inline Result<File> read_files(const Qcow2Files& files, ParentDisk below,
                               std::string_view snapshot = {}) {
    auto image = Qcow2Reader::open(MemoryStorage(files.image));
    if (!image) return image.error();
    if (image->layout().has_data_file) {
        if (Status got = image->attach_data_file(MemoryStorage(files.data)); !got) {
            return got.error();
        }
    }
    if (!snapshot.empty()) {
        if (Status chosen = image->select_snapshot(snapshot); !chosen) return chosen.error();
    }
    return whole_disk(*image, below);
}

/// An image at work: a writer over files that a Place keeps.
template <class Place>
class Qcow2AtWork {
public:
    using Handle = typename Place::Handle;

    Qcow2AtWork(const Qcow2Files& files, CacheShape cache)
        : image_(files.image), data_(files.data), cache_(cache) {
        reopen();
    }
    Qcow2Writer<Handle>& writer() { return *writer_; }
    [[nodiscard]] Qcow2Files files() const { return {image_.bytes(), data_.bytes()}; }
    void reopen() {
        writer_.reset();
        writer_.emplace(value_of(Qcow2Writer<Handle>::open(image_.open(), {.cache = cache_})));
        if (!writer_->layout().has_data_file) return;
        if (!writer_->attach_data_file(data_.open())) throw std::runtime_error("attach");
    }

private:
    Place image_, data_;
    CacheShape cache_;
    std::optional<Qcow2Writer<Handle>> writer_;
};

}  // namespace vdisk::test
