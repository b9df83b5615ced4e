// SPDX-License-Identifier: BSL-1.0
// vdisk bitmap: adds, changes and removes the persistent bitmaps of a qcow2 image.
#include <algorithm>
#include <bit>
#include <memory>

#include <vdisk/allocation/heap.hpp>
#include <vdisk/format/qcow2/bitmaps.hpp>

#include "closed.hpp"

namespace tool {

using namespace vdisk;

namespace {

enum class Verb : uint8_t { add, remove, clear, enable, disable, merge };

constexpr const char* verb_names[] = {"add", "remove", "clear", "enable", "disable", "merge"};

struct Action {
    Verb verb;
    std::string source;  ///< of merge
};

struct BitmapOptions {
    Input input;
    std::string bitmap;
    std::string granularity;
    Input source;  ///< the image that merge takes from; no file: the same
    std::vector<Action> actions;
};

[[noreturn]] void refuse(const BitmapOptions& options, Verb verb, const std::string& why) {
    throw Failure{options.input.file + ": Operation " + verb_names[static_cast<size_t>(verb)] +
                  " on bitmap " + options.bitmap + " failed: " + why};
}

/// The bitmaps that an image has or will have.
class Inventory {
public:
    Inventory() = default;
    explicit Inventory(const Top& top) {
        if (!is_qcow2(top)) return;
        const qcow2::Layout layout = layout_of(top);
        if (!qcow2::bitmaps_valid(layout)) return;
        const auto walked = qcow2::each_bitmap(
            top.file.storage, layout, [&](const qcow2::Bitmap& bitmap) -> vdisk::Status {
                const bool usable = (bitmap.flags & qcow2::bitmap_flag::in_use) == 0;
                entries_.push_back({text_in(top, bitmap.name), usable});
                return {};
            });
        expect(top, walked);
    }

    [[nodiscard]] bool has(const std::string& name) const { return find(name) != entries_.end(); }
    [[nodiscard]] bool is_usable(const std::string& name) const { return find(name)->usable; }
    void add(const std::string& name) { entries_.push_back({name, true}); }
    void remove(const std::string& name) { entries_.erase(find(name)); }

private:
    struct Entry {
        std::string name;
        bool usable;
    };
    [[nodiscard]] std::vector<Entry>::const_iterator find(const std::string& name) const {
        return std::find_if(entries_.begin(), entries_.end(),
                            [&](const Entry& entry) { return entry.name == name; });
    }
    std::vector<Entry> entries_;
};

unsigned granularity_bits(const BitmapOptions& options) {
    const uint64_t size =
        options.granularity.empty() ? 0 : size_of(options.granularity, "granularity");
    if (size == 0) return 0;
    if (!std::has_single_bit(size) || size < 512 || size >> 31 > 1) {
        refuse(options, Verb::add, "Granularity must be power of 2 and at least 512, at most 2G");
    }
    return static_cast<unsigned>(std::countr_zero(size));
}

void check_add(const BitmapOptions& options, const Top& top, const Inventory& inventory) {
    if (!is_qcow2(top)) refuse(options, Verb::add, top.format + " images have no bitmaps");
    if (inventory.has(options.bitmap)) {
        refuse(options, Verb::add, "Bitmap already exists: " + options.bitmap);
    }
    const qcow2::Layout layout = layout_of(top);
    if (layout.version < 3) refuse(options, Verb::add, "version 2 has no bitmaps");
    qcow2::NewBitmap wanted{options.bitmap, granularity_bits(options)};
    if (wanted.granularity_bits == 0) {
        wanted.granularity_bits = qcow2::default_granularity_bits(layout.cluster_bits);
    }
    const vdisk::Status good = qcow2::bitmap_parts::check_new(layout, wanted);
    if (!good) refuse(options, Verb::add, std::string(good.error().what).substr(7));
}

void check_usable(const BitmapOptions& options, Verb verb, const Inventory& inventory,
                  const std::string& name) {
    if (!inventory.has(name)) refuse(options, verb, "Dirty bitmap '" + name + "' not found");
    if (verb != Verb::remove && !inventory.is_usable(name)) {
        refuse(options, verb, "Bitmap '" + name + "' is inconsistent and cannot be used");
    }
}

/// All actions can be done, one after the other.
void rehearse(const BitmapOptions& options, const Top& top, const std::optional<Top>& other) {
    Inventory inventory(top);
    const Inventory others = other ? Inventory(*other) : Inventory();
    for (const Action& action : options.actions) {
        if (action.verb == Verb::add) {
            check_add(options, top, inventory);
            inventory.add(options.bitmap);
            continue;
        }
        check_usable(options, action.verb, inventory, options.bitmap);
        if (action.verb == Verb::remove) inventory.remove(options.bitmap);
        if (action.verb != Verb::merge) continue;
        check_usable(options, action.verb, other ? others : inventory, action.source);
        if (other && size_of_image(*other) != size_of_image(top)) {
            refuse(options, action.verb, "the disks have different sizes");
        }
    }
}

vdisk::Status act(const BitmapOptions& options, Top& top, const Action& action) {
    Storage& file = top.file.storage;
    const std::string& name = options.bitmap;
    switch (action.verb) {
        case Verb::add: return qcow2::add_bitmap(file, {name, granularity_bits(options)}, Heap{});
        case Verb::remove: return qcow2::remove_bitmap(file, name, Heap{});
        case Verb::clear: return qcow2::clear_bitmap(file, name, Heap{});
        case Verb::enable: return qcow2::set_recording(file, name, qcow2::Recording::on, Heap{});
        case Verb::disable: return qcow2::set_recording(file, name, qcow2::Recording::off, Heap{});
        case Verb::merge: return qcow2::merge_bitmap(file, action.source, name, Heap{});
    }
    return {};
}

int change(const BitmapOptions& options) {
    Top top = open_closed_for_writing(options.input);
    std::optional<Top> other;
    if (!options.source.file.empty()) other.emplace(open_top(options.source));
    rehearse(options, top, other);
    for (const Action& action : options.actions) {
        if (other && action.verb == Verb::merge) {
            merge_bitmap_of(top.file.storage, top.file.origin.path, *other, action.source,
                            options.bitmap);
        } else {
            expect(top, act(options, top, action));
        }
    }
    return 0;
}

void check_options(const BitmapOptions& options) {
    const auto has = [&](Verb verb) {
        return std::any_of(options.actions.begin(), options.actions.end(),
                           [&](const Action& action) { return action.verb == verb; });
    };
    if (options.actions.empty()) {
        throw Failure{
            "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge"};
    }
    if (!options.granularity.empty() && !has(Verb::add)) {
        throw Failure{"granularity only supported with --add"};
    }
    if (!options.source.format.empty() && options.source.file.empty()) {
        throw Failure{"-F only supported with -b"};
    }
    if (!options.source.file.empty() && !has(Verb::merge)) {
        throw Failure{"Merge bitmap source file only supported with --merge"};
    }
}

}  // namespace

void add_bitmap(CLI::App& app, Command& run) {
    auto options = std::make_shared<BitmapOptions>();
    CLI::App* cmd = app.add_subcommand(
        "bitmap",
        "Adds, changes and removes the bitmaps of a qcow2 image, which tell what was written.\n"
        "Actions are done in the order in which they stand.");
    add_closed(*cmd, options->input);
    cmd->add_option("BITMAP", options->bitmap, "its name")->required();
    cmd->add_flag("--add")->description("make a new one, which is empty and records");
    cmd->add_flag("--remove")->description("remove it");
    cmd->add_flag("--clear")->description("make it empty");
    cmd->add_flag("--enable")->description("record what is written from now on");
    cmd->add_flag("--disable")->description("do not record any more");
    auto sources = std::make_shared<std::vector<std::string>>();
    cmd->add_option("--merge", *sources, "add what this other bitmap holds")
        ->type_name("SOURCE")
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false);
    cmd->add_option("-g", options->granularity,
                    "bytes of the disk that a bit stands for (with --add; default: a cluster, 4k "
                    "to 64k)")
        ->check(not_empty("granularity: '' is not a size"))
        ->type_name("SIZE");
    cmd->add_option("-b", options->source.file, "the image that --merge takes bitmaps from")
        ->check(not_empty("'': the name of a file is missing"))
        ->type_name("FILE");
    cmd->add_option("-F", options->source.format, "format of that image")
        ->transform(format_name())
        ->type_name("FMT");
    cmd->footer(
        "Nothing is done unless all can be done. `vdisk info` lists bitmaps.\n\n"
        "Examples:\n"
        "  vdisk bitmap --add -g 64k disk.qcow2 monday\n"
        "  vdisk bitmap --add --merge monday --merge tuesday --disable disk.qcow2 both\n\n"
        "Exit codes: 0 done, 1 failed.");
    cmd->callback([options, sources, cmd, &run] {
        auto source = sources->begin();
        for (const CLI::Option* option : cmd->parse_order()) {
            for (const Verb verb :
                 {Verb::add, Verb::remove, Verb::clear, Verb::enable, Verb::disable, Verb::merge}) {
                if (option->check_lname(verb_names[static_cast<size_t>(verb)])) {
                    options->actions.push_back(
                        {verb, verb == Verb::merge ? *source++ : std::string()});
                }
            }
        }
        check_options(*options);
        run = [options] { return change(*options); };
    });
}

}  // namespace tool
