// SPDX-License-Identifier: BSL-1.0
#include "support/image_builder.hpp"

#include <algorithm>
#include <random>
#include <stdexcept>

#include <zlib.h>
#if __has_include(<zstd.h>)
#include <zstd.h>
#endif

#include "support/bytes.hpp"

namespace vdisk::test {

namespace {

void set_be(File& file, uint64_t at, uint64_t value, unsigned width) {
    for (unsigned i = 0; i != width; ++i) {
        file.at(at + i) = static_cast<byte>(value >> (8 * (width - 1 - i)));
    }
}

}  // namespace

void set_be16(File& file, uint64_t at, uint64_t value) { set_be(file, at, value, 2); }
void set_be32(File& file, uint64_t at, uint64_t value) { set_be(file, at, value, 4); }
void set_be64(File& file, uint64_t at, uint64_t value) { set_be(file, at, value, 8); }
uint64_t get_be64(const File& file, uint64_t at) {
    uint64_t value = 0;
    for (unsigned i = 0; i != 8; ++i) value = value << 8 | static_cast<uint64_t>(file.at(at + i));
    return value;
}

void put_text(File& file, uint64_t at, std::string_view text) {
    for (const char c : text) file.at(at++) = static_cast<byte>(c);
}

File contents(const Cluster& cluster, uint64_t size) {
    if (cluster.fill != Fill::packed) return noise(size, cluster.seed);
    File bytes = prose(size);
    for (size_t i = 0; i < size; i += 97) bytes[i] = static_cast<byte>(cluster.seed + i);
    return bytes;
}

Guest paint(uint64_t size, unsigned cluster_bits, const std::vector<Cluster>& clusters) {
    Guest guest{File(size), std::vector<Kind>(size / sector, Kind::absent)};
    const uint64_t cluster_size = uint64_t{1} << cluster_bits;
    for (const Cluster& c : clusters) {
        const File bytes = contents(c, cluster_size);
        for (uint64_t in = 0; in != cluster_size; in += sector) {
            const uint64_t at = (c.index << cluster_bits) + in;
            if (at >= size) break;
            const uint64_t subcluster = in * 32 / cluster_size;
            Kind kind = Kind::zero;
            if (c.fill == Fill::packed) kind = Kind::compressed;
            if (c.fill == Fill::data) {
                kind = (c.stored >> subcluster & 1) != 0             ? Kind::data
                       : (c.zero_subclusters >> subcluster & 1) != 0 ? Kind::zero
                                                                     : Kind::absent;
            }
            guest.kinds[at / sector] = kind;
            if (kind != Kind::data && kind != Kind::compressed) continue;
            std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(in), sector,
                        guest.bytes.begin() + static_cast<ptrdiff_t>(at));
        }
    }
    return guest;
}

File over(const Guest& child, const File& parent) {
    File bytes = child.bytes;
    for (size_t at = 0; at < std::min(bytes.size(), parent.size()); ++at) {
        if (child.kinds[at / sector] == Kind::absent) bytes[at] = parent[at];
    }
    return bytes;
}

std::vector<Cluster> mixture(uint64_t count, uint32_t seed, const std::vector<Fill>& ways) {
    std::mt19937 random(seed);
    std::vector<Cluster> clusters;
    for (uint64_t i = 0; i != count; ++i) {
        const uint64_t choice = random() % (ways.size() + 1);  // neighbours are often alike
        const uint64_t run = std::min<uint64_t>(1 + random() % 3, count - i);
        for (uint64_t k = 0; k != run && choice != ways.size(); ++k) {
            clusters.push_back({i + k, ways[choice], static_cast<uint32_t>(seed * 1000 + i + k)});
        }
        i += run - 1;
    }
    return clusters;
}

File pack(const File& block, Packing packing) {
    File out(block.size() + 64);
    if (packing == Packing::zstd) {
#if __has_include(<zstd.h>)
        out.resize(ZSTD_compressBound(block.size()));
        out.resize(ZSTD_compress(out.data(), out.size(), block.data(), block.size(), 3));
        return out;
#else
        throw std::runtime_error("this build has no zstd");
#endif
    }
    z_stream stream{};
    if (deflateInit2(&stream, 6, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
        throw std::runtime_error("deflateInit2");
    }
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<byte*>(block.data()));
    stream.avail_in = static_cast<uInt>(block.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int result = deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    if (result != Z_STREAM_END) throw std::runtime_error("deflate");
    return out;
}

}  // namespace vdisk::test
