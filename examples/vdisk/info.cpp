// SPDX-License-Identifier: BSL-1.0
// vdisk info: what an image says about itself. Opens no other file unless asked to.
#include <cinttypes>
#include <cstdio>
#include <memory>

#include <vdisk/format/qcow2/bitmap.hpp>
#include <vdisk/text/json.hpp>
#include <vdisk/text/tree.hpp>

#include "info_vhd.hpp"
#include "info_vhdx.hpp"
#include "opening.hpp"
#include "snapshot_list.hpp"
#include "status.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct InfoOptions {
    Input input;
    std::string output = "human";
    bool chain = false;
};

/// The image, and how it is called.
struct Subject {
    const AnyImage& image;
    std::string path;

    [[nodiscard]] std::string text(Text where) const {
        std::string out(where.length, '\0');
        const auto read = read_text(image.file(), where, out);
        if (!read) throw failure(path, read.error());
        return out;
    }
    /// What the image calls its parent first; empty where it has none.
    [[nodiscard]] std::string parent_name(unsigned choice = 0) const {
        if (!image.has_parent()) return {};
        std::array<char, chain::max_name> buffer{};
        const auto name = image.parent_name(choice, buffer);
        if (!name && name.error().code == Errc::not_found) return {};
        if (!name) throw failure(path, name.error());
        return std::string(*name);
    }
    [[nodiscard]] std::string parent_format() const {
        std::array<char, chain::max_name> buffer{};
        const auto format = image.parent_format(buffer);
        if (!format) throw failure(path, format.error());
        return std::string(*format);
    }
    /// The layout if the image is qcow2, or nullptr.
    [[nodiscard]] const qcow2::Layout* qcow2_layout() const {
        return image.visit([](const auto& real) -> const qcow2::Layout* {
            if constexpr (requires { real.layout().refcount_order; }) return &real.layout();
            else return nullptr;
        });
    }
    [[nodiscard]] uint64_t cluster_size() const {
        return image.visit([](const auto& real) -> uint64_t {
            if constexpr (requires { real.layout().cluster_size(); })
                return real.layout().cluster_size();
            else if constexpr (requires { real.layout().is_fixed(); })
                return real.layout().is_fixed() ? 0 : real.layout().block_size();
            else if constexpr (requires { real.layout().block_size(); })
                return real.layout().block_size();
            else return 0;
        });
    }
    [[nodiscard]] bool is_encrypted() const {
        return image.visit([](const auto& real) {
            if constexpr (requires { real.layout().crypt_method; })
                return real.layout().crypt_method != 0;
            else return false;
        });
    }
    [[nodiscard]] bool is_dirty() const {
        const auto* layout = qcow2_layout();
        return layout != nullptr && layout->is_dirty();
    }
    /// Where the backing file is, as seen from here.
    [[nodiscard]] std::string full_name(const std::string& name) const {
        return has_protocol(name) ? name : resolve(name, path);
    }
};

template <class Out>
void bitmaps(Out& out, const Subject& subject, const qcow2::Layout& layout) {
    if (!qcow2::bitmaps_valid(layout)) return;
    out.open('[', "bitmaps");
    const auto walked = qcow2::each_bitmap(
        subject.image.file(), layout, [&](const qcow2::Bitmap& bitmap) -> vdisk::Status {
            out.open('{');
            out.open('[', "flags");
            if ((bitmap.flags & qcow2::bitmap_flag::in_use) != 0) out.value({}, "in-use");
            if ((bitmap.flags & qcow2::bitmap_flag::automatic) != 0) out.value({}, "auto");
            out.close(']');
            out.value("name", subject.text(bitmap.name));
            out.value("granularity", uint64_t{1} << bitmap.granularity_bits);
            out.close('}');
            return {};
        });
    if (!walked) throw failure(subject.path, walked.error());
    out.close(']');
}

// The order of members is that of qemu-img 7.2, here and below.
template <class Out>
void qcow2_data(Out& out, const Subject& subject, const qcow2::Layout& layout) {
    const bool v3 = layout.version >= 3;
    out.value("compat", v3 ? "1.1" : "0.10");
    out.value("compression-type", layout.packing == Packing::zstd ? "zstd" : "zlib");
    if (v3) {
        out.value("lazy-refcounts", (layout.compatible & qcow2::compatible::lazy_refcounts) != 0);
        bitmaps(out, subject, layout);
    }
    out.value("refcount-bits", 1u << layout.refcount_order);
    if (layout.crypt_method != 0) {
        out.open('{', "encrypt");
        out.value("format", layout.crypt_method == 1 ? "aes" : "luks");
        out.close('}');
    }
    if (!v3) return;
    if (layout.has_data_file) {
        if (layout.data_file.length > 0) out.value("data-file", subject.text(layout.data_file));
        out.value("data-file-raw", (layout.autoclear & qcow2::autoclear::data_file_raw) != 0);
    }
    out.value("corrupt", layout.is_corrupt());
    out.value("extended-l2", layout.extended_l2);
}

/// Whether the format has anything of its own to say.
bool has_data(const Subject& subject) {
    const std::string_view format = subject.image.format();
    return format != Raw::name && format != Qcow::name;
}

template <class Out>
void format_data(Out& out, const Subject& subject) {
    const auto name = [&](unsigned choice) { return subject.parent_name(choice); };
    subject.image.visit([&](const auto& real) {
        if constexpr (requires { real.layout().refcount_order; })
            qcow2_data(out, subject, real.layout());
        else if constexpr (requires { real.layout().footer_copy; })
            vhd_data(out, real.layout(), name);
        else if constexpr (requires { real.logged_updates(); }) vhdx_data(out, real, name);
    });
}

template <class Visit>
void each_snapshot(const Subject& subject, Visit visit) {
    const auto* layout = subject.qcow2_layout();
    if (layout == nullptr) return;
    const auto walked = qcow2::each_snapshot(subject.image.file(), *layout,
                                             [&](const qcow2::Snapshot& s) -> vdisk::Status {
                                                 visit(s);
                                                 return {};
                                             });
    if (!walked) throw failure(subject.path, walked.error());
}

constexpr uint64_t second = 1'000'000'000;

void json_snapshots(text::Json& out, const Subject& subject) {
    const auto* layout = subject.qcow2_layout();
    if (layout == nullptr || layout->snapshots == 0) return;
    out.open('[', "snapshots");
    each_snapshot(subject, [&](const qcow2::Snapshot& s) {
        out.open('{');
        if (s.icount != ~uint64_t{0}) out.value("icount", s.icount);
        out.value("vm-clock-nsec", s.vm_clock_nsec % second);
        out.value("name", subject.text(s.name));
        out.value("date-sec", s.date_sec);
        out.value("date-nsec", s.date_nsec);
        out.value("vm-clock-sec", s.vm_clock_nsec / second);
        out.value("id", subject.text(s.id));
        out.value("vm-state-size", s.vm_state_size);
        out.close('}');
    });
    out.close(']');
}

void print_json(text::Json& out, const Subject& subject) {
    const AnyImage& image = subject.image;
    const std::string backing = subject.parent_name();
    const std::string backing_format = subject.parent_format();
    out.open('{');
    json_snapshots(out, subject);
    if (!backing.empty() && !backing_format.empty())
        out.value("backing-filename-format", backing_format);
    out.value("virtual-size", image.size());
    out.value("filename", subject.path);
    if (subject.cluster_size() != 0) out.value("cluster-size", subject.cluster_size());
    out.value("format", image.format());
    out.value("actual-size", allocated_size(image.file()));
    if (has_data(subject)) {
        out.open('{', "format-specific");
        out.value("type", image.format());
        out.open('{', "data");
        format_data(out, subject);
        out.close('}');
        out.close('}');
    }
    if (!backing.empty()) {
        out.value("full-backing-filename", subject.full_name(backing));
        out.value("backing-filename", backing);
    }
    if (subject.is_encrypted()) out.value("encrypted", true);
    out.value("dirty-flag", subject.is_dirty());
    out.close('}');
}

void print_snapshots(const Subject& subject) {
    const auto* layout = subject.qcow2_layout();
    if (layout == nullptr || layout->snapshots == 0) return;
    print_snapshot_heading();
    each_snapshot(subject, [&](const qcow2::Snapshot& s) {
        print_snapshot(s, subject.text(s.id), subject.text(s.name));
    });
}

void print_human(const Subject& subject) {
    const AnyImage& image = subject.image;
    std::printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n",
                text::printable(subject.path).c_str(), std::string(image.format()).c_str(),
                text::human_size(image.size()).c_str(), image.size(),
                text::human_size(allocated_size(image.file())).c_str());
    if (subject.is_encrypted()) std::puts("encrypted: yes");
    if (subject.cluster_size() != 0)
        std::printf("cluster_size: %" PRIu64 "\n", subject.cluster_size());
    if (subject.is_dirty()) std::puts("cleanly shut down: no");
    if (const std::string backing = subject.parent_name(); !backing.empty()) {
        const std::string full = subject.full_name(backing);
        std::printf("backing file: %s", text::printable(backing).c_str());
        if (full != backing) std::printf(" (actual path: %s)", text::printable(full).c_str());
        std::putchar('\n');
        const std::string format = subject.parent_format();
        if (!format.empty())
            std::printf("backing file format: %s\n", text::printable(format).c_str());
    }
    print_snapshots(subject);
    if (has_data(subject)) {
        std::puts("Format specific information:");
        text::Tree tree(stdout);
        format_data(tree, subject);
    }
}

int info(const InfoOptions& options) {
    text::Json json(stdout);
    const bool is_json = options.output == "json";
    if (!options.chain) {
        Origin origin;
        const AnyImage image = open_image(options.input, &origin);
        const Subject subject{image, origin.path};
        if (is_json) print_json(json, subject);
        else print_human(subject);
        return 0;
    }
    Top top = open_top(options.input);
    const Disk disk = open_layers(top, options.input, {.purpose = Purpose::metadata});
    if (is_json) json.open('[');
    bool first = true;
    for (const auto& layer : disk.layers()) {
        const Subject subject{layer.image, layer.origin.path};
        if (!is_json && !first) std::putchar('\n');
        if (is_json) print_json(json, subject);
        else print_human(subject);
        first = false;
    }
    if (is_json) json.close(']');
    return 0;
}

}  // namespace

void add_info(CLI::App& app, Command& run) {
    auto options = std::make_shared<InfoOptions>();
    CLI::App* cmd = app.add_subcommand(
        "info",
        "Shows what an image says about itself: format, sizes, backing file, snapshots, features.\n"
        "Opens that one file only, so it is safe on images from strangers.");
    options->input.add_to(*cmd);
    add_output(*cmd, options->output);
    cmd->add_flag("--backing-chain", options->chain, "show all the images below as well");
    cmd->footer(
        "Encrypted images are shown too; of LUKS only that it is LUKS.\n\n"
        "Examples:\n"
        "  vdisk info disk.qcow2\n"
        "  vdisk info --output=json --backing-chain overlay.qcow2\n\n"
        "Exit codes: 0 done, 1 the image cannot be opened.");
    cmd->callback([options, &run] { run = [options] { return info(*options); }; });
}

}  // namespace tool
