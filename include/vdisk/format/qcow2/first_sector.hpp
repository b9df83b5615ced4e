// SPDX-License-Identifier: BSL-1.0
// The sector that says what the image is. A power cut leaves it whole, old or new.
#pragma once

#include <vdisk/format/qcow2/layout.hpp>

namespace vdisk::qcow2::rewriting {

/// The first 512 bytes of an image, its header apart.
template <WritableStorage S>
struct FirstSector {
    Header header;
    std::array<byte, 512> bytes;

    static Result<FirstSector> load(const S& storage) {
        FirstSector out;
        if (Status read = storage.read(0, out.bytes); !read) return read.error();
        out.header = vdisk::load<Header>(Bytes(out.bytes));
        return out;
    }

    /// Writes it and makes it durable. Who writes an image clears what he does not know
    /// (specification: "autoclear_features").
    Status store(S& storage, const Layout& layout) {
        if (layout.version >= 3) {
            header.autoclear_features =
                layout.autoclear & (autoclear::bitmaps | autoclear::data_file_raw);
        }
        const size_t length = layout.version >= 3 ? v3_header_length : v2_header_length;
        std::memcpy(bytes.data(), &header, length);
        if (Status written = storage.write(0, bytes); !written) return written;
        return storage.flush();
    }
};

}  // namespace vdisk::qcow2::rewriting
