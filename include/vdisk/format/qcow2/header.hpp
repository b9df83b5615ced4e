// SPDX-License-Identifier: BSL-1.0
// Changes what stands in the first cluster of a qcow2 image: header, extensions, name of the
// backing file. What is not changed, known or not, stays byte for byte.
#pragma once

#include <optional>
#include <string_view>

#include <vdisk/allocation/concepts.hpp>
#include <vdisk/format/qcow2/bitmap.hpp>
#include <vdisk/format/qcow2/extensions.hpp>
#include <vdisk/format/qcow2/header_builder.hpp>
#include <vdisk/format/qcow2/header_switch.hpp>

namespace vdisk::qcow2 {

/// The most of a first cluster that is rewritten; a larger one may follow, empty.
inline constexpr uint64_t max_header_area = 64_KiB;

/// What shall change; what is not set stays. An empty text, or a directory of no bitmaps, takes
/// the thing away.
struct HeaderChanges {
    std::optional<std::string_view> backing_file = {};
    std::optional<std::string_view> backing_format = {};
    std::optional<std::string_view> data_file = {};
    std::optional<BitmapDirectory> bitmaps = {};
};

/// The first cluster of an image, in memory.
template <Allocation A>
class FirstCluster {
public:
    /// Reads and checks it. Fails with Errc::limit where more than 64 KiB are in use.
    template <Storage S>
    static Result<FirstCluster> load(const S& storage, A allocation = A{}) {
        FirstCluster out(std::move(allocation));
        if (Status read = out.read(storage); !read) return read.error();
        return out;
    }

    /// The header, to be changed field by field. Offset and length of the backing file's name
    /// follow from store(); the header_length of version 2 is 72, whatever stands here.
    Header header{};
    /// As it was read.
    [[nodiscard]] const Layout& layout() const { return layout_; }

    /// Brings `header` and `changes` to the storage, which still holds what was loaded. After a
    /// power cut at any moment the image has either all of the changes or none. The table of
    /// feature names goes where it takes needed room; autoclear bits that nobody here knows are
    /// cleared. Fails with Errc::no_space, and changes nothing, where the cluster is too small.
    /// Afterwards, load again.
    template <WritableStorage S>
    Status store(S& storage, const HeaderChanges& changes) {
        Buffer<A> memory(old_.allocation());
        const uint64_t most = area(layout_);
        if (auto taken = memory.reserve(static_cast<size_t>(most)); !taken) return taken.error();
        const MutBytes fresh = memory.bytes().first(static_cast<size_t>(most));
        const uint64_t autoclear = header.autoclear_features.value();
        header.autoclear_features = autoclear & (autoclear::bitmaps | autoclear::data_file_raw);
        const Status stored = store(storage, changes, fresh, Names::with);
        if (stored || stored.error().code != Errc::no_space) return stored;
        return store(storage, changes, fresh, Names::without);
    }

private:
    enum class Names : uint8_t { with, without };  // the table of feature names

    explicit FirstCluster(A allocation) : old_(std::move(allocation)) {}

    static uint64_t area(const Layout& layout) {
        return layout.cluster_size() < max_header_area ? layout.cluster_size() : max_header_area;
    }
    [[nodiscard]] MutBytes old_bytes() const {
        return old_.bytes().first(static_cast<size_t>(area(layout_)));
    }
    [[nodiscard]] Bytes text(Text text) const {
        return Bytes(old_bytes()).subspan(static_cast<size_t>(text.at), text.length);
    }
    [[nodiscard]] uint32_t header_bytes() const {
        return header.version.value() == 2 ? v2_header_length : header.header_length.value();
    }

    // What each_extension() asks for, from the bytes in memory.
    struct Tables {
        Bytes bytes;
        [[nodiscard]] const Tables& storage() const { return *this; }
        [[nodiscard]] uint64_t size() const { return bytes.size(); }
        [[nodiscard]] Result<Bytes> entries(uint64_t at, uint64_t length) const {
            if (!fits(at, length, size())) {
                return Error(fail(Errc::limit, "qcow2: header extensions beyond 64 KiB", {at}));
            }
            return bytes.subspan(static_cast<size_t>(at), static_cast<size_t>(length));
        }
    };

    template <Storage S>
    Status read(const S& storage) {
        const uint64_t size = storage.size();
        std::array<byte, sizeof(Header)> first{};
        const size_t there = size < first.size() ? static_cast<size_t>(size) : first.size();
        if (Status got = storage.read(0, MutBytes(first).first(there)); !got) return got;
        header = vdisk::load<Header>(first);
        const auto layout = check(header, size);
        if (!layout) return layout.error();
        layout_ = *layout;
        if (size < layout_.cluster_size()) {
            return corrupt("qcow2: the file ends inside its first cluster", {size});
        }
        const auto most = static_cast<size_t>(area(layout_));
        if (auto taken = old_.reserve(most); !taken) return taken.error();
        if (Status got = storage.read(0, old_bytes()); !got) return got;
        const Tables tables{old_bytes()};
        if (Status found = find_extensions(tables, layout_); !found) return found;
        const Text name = layout_.backing_file;
        if (!fits(name.at, name.length, most)) {
            return fail(Errc::limit, "qcow2: backing file name beyond 64 KiB", {name.at});
        }
        // What lies behind the mark of the end belongs to nobody.
        used_ = layout_.extensions_at;
        const Status walked = each_extension(tables, layout_, [&](uint32_t, Text text) -> Status {
            used_ = text.at + (blocks(text.length, 3) << 3);
            return {};
        });
        if (!walked) return walked;
        if (used_ + sizeof(ExtensionHeader) <= layout_.extensions_end) {
            used_ += sizeof(ExtensionHeader);
        }
        if (used_ > layout_.extensions_end) used_ = layout_.extensions_end;
        if (name.length > 0 && name.at + name.length > used_) used_ = name.at + name.length;
        if (layout_.version == 2) upgrade_fields();
        return {};
    }

    // Version 2 ends before these; what stood there were extensions.
    void upgrade_fields() {
        header.incompatible_features = 0;
        header.compatible_features = 0;
        header.autoclear_features = 0;
        header.refcount_order = 4;
        header.header_length = sizeof(Header);
        header.compression_type = 0;
        header.padding = {};
    }

    // Changes nothing where it fails with Errc::no_space.
    template <WritableStorage S>
    Status store(S& storage, const HeaderChanges& changes, MutBytes fresh, Names names) {
        const auto used = compose(changes, fresh, names);
        if (!used) return used.error();
        return switch_header(storage, {old_bytes(), used_}, {fresh, *used}, header_bytes());
    }

    // The new first cluster in `out`, zeros behind what is used; bytes used.
    Result<uint64_t> compose(const HeaderChanges& changes, MutBytes out, Names names) {
        std::memset(out.data(), 0, out.size());
        const std::string_view kept_name(
            reinterpret_cast<const char*>(old_bytes().data()) + layout_.backing_file.at,
            layout_.backing_file.length);
        const std::string_view backing = changes.backing_file.value_or(kept_name);
        HeaderBuilder build(out);
        put_header(build, 0, {});
        if (Status put = put_extensions(build, changes, names); !put) return put.error();
        build.end();
        const uint64_t name_at = build.size();
        build.bytes(std::as_bytes(std::span(backing)));
        if (!build.fits()) {
            return fail(Errc::no_space, "qcow2: no space is left in the first cluster",
                        {build.size()});
        }
        HeaderBuilder again(out);
        put_header(again, backing.empty() ? 0 : name_at, backing);
        return build.size();
    }

    void put_header(HeaderBuilder& build, uint64_t name_at, std::string_view name) {
        header.backing_file_offset = name_at;
        header.backing_file_size = static_cast<uint32_t>(name.size());
        const Bytes raw = std::as_bytes(std::span(&header, 1));
        const uint32_t length = header_bytes();
        build.bytes(raw.first(length < sizeof(Header) ? length : sizeof(Header)));
        if (length <= sizeof(Header)) return;
        // Fields that nobody here knows.
        build.bytes(text({sizeof(Header), length - static_cast<uint32_t>(sizeof(Header))}));
    }

    Status put_extensions(HeaderBuilder& build, const HeaderChanges& changes, Names names) const {
        put_text(build, extension::backing_format, changes.backing_format, layout_.backing_format);
        put_text(build, extension::data_file, changes.data_file, layout_.data_file);
        if (!changes.bitmaps) {
            put_kept(build, extension::bitmaps, layout_.bitmaps);
        } else if (changes.bitmaps->bitmaps > 0) {
            BitmapsExtension raw{};
            raw.nb_bitmaps = changes.bitmaps->bitmaps;
            raw.bitmap_directory_size = changes.bitmaps->size;
            raw.bitmap_directory_offset = changes.bitmaps->at;
            build.extension(extension::bitmaps, std::as_bytes(std::span(&raw, 1)));
        }
        put_kept(build, extension::encryption, layout_.encryption);
        const Status walked =
            each_extension(Tables{old_bytes()}, layout_, [&](uint32_t type, Text text) -> Status {
                if (!is_known(type)) build.extension(type, this->text(text));
                return {};
            });
        if (!walked) return walked;
        if (names == Names::without || header.version.value() == 2) return {};
        if (layout_.feature_names.at != 0) {
            put_kept(build, extension::feature_names, layout_.feature_names);
        } else if (layout_.version == 2 && layout_.cluster_bits >= feature_names_cluster_bits) {
            build.feature_names();
        }
        return {};
    }

    static bool is_known(uint32_t type) {
        return type == extension::backing_format || type == extension::data_file ||
               type == extension::bitmaps || type == extension::encryption ||
               type == extension::feature_names || type == spacer_extension;
    }

    void put_kept(HeaderBuilder& build, uint32_t type, Text kept) const {
        if (kept.at != 0) build.extension(type, text(kept));
    }
    void put_text(HeaderBuilder& build, uint32_t type, std::optional<std::string_view> changed,
                  Text kept) const {
        if (!changed) put_kept(build, type, kept);
        else if (!changed->empty()) build.extension(type, *changed);
    }

    Layout layout_;
    uint64_t used_ = 0;  ///< bytes of the old first cluster
    Buffer<A> old_;
};

}  // namespace vdisk::qcow2
