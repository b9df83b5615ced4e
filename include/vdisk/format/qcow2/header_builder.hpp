// SPDX-License-Identifier: BSL-1.0
// Puts together the first cluster of a qcow2 image, piece by piece, in memory of the caller.
#pragma once

#include <string_view>

#include <vdisk/format/qcow2/layout.hpp>

namespace vdisk::qcow2 {

/// The names of all feature bits, for programs that do not know one and have to refuse the image.
inline constexpr std::array<FeatureName, 8> feature_names{{
    {0, 0, {"dirty bit"}},
    {0, 1, {"corrupt bit"}},
    {0, 2, {"external data file"}},
    {0, 3, {"compression type"}},
    {0, 4, {"extended L2 entries"}},
    {1, 0, {"lazy refcounts"}},
    {2, 0, {"bitmaps"}},
    {2, 1, {"raw external data"}},
}};

/// Smaller clusters have better things to hold than the table of names.
inline constexpr unsigned feature_names_cluster_bits = 12;

/// Appends to `out` what stands in the first cluster. What does not fit is left out and counted.
class HeaderBuilder {
public:
    explicit HeaderBuilder(MutBytes out) : out_(out) {}

    /// Bytes appended so far, those that did not fit included.
    [[nodiscard]] uint64_t size() const { return size_; }
    [[nodiscard]] bool fits() const { return size_ <= out_.size(); }

    void bytes(Bytes in) {
        if (vdisk::fits(size_, in.size(), out_.size()) && !in.empty()) {
            std::memcpy(out_.data() + size_, in.data(), in.size());
        }
        size_ += in.size();
    }

    template <OnDisk T>
    void object(const T& object) {
        bytes(std::as_bytes(std::span(&object, 1)));
    }

    /// An extension, filled up with zeros to a multiple of 8 bytes.
    void extension(uint32_t type, Bytes data) {
        ExtensionHeader header;
        header.type = type;
        header.length = static_cast<uint32_t>(data.size());
        object(header);
        bytes(data);
        constexpr std::array<byte, 8> zeros{};
        bytes(Bytes(zeros).first((8 - data.size() % 8) % 8));
    }

    void extension(uint32_t type, std::string_view text) {
        extension(type, std::as_bytes(std::span(text)));
    }

    void feature_names() { extension(extension::feature_names, feature_name_bytes()); }

    /// The mark behind the last extension.
    void end() { object(ExtensionHeader{}); }

private:
    static Bytes feature_name_bytes() { return std::as_bytes(std::span(qcow2::feature_names)); }

    MutBytes out_;
    uint64_t size_ = 0;
};

}  // namespace vdisk::qcow2
