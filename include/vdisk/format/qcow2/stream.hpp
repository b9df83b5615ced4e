// SPDX-License-Identifier: BSL-1.0
// Bytes written one after the other, in longer pieces.
#pragma once

#include <array>
#include <cstring>

#include <vdisk/core/endian.hpp>
#include <vdisk/storage/concepts.hpp>

namespace vdisk::qcow2 {

/// Writes to a storage from `at` on; `finish` writes what is still in the buffer.
template <WritableStorage S>
class Stream {
public:
    Stream(S& storage, uint64_t at) : storage_(&storage), at_(at) {}

    Status put(Bytes in) {
        while (!in.empty()) {
            const size_t room = buffer_.size() - used_;
            const size_t length = in.size() < room ? in.size() : room;
            std::memcpy(buffer_.data() + used_, in.data(), length);
            used_ += length;
            in = in.subspan(length);
            if (used_ < buffer_.size()) continue;
            if (Status written = finish(); !written) return written;
        }
        return {};
    }
    Status put_be64(uint64_t value) {
        std::array<byte, 8> bytes{};
        store_be64(bytes.data(), value);
        return put(bytes);
    }
    Status zeros(uint64_t length) {
        constexpr std::array<byte, 512> none{};
        while (length > 0) {
            const size_t piece = length < none.size() ? size_t(length) : none.size();
            if (Status written = put(Bytes(none).first(piece)); !written) return written;
            length -= piece;
        }
        return {};
    }
    Status finish() {
        const Status written = storage_->write(at_, Bytes(buffer_).first(used_));
        if (!written) return written;
        at_ += used_;
        used_ = 0;
        return {};
    }

private:
    S* storage_;
    uint64_t at_;
    size_t used_ = 0;
    std::array<byte, 4096> buffer_;
};

}  // namespace vdisk::qcow2
