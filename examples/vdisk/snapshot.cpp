// SPDX-License-Identifier: BSL-1.0
// vdisk snapshot: lists, takes, applies and deletes the internal snapshots of an image.
#include <cstdio>
#include <memory>

#include <vdisk/format/qcow2/punch.hpp>
#include <vdisk/format/qcow2/snapshots.hpp>
#include <vdisk/text/printable.hpp>

#include "closed.hpp"
#include "snapshot_list.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct SnapshotOptions {
    Input input;
    std::string name;  ///< of the snapshot
    char action = 'l';
    bool quiet = false;
};

int list(const SnapshotOptions& options) {
    const Top top = open_top(options.input);
    if (!is_qcow2(top)) return 0;
    const qcow2::Layout layout = layout_of(top);
    if (layout.snapshots == 0 || options.quiet) return 0;
    print_snapshot_heading();
    expect(top, qcow2::each_snapshot(
                    top.file.storage, layout, [&](const qcow2::Snapshot& s) -> vdisk::Status {
                        print_snapshot(s, text_in(top, s.id), text_in(top, s.name));
                        return {};
                    }));
    return 0;
}

/// The id of the first snapshot with this name. What is deleted has to be named: an id would do for
/// some images what a name does for others.
Result<std::string> id_of(const Top& top, const std::string& name) {
    Result<std::string> id = fail(Errc::not_found, "snapshot not found");
    const qcow2::Layout layout = layout_of(top);
    const auto walked = qcow2::each_snapshot(
        top.file.storage, layout, [&](const qcow2::Snapshot& s) -> vdisk::Status {
            const auto same = qcow2::snapshot::equals(top.file.storage, s.name, name);
            if (!same) return same.error();
            if (*same && !id) id = text_in(top, s.id);
            return {};
        });
    if (!walked) return walked.error();
    return id;
}

vdisk::Status act(const SnapshotOptions& options, Top& top) {
    Storage& file = top.file.storage;
    if (options.action == 'a') return qcow2::apply_snapshot(file, options.name, Heap{});
    if (options.action == 'd') {
        const auto id = id_of(top, options.name);
        if (!id) return id.error();
        const vdisk::Status deleted = qcow2::delete_snapshot(file, *id, Heap{});
        // Free clusters that keep their room are no failure.
        if (deleted) static_cast<void>(qcow2::punch_free(file, Heap{}));
        return deleted;
    }
    std::timespec now{};
    std::timespec_get(&now, TIME_UTC);
    const qcow2::SnapshotInfo info{.name = options.name,
                                   .date_sec = static_cast<uint32_t>(now.tv_sec),
                                   .date_nsec = static_cast<uint32_t>(now.tv_nsec)};
    return qcow2::take_snapshot(file, info, Heap{});
}

int change(const SnapshotOptions& options) {
    Top top = open_closed_for_writing(options.input);
    const char* verb = options.action == 'a'   ? "apply"
                       : options.action == 'c' ? "create"
                                               : "delete";
    const std::string words =
        options.input.file + ": Could not " + verb + " snapshot '" + options.name + "'";
    if (!is_qcow2(top)) throw Failure{words + ": " + top.format + " images have no snapshots"};
    const vdisk::Status done = act(options, top);
    if (!done && done.error().code == Errc::not_found)
        throw Failure{words + ": snapshot not found"};
    if (!done) throw failure(words, done.error());
    return 0;
}

}  // namespace

void add_snapshot(CLI::App& app, Command& run) {
    auto options = std::make_shared<SnapshotOptions>();
    CLI::App* cmd = app.add_subcommand(
        "snapshot", "Lists, takes, applies and deletes the snapshots inside a qcow2 image.");
    add_closed(*cmd, options->input);
    cmd->add_flag("-U,--force-share", options->input.shared,
                  "list although another process writes to the image");
    CLI::Option* lists = cmd->add_flag("-l")->description("list the snapshots (default)");
    CLI::Option* applies = cmd->add_option("-a", options->name, "make the disk what it was then");
    CLI::Option* takes = cmd->add_option("-c", options->name, "keep the disk as it is now");
    CLI::Option* deletes = cmd->add_option("-d", options->name, "forget the first of this name");
    for (CLI::Option* option : {applies, takes, deletes}) {
        option->type_name("SNAPSHOT")->take_all()->expected(1)->allow_extra_args(false);
    }
    cmd->add_flag("-q", options->quiet, "show nothing but errors");
    cmd->footer(
        "-a takes the id or else the name of a snapshot. What the disk holds now is lost then; "
        "the\n"
        "snapshot stays. Each change is one step: a power cut leaves the image as it was, or as\n"
        "wanted.\n\n"
        "Examples:\n"
        "  vdisk snapshot -c before-update disk.qcow2\n"
        "  vdisk snapshot -a before-update disk.qcow2\n\n"
        "Exit codes: 0 done, 1 failed.");
    cmd->callback([options, lists, applies, takes, deletes, &run] {
        const size_t actions =
            lists->count() + applies->count() + takes->count() + deletes->count();
        if (actions > 1) {
            throw Failure{"Cannot mix '-l', '-a', '-c', '-d'", 1, "Try 'vdisk snapshot --help'"};
        }
        if (applies->count() != 0) options->action = 'a';
        if (takes->count() != 0) options->action = 'c';
        if (deletes->count() != 0) options->action = 'd';
        run = [options] { return options->action == 'l' ? list(*options) : change(*options); };
    });
}

}  // namespace tool
