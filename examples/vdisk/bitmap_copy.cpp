// SPDX-License-Identifier: BSL-1.0
#include "bitmap_copy.hpp"

#include <cstdio>

#include <vdisk/allocation/heap.hpp>

#include "closed.hpp"

namespace tool {

using namespace vdisk;

BitmapCopy::BitmapCopy(const Input& input, Broken broken)
    : source_(open_top(input)), size_(size_of_image(source_)) {
    const bool has_support = is_qcow2(source_) && layout_of(source_).version >= 3;
    if (!has_support) throw Failure{input.file + ": Source lacks bitmap support"};
    const qcow2::Layout layout = layout_of(source_);
    if (!qcow2::bitmaps_valid(layout)) return;
    const auto walked = qcow2::each_bitmap(
        source_.file.storage, layout, [&](const qcow2::Bitmap& bitmap) -> vdisk::Status {
            const std::string name = text_in(source_, bitmap.name);
            if ((bitmap.flags & qcow2::bitmap_flag::in_use) == 0) {
                const bool records = (bitmap.flags & qcow2::bitmap_flag::automatic) != 0;
                entries_.push_back({name, bitmap.granularity_bits,
                                    records ? qcow2::Recording::on : qcow2::Recording::off});
                return {};
            }
            if (broken == Broken::refuse) {
                throw Failure{input.file + ": Cannot copy inconsistent bitmap '" + name +
                              "': try --skip-broken-bitmaps, or remove it"};
            }
            std::fprintf(stderr, "vdisk: warning: Skipping inconsistent bitmap '%s'\n",
                         name.c_str());
            return {};
        });
    expect(source_, walked);
}

void BitmapCopy::add_to(Storage& file, const std::string& path) const {
    for (const Entry& entry : entries_) {
        const vdisk::Status added =
            qcow2::add_bitmap(file, {entry.name, entry.granularity_bits, entry.recording}, Heap{});
        if (!added) throw failure(path, added.error());
        merge_bitmap_of(file, path, source_, entry.name, entry.name);
    }
}

}  // namespace tool
