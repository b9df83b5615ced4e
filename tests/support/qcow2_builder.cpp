// SPDX-License-Identifier: BSL-1.0
// Layout: header, refcount table, L1, then L2 tables and data in random order, packed streams back
// to back, snapshots (L1, L2, data), the snapshot table, refcount blocks.
#include <algorithm>
#include <random>
#include <set>

#include "support/image_builder.hpp"

namespace vdisk::test {

namespace {

constexpr uint64_t copied = uint64_t{1} << 63;

class Builder {
public:
    explicit Builder(const Qcow2Spec& spec) : spec_(spec), random_(spec.shuffle) {}

    Built build() {
        take(1);  // the header
        out_.refcount_table_at = take(1);
        const uint64_t l1_entries = entries(spec_.size);
        out_.l1_at = take(std::max<uint64_t>(blocks_of(l1_entries * 8), 1));
        if (spec_.data_file) out_.data_file.resize(spec_.size);
        map(out_.l1_at, spec_.clusters, true);
        out_.data_end = file().size();
        out_.guest = paint(spec_.size, spec_.cluster_bits, spec_.clusters);
        snapshots();
        refcounts();
        header(l1_entries);
        return std::move(out_);
    }

private:
    [[nodiscard]] uint64_t cluster_size() const { return uint64_t{1} << spec_.cluster_bits; }
    [[nodiscard]] uint64_t l2_entries() const {
        return cluster_size() / (spec_.extended_l2 ? 16 : 8);
    }
    [[nodiscard]] uint64_t blocks_of(uint64_t bytes) const {
        return (bytes + cluster_size() - 1) / cluster_size();
    }
    [[nodiscard]] uint64_t entries(uint64_t size) const {
        return (blocks_of(size) + l2_entries() - 1) / l2_entries();
    }
    File& file() { return out_.file; }

    /// `count` new clusters at the end of the file.
    uint64_t take(uint64_t count) {
        const uint64_t at = file().size();
        file().resize(at + count * cluster_size());
        refcounts_.resize(file().size() / cluster_size(), 1);
        return at;
    }

    uint64_t from_pool() {
        const uint64_t at = pool_.back();
        pool_.pop_back();
        return at;
    }

    void fill_pool(const std::vector<Cluster>& clusters) {
        std::set<uint64_t> tables;
        uint64_t count = 0;
        for (const Cluster& c : clusters) {
            tables.insert(c.index / l2_entries());
            count += !spec_.data_file && (c.fill == Fill::data || c.fill == Fill::zero_kept);
        }
        for (count += tables.size(); count != 0; --count) pool_.push_back(take(1));
        if (spec_.shuffle != 0) std::shuffle(pool_.begin(), pool_.end(), random_);
        else std::reverse(pool_.begin(), pool_.end());
    }

    void map(uint64_t l1_at, const std::vector<Cluster>& clusters, bool is_active) {
        fill_pool(clusters);
        for (const Cluster& c : clusters) {
            const uint64_t l1_entry_at = l1_at + c.index / l2_entries() * 8;
            if (get_be64(file(), l1_entry_at) == 0) {
                set_be64(file(), l1_entry_at, from_pool() | copied);
            }
            const uint64_t table = get_be64(file(), l1_entry_at) & ~copied;
            const uint64_t at = table + c.index % l2_entries() * (spec_.extended_l2 ? 16 : 8);
            if (is_active) out_.entry_at[c.index] = at;
            set_be64(file(), at, entry(c));
            if (spec_.extended_l2) set_be64(file(), at + 8, bitmap(c));
        }
        stream_end_ = 0;
    }

    uint64_t entry(const Cluster& c) {
        const uint64_t flag = spec_.extended_l2 ? 0 : 1;
        if (c.fill == Fill::zero) return flag;
        const File bytes = contents(c, cluster_size());
        if (c.fill == Fill::packed) return compressed(pack(bytes, spec_.packing));
        const uint64_t guest_at = c.index * cluster_size();
        const uint64_t host = spec_.data_file ? guest_at : from_pool();
        File& home = spec_.data_file ? out_.data_file : file();
        const uint64_t length = std::min<uint64_t>(cluster_size(), home.size() - host);
        std::copy_n(bytes.begin(), length, home.begin() + static_cast<ptrdiff_t>(host));
        return host | copied | (c.fill == Fill::zero_kept ? flag : 0);
    }

    [[nodiscard]] static uint64_t bitmap(const Cluster& c) {
        if (c.fill == Fill::packed) return 0;
        if (c.fill != Fill::data) return 0xFFFFFFFF00000000;
        return uint64_t{c.zero_subclusters} << 32 | c.stored;
    }

    uint64_t compressed(const File& stream) {
        if (stream_end_ == 0) stream_end_ = file().size() + 7;  // not on a sector
        const uint64_t at = stream_end_;
        stream_end_ += stream.size();
        while (file().size() < stream_end_) {
            take(1);
            refcounts_.back() = 0;
        }
        std::copy(stream.begin(), stream.end(), file().begin() + static_cast<ptrdiff_t>(at));
        const uint64_t sectors = (stream_end_ - 1) / sector - at / sector + 1;
        for (uint64_t i = at / cluster_size(); i <= (stream_end_ - 1) / cluster_size(); ++i) {
            ++refcounts_[i];
        }
        return uint64_t{1} << 62 | (sectors - 1) << (62 - (spec_.cluster_bits - 8)) | at;
    }

    void snapshots() {
        File table;
        for (const SnapshotSpec& s : spec_.snapshots) {
            const uint64_t size = s.size != 0 ? s.size : spec_.size;
            const uint64_t l1_at = take(std::max<uint64_t>(blocks_of(entries(size) * 8), 1));
            map(l1_at, s.clusters, false);
            out_.snapshots.push_back(paint(size, spec_.cluster_bits, s.clusters));
            const size_t at = table.size();
            table.resize(at + 40 + s.extra);
            set_be64(table, at, l1_at);
            set_be32(table, at + 8, entries(size));
            set_be16(table, at + 12, s.id.size());
            set_be16(table, at + 14, s.name.size());
            set_be32(table, at + 36, s.extra);
            if (s.extra >= 16) set_be64(table, at + 48, size);
            if (s.extra >= 24) set_be64(table, at + 56, ~uint64_t{0});
            append(table, s.id + s.name);
            table.resize((table.size() + 7) / 8 * 8);
        }
        if (table.empty()) return;
        out_.snapshots_at = take(blocks_of(table.size()));
        std::copy(table.begin(), table.end(),
                  file().begin() + static_cast<ptrdiff_t>(out_.snapshots_at));
    }

    void refcounts() {
        const uint64_t per_block = cluster_size() / 2;
        uint64_t count = 0;
        const uint64_t used = file().size() / cluster_size();
        while (count * per_block < used + count) ++count;
        const uint64_t at = take(count);
        for (uint64_t i = 0; i != count; ++i) {
            set_be64(file(), out_.refcount_table_at + i * 8, at + i * cluster_size());
        }
        for (uint64_t i = 0; i != refcounts_.size(); ++i) {
            set_be16(file(), at + i * 2, refcounts_[i]);
        }
    }

    static void append(File& to, const std::string& text) {
        for (const char c : text) to.push_back(static_cast<byte>(c));
    }

    void header(uint64_t l1_entries) {
        File h(spec_.version == 2 ? 72 : 112);
        out_.extensions_at = h.size();
        const bool is_zstd = spec_.packing == Packing::zstd;
        set_be32(h, 0, 0x514649FB);
        set_be32(h, 4, spec_.version);
        set_be32(h, 20, spec_.cluster_bits);
        set_be64(h, 24, spec_.size);
        set_be32(h, 36, l1_entries);
        set_be64(h, 40, out_.l1_at);
        set_be64(h, 48, out_.refcount_table_at);
        set_be32(h, 56, 1);
        set_be32(h, 60, spec_.snapshots.size());
        set_be64(h, 64, out_.snapshots_at);
        if (spec_.version == 3) {
            set_be64(h, 72,
                     spec_.incompatible | (spec_.data_file ? 4u : 0u) | (is_zstd ? 8u : 0u) |
                         (spec_.extended_l2 ? 16u : 0u));
            set_be64(h, 88, spec_.autoclear);
            set_be32(h, 96, 4);
            set_be32(h, 100, h.size());
            h[104] = static_cast<byte>(is_zstd);
        }
        std::vector<Extension> extensions = spec_.extensions;
        if (!spec_.backing_format.empty()) extensions.push_back({0xE2792ACA, spec_.backing_format});
        for (const Extension& e : extensions) {
            const size_t at = h.size();
            h.resize(at + 8);
            set_be32(h, at, e.type);
            set_be32(h, at + 4, e.data.size());
            append(h, e.data);
            h.resize((h.size() + 7) / 8 * 8);
        }
        h.resize(h.size() + 8);  // the end marker
        if (!spec_.backing_file.empty()) {
            set_be64(h, 8, h.size());
            set_be32(h, 16, spec_.backing_file.size());
            append(h, spec_.backing_file);
        }
        std::copy(h.begin(), h.end(), file().begin());
    }

    const Qcow2Spec& spec_;
    std::mt19937 random_;
    Built out_;
    std::vector<uint16_t> refcounts_;
    std::vector<uint64_t> pool_;
    uint64_t stream_end_ = 0;
};

}  // namespace

Built build(const Qcow2Spec& spec) { return Builder(spec).build(); }

}  // namespace vdisk::test
