// SPDX-License-Identifier: BSL-1.0
// vdisk amend: changes the options an image was created with.
#include <bit>
#include <cstdio>
#include <memory>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/qcow2/downgrade.hpp>
#include <vdisk/format/qcow2/resize.hpp>

#include "closed.hpp"
#include "creation.hpp"
#include "operations.hpp"
#include "progress.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct AmendOptions {
    Input input;
    std::vector<std::string> lists;
    std::string cache;
    bool progress = false;
    bool quiet = false;
    bool force = false;
};

constexpr Explained amendable[] = {
    {"backing_file=<str>", "File name of a base image (refused: use rebase)"},
    {"backing_fmt=<str>", "Image format of the base image (refused: use rebase)"},
    {"compat=<str>", "Compatibility level (v2 [0.10] or v3 [1.1])"},
    {"data_file=<str>", "File name of an external data file"},
    {"data_file_raw=<bool (on/off)>", "The external data file must stay valid as a raw image"},
    {"lazy_refcounts=<bool (on/off)>", "Postpone refcount updates"},
    {"refcount_bits=<num>", "Width of a reference count entry in bits"},
    {"size=<size>", "Virtual disk size"},
};

[[noreturn]] void refuse_format(const std::string& format) {
    throw Failure{"Format driver '" + format + "' does not support option amendment"};
}

bool asks_for_help(const AmendOptions& options) {
    for (const std::string& list : options.lists) {
        const Creation wanted({list});
        if (wanted.has("help") || wanted.has("?")) return true;
    }
    return false;
}

int print_help(const AmendOptions& options) {
    std::string format = options.input.format;
    if (format.empty()) {
        if (options.input.file.empty()) throw Failure{"Expecting one image file name"};
        format = open_top(options.input).format;
    }
    if (const Operations* const operations = operations_of(format)) {
        std::printf("Amend options for '%s':\n%s\n", format.c_str(), operations->amend_help);
        return 0;
    }
    if (format != Qcow2::name) refuse_format(format);
    std::puts("Amend options for 'qcow2':");
    print_options(amendable);
    return 0;
}

/// What the options make of one image; complete before anything is written.
struct Amendment {
    bool v3 = true;  ///< afterwards
    std::optional<unsigned> refcount_order;
    std::optional<qcow2::RefcountUpdates> refcount_updates;
    std::optional<std::string> data_file;
    bool clears_data_file_raw = false;
    std::optional<uint64_t> size;
};

void refuse_unknown(const Creation& wanted) {
    for (const char* name : {"cluster_size", "preallocation", "extended_l2", "compression_type",
                             "encryption", "encrypt.format", "nocow"}) {
        if (wanted.has(name)) {
            throw Failure{std::string("-o ") + name + ": for the creation of images only"};
        }
    }
    std::vector<std::string> names;
    for (const Explained& option : amendable) {
        const std::string_view text = option.name;
        names.emplace_back(text.substr(0, text.find('=')));
    }
    wanted.refuse_others_than(names);
}

void refuse_other_backing(const Top& top, const qcow2::Layout& layout, const Creation& wanted) {
    const bool other = (wanted.has("backing_file") &&
                        wanted.text("backing_file") != text_in(top, layout.backing_file)) ||
                       (wanted.has("backing_fmt") &&
                        wanted.text("backing_fmt") != text_in(top, layout.backing_format));
    if (other) {
        throw Failure{top.file.origin.path + ": Cannot amend the backing file: use 'vdisk rebase'"};
    }
}

bool is_v3(const Creation& wanted, const qcow2::Layout& layout) {
    if (!wanted.has("compat")) return layout.version >= 3;
    const std::string level = wanted.text("compat");
    if (level == "v3" || level == "1.1") return true;
    if (level == "v2" || level == "0.10") return false;
    throw Failure{"Unknown compatibility level " + level};
}

unsigned refcount_order(const std::string& text) {
    const auto bits = text::parse_size(text);
    if (!bits || *bits > 64 || !std::has_single_bit(*bits)) {
        throw Failure{"Refcount width must be a power of two and may not exceed 64 bits"};
    }
    return static_cast<unsigned>(std::countr_zero(*bits));
}

void read_data_file(const Top& top, const qcow2::Layout& layout, const Creation& wanted,
                    Amendment& out) {
    const std::string& path = top.file.origin.path;
    if (wanted.has("data_file")) {
        if (!layout.has_data_file) {
            throw Failure{path +
                          ": data-file can only be set for images that use an external data file"};
        }
        out.data_file = wanted.text("data_file");
    }
    if (!wanted.has("data_file_raw")) return;
    const bool is_raw = (layout.autoclear & qcow2::autoclear::data_file_raw) != 0;
    if (wanted.flag("data_file_raw") && !is_raw) {
        throw Failure{path + ": data-file-raw cannot be set on existing images"};
    }
    out.clears_data_file_raw = is_raw && !wanted.flag("data_file_raw");
}

Amendment read(const Top& top, const qcow2::Layout& layout, const Creation& wanted) {
    Amendment out;
    out.v3 = is_v3(wanted, layout);
    if (wanted.has("refcount_bits")) {
        out.refcount_order = refcount_order(wanted.text("refcount_bits"));
    }
    if (!out.v3 && out.refcount_order.value_or(4) != 4) {
        throw Failure{
            "Refcount widths other than 16 bits require compatibility level 1.1 or above (use "
            "compat=1.1 or greater)"};
    }
    if (wanted.has("lazy_refcounts")) {
        using enum qcow2::RefcountUpdates;
        out.refcount_updates = wanted.flag("lazy_refcounts") ? lazy : at_once;
        if (!out.v3 && *out.refcount_updates == lazy) {
            throw Failure{
                "Lazy refcounts only supported with compatibility level 1.1 and above (use "
                "compat=1.1 or greater)"};
        }
    }
    if (wanted.has("size")) out.size = size_of(wanted.text("size"), "size");
    read_data_file(top, layout, wanted, out);
    return out;
}

/// What would be refused half way is refused here.
void check(const Top& top, qcow2::Layout layout, const Amendment& wanted) {
    if (wanted.size) {
        expect(top, qcow2::resizing::check_possible(top.file.storage, layout, *wanted.size));
    }
    if (wanted.v3) return;
    layout.size = wanted.size.value_or(layout.size);
    if (wanted.refcount_order) layout.refcount_order = static_cast<uint8_t>(*wanted.refcount_order);
    if (layout.version < 3) return;
    expect(top, qcow2::amending::check_version_2(layout));
    expect(top, qcow2::amending::check_snapshots(top.file.storage, layout));
}

/// Features come before what needs them, and go when nothing does any more.
void apply(Top& top, const AmendOptions& options, const qcow2::Layout& layout,
           const Amendment& wanted) {
    Storage& file = top.file.storage;
    if (wanted.v3) expect(top, qcow2::upgrade(file, Heap{}));
    if (wanted.refcount_order.value_or(layout.refcount_order) != layout.refcount_order) {
        qcow2::NewState state = qcow2::same_state(layout_of(top));
        state.refcount_order = *wanted.refcount_order;
        expect(top, qcow2::rewrite(file, state, Heap{}));
    }
    if (wanted.refcount_updates && wanted.v3) {
        expect(top, qcow2::set_refcount_updates(file, *wanted.refcount_updates, Heap{}));
    }
    if (wanted.data_file) expect(top, qcow2::set_data_file(file, *wanted.data_file, Heap{}));
    if (wanted.clears_data_file_raw) expect(top, qcow2::clear_data_file_raw(file, Heap{}));
    if (wanted.size) {
        resize_image(top, options.input, *wanted.size, qcow2::Preallocation::off);
    }
    if (!wanted.v3) expect(top, qcow2::downgrade(file, Heap{}));
}

int amend(const AmendOptions& options) {
    if (options.lists.empty()) {
        throw Failure{"Must specify options (-o)", 1, "Try 'vdisk amend --help'"};
    }
    if (asks_for_help(options)) return print_help(options);
    if (options.input.file.empty()) throw Failure{"Expecting one image file name"};
    const Creation wanted(options.lists);
    Top top = open_closed_for_writing(options.input);
    if (const Operations* const operations = operations_of(top)) {
        operations->amend(top, options.input, wanted);
        return 0;
    }
    if (!is_qcow2(top)) refuse_format(top.format);
    refuse_unknown(wanted);
    const qcow2::Layout layout = layout_of(top);
    refuse_other_backing(top, layout, wanted);
    const Amendment amendment = read(top, layout, wanted);
    check(top, layout, amendment);
    Progress progress(options.progress && !options.quiet, 1);
    apply(top, options, layout, amendment);
    progress.at(1, 1);
    return 0;
}

}  // namespace

void add_amend(CLI::App& app, Command& run) {
    auto options = std::make_shared<AmendOptions>();
    CLI::App* cmd = app.add_subcommand(
        "amend", "Changes options that a qcow2, VHD or VHDX image was created with.");
    cmd->add_option("FILE", options->input.file, "the image");
    options->input.add_to(*cmd, false);
    cmd->add_option("-o", options->lists,
                    "what changes: compat=, refcount_bits=, lazy_refcounts= ...; -o help lists all")
        ->type_name("NAME=VALUE,...")
        ->check(not_empty("Invalid option list: "))
        ->take_all()
        ->allow_extra_args(false);
    cmd->add_option("-t", options->cache, "accepted and ignored")->type_name("CACHE");
    cmd->add_flag("-p", options->progress, "show how far it is");
    cmd->add_flag("-q", options->quiet, "show nothing but errors");
    cmd->add_flag("--force", options->force, "accepted and ignored: it is about encryption only");
    cmd->footer(
        "All options are looked at before anything is written. A smaller size=, too, is done\n"
        "without asking. Of VHD images size, ids and geometry can be changed, of VHDX size and "
        "ids.\n\n"
        "Examples:\n"
        "  vdisk amend -o compat=1.1,lazy_refcounts=on disk.qcow2\n"
        "  vdisk amend -o refcount_bits=8 disk.qcow2\n"
        "  vdisk amend -o geometry=1003/12/17 disk.vhd\n\n"
        "Exit codes: 0 done, 1 failed.");
    cmd->callback([options, &run] { run = [options] { return amend(*options); }; });
}

}  // namespace tool
