// SPDX-License-Identifier: BSL-1.0
// Fuzz target: header extensions, feature names and the directory of bitmaps, behind a header that
// is always right. The input begins with the first extension; what does not fit into the first
// cluster of 4 KiB goes on behind it.
#include <vdisk/format/qcow2/bitmap.hpp>
#include <vdisk/format/qcow2/format.hpp>

#include "qcow2_header.hpp"
#include "sheet.hpp"
#include "support.hpp"

using namespace vdisk;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto header = fuzz::good_header(size % 2 != 0);
    std::vector<byte> file(sizeof header + size + 3 * 4096);
    std::memcpy(file.data(), &header, sizeof header);
    if (size != 0) std::memcpy(&file[sizeof header], data, size);
    qcow2::FeatureName left{}, right{};
    for (const uint8_t bit : std::array<uint8_t, 3>{0, 1, 63}) {
        const auto kind = static_cast<uint8_t>(bit % 3);
        fuzz::agree(qcow2::feature_name(MemoryStorage(file), kind, bit, left),
                    qcow2::feature_name(fuzz::FileLike{MemoryStorage(file)}, kind, bit, right));
    }
    fuzz::Both<Qcow2> image(file, Purpose::metadata);
    if (!image) return 0;
    std::array<char, 1024> name{};
    image.both([&](const auto& i) { return read_text(i.file(), i.backing_format(), name); });
    image.both([&](const auto& i) { return read_text(i.file(), i.layout().data_file, name); });
    image.both([&](const auto& i) {
        return qcow2::each_bitmap(i.file(), i.layout(), [&](const qcow2::Bitmap& b) -> Status {
            const auto dirty = qcow2::is_all_dirty(i.file(), b);
            return dirty ? Status{} : Status(dirty.error());
        });
    });
    return 0;
}
