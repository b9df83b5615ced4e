// SPDX-License-Identifier: BSL-1.0
// The image that convert writes.
#pragma once

#include "new_image.hpp"
#include "opening.hpp"

namespace tool {

/// A file that nobody opens before it is complete: nothing has to be durable before that.
class DraftFile : public Storage {
public:
    enum class Order : uint8_t { free, kept };

    DraftFile(Storage file, Order order) : Storage(std::move(file)), order_(order) {}

    vdisk::Status flush() { return order_ == Order::free ? vdisk::Status{} : Storage::flush(); }

private:
    Order order_;
};

/// A writer on an image that is being made, or (-n) on one that is there.
class Draft {
public:
    using Writer = vdisk::SystemWriter<DraftFile>;

    /// On the new image in `output`.
    Draft(Output& output, NewImage& image);
    /// On the image in `top`, which is open for writing.
    explicit Draft(Top& top);

    [[nodiscard]] Writer& writer() { return writer_; }
    /// Bytes of a cluster.
    [[nodiscard]] uint64_t unit() const;
    /// New, and nothing was ever written there: the file is a hole at [size before, size).
    [[nodiscard]] bool is_new() const { return is_new_; }
    /// New, and the data is in a file of its own, which is one hole.
    [[nodiscard]] bool has_new_data_file() const { return is_new_ && has_data_file_; }
    [[nodiscard]] bool has_backing() const { return writer_.has_parent(); }
    [[nodiscard]] const std::string& path() const { return path_; }
    /// The data file of an image that was there; the image itself where it has none.
    [[nodiscard]] const Origin& data_origin() const { return data_origin_; }

    /// All is in the file, as others open it; with Order::kept it is durable. Throws Failure.
    void finish();

private:
    void attach_data_file(Top& top);

    std::string path_;
    bool is_new_;
    Writer writer_;
    bool has_data_file_ = false;
    Origin data_origin_;
};

}  // namespace tool
