// SPDX-License-Identifier: BSL-1.0
// vdisk map: which parts of a disk are data, where they are stored, and a picture of it.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <memory>

#include <vdisk/text/printable.hpp>

#include "picture.hpp"
#include "status.hpp"

namespace tool {

using namespace vdisk;

namespace {

struct MapOptions {
    Input input;
    std::string output = "human";
    std::string start = "0";
    std::string length;
    bool picture = false;
    unsigned width = 0;
    std::string color = "auto";
};

/// One line of the output.
struct Line {
    uint64_t start = 0;
    BlockStatus status;

    /// As qemu-img joins neighbours; `next` follows directly.
    [[nodiscard]] bool joins(const BlockStatus& next) const {
        if (status.length == 0) return false;
        BlockStatus expected = status;
        expected.length = next.length;
        expected.compressed = next.compressed;
        if (status.has_offset) expected.offset += status.length;
        return expected == next;
    }
};

class Printer {
public:
    Printer(const Disk& disk, const MapOptions& options) : disk_(disk), options_(options) {
        if (is_json()) std::putchar('[');
        else std::printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    }

    void line(const Line& line, bool is_last) const {
        if (is_json()) json(line, is_last);
        else human(line);
    }

private:
    [[nodiscard]] bool is_json() const { return options_.output == "json"; }

    static void json(const Line& line, bool is_last) {
        const BlockStatus& s = line.status;
        const auto name = [](bool value) { return value ? "true" : "false"; };
        std::printf("{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"depth\": %" PRIu32
                    ", \"present\": %s, \"zero\": %s, \"data\": %s",
                    line.start, s.length, s.depth, name(s.present), name(s.zero), name(s.data));
        if (s.has_offset) std::printf(", \"offset\": %" PRIu64, s.offset);
        std::puts(is_last ? "}]" : "},");
    }

    void human(const Line& line) const {
        const BlockStatus& s = line.status;
        if (s.data && !s.has_offset) {
            std::fflush(stdout);
            throw Failure{options_.input.file +
                          ": File contains external, encrypted or compressed clusters."};
        }
        if (!s.data || s.zero) return;
        std::printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64 "%s\n", line.start, s.length,
                    s.offset, text::printable(file_of(s.depth)).c_str());
    }

    [[nodiscard]] std::string file_of(uint32_t depth) const {
        const auto& layer = disk_.layers()[depth];
        if (!layer.image.needs_data_file()) return layer.origin.path;
        return resolve(text_in(layer.image, layer.image.data_file()), layer.origin.path);
    }

    const Disk& disk_;
    const MapOptions& options_;
};

void print_map(const Disk& disk, const MapOptions& options, uint64_t start, uint64_t end) {
    Survey survey(disk);
    const Printer printer(disk, options);
    Line line{start, {}};
    const uint64_t length = end > start ? end - start : 0;
    const auto walked = survey.walk(start, length, [&](uint64_t at, const BlockStatus& next) {
        if (line.joins(next)) {
            line.status.length += next.length;
            return;
        }
        if (line.status.length > 0) printer.line(line, false);
        line = {at, next};
    });
    if (!walked) {
        std::fflush(stdout);
        throw failure(options.input.file, walked.error());
    }
    printer.line(line, true);
}

int map(const MapOptions& options) {
    const uint64_t start = size_of(options.start, "start offset");
    const Disk disk = open_disk(options.input);
    uint64_t end = disk.size();
    if (!options.length.empty()) {
        const uint64_t length = size_of(options.length, "max length");
        if (start < end) end = start + std::min(length, end - start);
    }
    if (options.picture) {
        print_picture(disk, {options.input.file, start, end, options.width, options.color});
    } else {
        print_map(disk, options, start, end);
    }
    return 0;
}

}  // namespace

void add_map(CLI::App& app, Command& run) {
    auto options = std::make_shared<MapOptions>();
    CLI::App* cmd = app.add_subcommand(
        "map",
        "Lists the parts of a disk: where each is stored, in which file of the chain.\n"
        "The table shows stored data only; JSON shows everything, zeros and gaps included.");
    options->input.add_to(*cmd);
    add_output(*cmd, options->output);
    cmd->add_option("-s,--start-offset", options->start, "begin here")->type_name("OFFSET");
    cmd->add_option("-l,--max-length", options->length, "end after so many bytes")
        ->check(not_empty("max length: '' is not a size"))
        ->type_name("LENGTH");
    cmd->add_option("--snapshot", options->input.snapshot,
                    "look at this internal snapshot (id or name)")
        ->check(not_empty("can't find snapshot ''"))
        ->type_name("SNAPSHOT");
    cmd->add_flag("--picture", options->picture, "draw the disk instead, in block characters");
    cmd->add_option("--width", options->width,
                    "columns of the picture (default: those of the terminal)")
        ->check(CLI::Range(20, 1000))
        ->type_name("N");
    cmd->add_option("--color", options->color, "colours of the picture: auto, always or never")
        ->check(CLI::IsMember({"auto", "always", "never"}))
        ->type_name("WHEN");
    cmd->footer(
        "JSON fields: start, length, depth (images down the chain), present (some image says what\n"
        "it is), zero (reads as zeros), data (takes space), offset (in the file, if it is there "
        "as\n"
        "it is).\n\n"
        "Examples:\n"
        "  vdisk map --output=json disk.qcow2\n"
        "  vdisk map --picture disk.qcow2        see how full it is, and where\n\n"
        "Exit codes: 0 done, 1 failed. The table cannot show compressed data: it ends there, as\n"
        "that of qemu-img does.");
    cmd->callback([options, &run] { run = [options] { return map(*options); }; });
}

}  // namespace tool
